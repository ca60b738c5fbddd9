package pipeline

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"vedette/capture"
	"vedette/cmd/vedette/internal/inject"
	"vedette/infer"
	"vedette/mqtt/payload"
	"vedette/supervisor"
	"vedette/supervisor/notify"
)

// statusEvery is how often systemd's status line may change: systemd keeps no history of it, and a person reads it.
const statusEvery = 5 * time.Second

// outcome is the first thing that became of any worker.
type outcome struct {
	once  sync.Once
	there chan struct{} // closed once there is one
}

func newWatchdog(opts Options) *notify.Watchdog {
	return notify.NewWatchdog(notify.WatchdogOptions{
		Period: opts.Notifier.WatchdogPeriod(), Ping: opts.Notifier.Ping, Folder: opts.Config.StateDir, Logger: opts.Logger,
	})
}

// workerChanged takes a new state of any worker. One that is given up is an outcome as well: the service does what it can
// without it, and says so.
func (p *Pipeline) workerChanged(status supervisor.Status) {
	inject.Wedge()
	switch status.State {
	case supervisor.Unreapable:
		p.unreapable()
		fallthrough
	case supervisor.Ready, supervisor.Degraded:
		if model := p.workers.model(); model != nil {
			p.announcer.modelLoaded(model)
		}
		if status.State == supervisor.Ready || p.workers.firstOutcome() { // a stand-in that is given up is no outcome
			p.started.once.Do(func() { close(p.started.there) })
		}
	}
	p.touch()
}

// ErrUnreapable ends a service that is configured not to go on beside a worker that SIGKILL does not end.
var ErrUnreapable = errors.New("a worker sleeps in the kernel and cannot be ended")

func (p *Pipeline) unreapable() {
	if end := p.giveUp.Load(); end != nil && p.opts.Config.Infer.Unreapable == "exit" {
		p.opts.Logger.Error("the service ends, as infer.unreapable: exit says")
		(*end)(ErrUnreapable)
	}
}

// longestStart is beyond all deadlines of a worker's own, each of which leads to an outcome: what takes longer is stuck
// where nobody thought of it.
func longestStart(config infer.Config) time.Duration {
	return time.Duration(supervisor.DefaultPolicy().Budget)*longestAttempt(config) + time.Minute
}

// longestAttempt is how long one start of a worker may take until its model is loaded.
func longestAttempt(config infer.Config) time.Duration {
	if slices.Contains(config.Providers, "tensorrt") {
		return max(config.Deadlines.Load, config.Deadlines.Build)
	}
	return config.Deadlines.Load
}

// LongestChange is beyond what a change of the running configuration may take: a new model is tried, with its pictures and then as
// the service would run it, and then each worker is restarted. A change may bring TensorRT along, but no other deadlines.
func (p *Pipeline) LongestChange() time.Duration {
	config := p.opts.Config.Infer
	attempts := 2 + config.Workers
	if config.Spare {
		attempts++
	}
	return time.Duration(attempts)*max(config.Deadlines.Load, config.Deadlines.Build) + time.Minute
}

// tellSystemd tells it from the start to ctx's end how the service is. Its error says that the start took too long.
func (p *Pipeline) tellSystemd(ctx context.Context) error {
	n := p.opts.Notifier
	if !n.Listening() {
		<-ctx.Done()
		return nil
	}
	failing := false
	tell := func(err error) {
		if err != nil && !failing {
			p.opts.Logger.Warn("systemd cannot be told how the service is", "error", err)
		}
		failing = err != nil
	}
	defer func() { tell(n.Stopping("stopping")) }()
	startup := notify.Startup{Longest: p.longestStart, Alive: p.watchdog.Alive, Status: p.statusLine}
	if err := n.Await(ctx, startup, p.started.there, tell); err != nil {
		return fmt.Errorf("%w: no worker is ready or given up", err)
	}
	ticker := time.NewTicker(statusEvery)
	defer ticker.Stop()
	for last := ""; ; {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		if text := p.statusLine(); text != last {
			tell(n.Status(text))
			last = text
		}
	}
}

func (p *Pipeline) statusLine() string {
	return statusLine(p.State(), p.mqtt.Status().Connected)
}

// statusLine says a state in a line for `systemctl status`: what there is, then what is wrong with it.
func statusLine(state payload.State, connected bool) string {
	rate := 0.0
	var troubles []string
	for _, name := range slices.Sorted(maps.Keys(state.Cameras)) {
		c := state.Cameras[name]
		rate += c.FPS
		if c.State == string(capture.Lost) || c.State == string(capture.Stalled) {
			troubles = append(troubles, "camera "+name+" "+c.State)
		}
	}
	provider := ""
	for _, w := range state.Workers {
		switch {
		case w.State == string(supervisor.Ready):
			provider = " on " + w.Provider
		case w.LastFault != nil:
			troubles = append(troubles, fmt.Sprintf("%s %s after %s: %s", w.Name, w.State, w.LastFault.Kind, w.LastFault.Message))
		default:
			troubles = append(troubles, w.Name+" "+w.State)
		}
	}
	if !connected {
		troubles = append(troubles, "no connection to the MQTT broker")
	}
	line := fmt.Sprintf("%s, %s%s, %.1f frames/s",
		count(len(state.Cameras), "camera"), count(len(state.Workers), "worker"), provider, rate)
	return strings.Join(append([]string{line}, troubles...), "; ")
}

func count(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}
