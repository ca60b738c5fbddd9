package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"vedette/cmd/vedette/internal/control"
	"vedette/mqtt/payload"
)

// askEvery is how often a service that is not well yet is asked again.
const askEvery = 500 * time.Millisecond

func healthCommand(env env) *cobra.Command {
	var (
		wait   time.Duration
		asJSON bool
	)
	cmd := &cobra.Command{
		Use:   "health",
		Short: "Tell whether the running service does its work",
		Long: `Tell whether the running service does its work: exit code 0 when a worker runs the model, every camera shows frames and
a broker is connected, 1 with the reasons when not. With --wait it is asked again until it is well or the time is over:
what an update waits for before it is kept. The time stands still while an engine is built for the accelerator.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			health := awaitHealth(cmd.Context(), control.Dial(control.Path(os.Getenv)), wait)
			if asJSON {
				if err := printJSON(env.stdout, health); err != nil {
					return err
				}
			} else if _, err := fmt.Fprintln(env.stdout, strings.Join(append([]string{health.Health}, health.Reasons...), "\n  ")); err != nil {
				return err
			}
			if health.Health != payload.HealthGood {
				return errSaid
			}
			return nil
		},
	}
	cmd.Flags().DurationVar(&wait, "wait", 0, "how long to wait for it to be well, such as 120s")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// A service is asked for its health.
type asker interface {
	Health(ctx context.Context) (payload.Health, error)
}

// awaitHealth asks until the service is well or the time is over, at least once. A service that does not answer is not
// well. While it builds an engine the time stands still: an update of TensorRT makes each board build anew, and a fleet that
// took that for a failure would fall back for ever. The build itself is bounded by the service.
func awaitHealth(ctx context.Context, service asker, wait time.Duration) payload.Health {
	var last payload.Health
	for left := wait; ; {
		began := time.Now()
		question, cancel := context.WithTimeout(ctx, max(left, askEvery))
		health, err := service.Health(question)
		if err == nil {
			last = health
		} else if question.Err() == nil || last.Health == "" { // the time's own end is no news
			last = payload.Health{V: payload.Version, Health: payload.HealthBad, Reasons: []string{err.Error()}}
		}
		cancel()
		if last.Health == payload.HealthGood || wait == 0 {
			return last
		}
		select {
		case <-ctx.Done():
			return last
		case <-time.After(min(askEvery, max(0, left-time.Since(began)))):
		}
		if err != nil || !last.Building {
			left -= time.Since(began)
		}
		if left <= 0 {
			return last
		}
	}
}
