package pipeline

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"vedette/cmd/vedette/internal/config"
	"vedette/infer"
	"vedette/infer/client"
	"vedette/supervisor"
	"vedette/supervisor/cgroup"
	"vedette/supervisor/notify"
)

// RunPool starts the configured workers, without cameras and MQTT, and hands their client to use. The workers end when use
// returns. The first fault of a worker ends use, and is the error: with it frames are lost.
func RunPool(ctx context.Context, cfg config.Config, executable string, logger *slog.Logger,
	use func(context.Context, *client.Client) error,
) error {
	cfg.Infer.Spare = false
	c := client.New(client.Options{
		Workers: cfg.Infer.Workers, InFlight: inFlight(cfg.Infer), RunDeadline: cfg.Infer.Deadlines.Run,
		LoadDeadline: cfg.Infer.Deadlines.Load, BuildDeadline: cfg.Infer.Deadlines.Build,
	}, logger)
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	w, err := newWorkers(workerOptions{
		config: cfg, executable: executable, tree: (*cgroup.Tree)(nil), client: c, policy: supervisor.DefaultPolicy(),
		fault:    func(f supervisor.Fault) { end(fmt.Errorf("worker: %s: %s", f.Kind, f.Message)) },
		changed:  func(supervisor.Status) {},
		watchdog: notify.NewWatchdog(notify.WatchdogOptions{}), logger: logger,
	})
	if err != nil {
		return err
	}
	workersContext, stop := context.WithCancel(context.WithoutCancel(ctx))
	var working sync.WaitGroup
	var worked error
	working.Go(func() { worked = w.run(workersContext) })
	used := use(ctx, c)
	if cause := context.Cause(ctx); used != nil && cause != nil {
		used = cause
	}
	stop()
	working.Wait()
	return errors.Join(used, worked)
}

// inFlight is how many frames a worker has at a time: what it runs, and what comes next.
func inFlight(cfg infer.Config) int { return 2 * cfg.Batch.Max }

// ahead tells whether workers prepare a frame while the model runs on the one before it: where the model runs elsewhere, or its
// sessions leave a processor free. Else it would take one from a session, for which that one's other threads wait spinning. Where the
// model's graph prepares them there is nothing to do ahead.
func ahead(cfg infer.Config, processors int) bool {
	if cfg.Preprocess == "graph" {
		return false
	}
	if accelerated(cfg) {
		return true
	}
	threads := cfg.Threads
	if threads == 0 {
		threads = processors
	}
	return cfg.Workers*threads < processors
}
