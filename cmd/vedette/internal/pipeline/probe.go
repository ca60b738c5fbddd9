package pipeline

import (
	"context"
	"errors"
	"log/slog"

	"vedette/cmd/vedette/internal/config"
	"vedette/infer"
	"vedette/infer/client"
	"vedette/supervisor"
	"vedette/supervisor/cgroup"
	"vedette/supervisor/notify"
)

// Probe loads the configured model in a worker of its own, as the service would, and ends it again.
func Probe(ctx context.Context, cfg config.Config, executable string, tree *cgroup.Tree, logger *slog.Logger) (infer.Model, error) {
	ctx, cancel := context.WithTimeout(ctx, cfg.Infer.Deadlines.Load)
	defer cancel()
	cfg.Infer.Workers, cfg.Infer.Spare = 1, false
	c := client.New(client.Options{LoadDeadline: cfg.Infer.Deadlines.Load, BuildDeadline: cfg.Infer.Deadlines.Load}, logger)
	var failure error
	fault := func(f supervisor.Fault) {
		failure = errors.New(f.Message)
		cancel()
	}
	var w *workers
	changed := func(supervisor.Status) {
		if w != nil && w.model.Load() != nil {
			cancel()
		}
	}
	unwatched := notify.NewWatchdog(notify.WatchdogOptions{})
	w, err := newWorkers(workerOptions{
		config: cfg, executable: executable, tree: tree, client: c, policy: supervisor.DefaultPolicy(),
		fault: fault, changed: changed, watchdog: unwatched, logger: logger,
	})
	if err != nil {
		return infer.Model{}, err
	}
	if err := w.supervisors[0].Run(ctx); err != nil {
		return infer.Model{}, err
	}
	if model := w.model.Load(); model != nil {
		return *model, nil
	}
	if failure == nil {
		failure = errors.New("the model was not loaded in time (infer.deadlines.load)")
	}
	return infer.Model{}, failure
}
