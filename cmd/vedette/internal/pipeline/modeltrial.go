package pipeline

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"vedette/cmd/vedette/internal/config"
	"vedette/infer"
	"vedette/infer/bundle"
	"vedette/infer/store"
	"vedette/mqtt/payload"
	"vedette/supervisor"
)

// A model that was switched to is on trial for so long, counted from when a worker runs it. A worker that fails so often meanwhile is
// taken for the model's fault.
const (
	trialWindow = 2 * time.Minute
	trialFaults = 3
)

// How near a self-test's detection has to come to what the manifest expects. Providers and their precisions differ by less.
const (
	selfTestIoU   = 0.9
	selfTestScore = 0.05
)

// ModelPart is how the state names what became of a switch of models.
const ModelPart = "model"

// tryBundle loads an installed bundle's model in a worker of its own, and compares what it finds in the bundle's own pictures with
// what it is to find.
func (p *Pipeline) tryBundle(ctx context.Context, cfg config.Config, i store.Installed) error {
	logger := p.opts.Logger.With("purpose", "try model "+i.Name, "version", i.Version)
	_, err := SelfTest(ctx, i, func(ctx context.Context, pictures [][]byte) (infer.Model, [][]infer.Detection, error) {
		return Probe(ctx, cfg, p.opts.Executable, p.opts.Tree, pictures, logger)
	})
	return err
}

// SelfTest runs a bundle's own test by way of probe, which is handed the pictures.
func SelfTest(ctx context.Context, i store.Installed, probe func(context.Context, [][]byte) (infer.Model, [][]infer.Detection, error),
) (infer.Model, error) {
	var pictures [][]byte
	for _, test := range i.Manifest.SelfTest {
		picture, err := os.ReadFile(filepath.Join(i.Folder, test.Image))
		if err != nil {
			return infer.Model{}, fmt.Errorf("cannot read a self-test's picture: %w", err)
		}
		pictures = append(pictures, picture)
	}
	model, found, err := probe(ctx, pictures)
	if err != nil {
		return infer.Model{}, err
	}
	for n, test := range i.Manifest.SelfTest {
		for _, want := range test.Expect {
			if !isIn(found[n], want) {
				return infer.Model{}, fmt.Errorf("its self-test fails: in %s it does not find %s at %.3v with score %.2f", test.Image,
					labelOf(model, want.Class), want.Box, want.Score)
			}
		}
	}
	return model, nil
}

func labelOf(model infer.Model, class int) string {
	if label := model.Label(class); label != "" {
		return label
	}
	return fmt.Sprintf("class %d", class)
}

func isIn(found []infer.Detection, want bundle.Expected) bool {
	box := infer.Box{X1: want.Box[0], Y1: want.Box[1], X2: want.Box[2], Y2: want.Box[3]}
	for _, d := range found {
		if difference := d.Score - want.Score; d.Class == want.Class && difference <= selfTestScore && -difference <= selfTestScore &&
			d.Box.IoU(box) >= selfTestIoU {
			return true
		}
	}
	return false
}

// UseModel switches to an installed bundle: after it was tried in a worker of its own, and on trial: if the workers fail with it,
// the one before comes back by itself. An error means that nothing has changed.
func (p *Pipeline) UseModel(ctx context.Context, name string, version uint64) error {
	p.reloading.Lock()
	defer p.reloading.Unlock()
	cfg := p.config()
	if name != cfg.Infer.Model {
		return fmt.Errorf("the service runs model %q: set infer.model to %s, and reload", cfg.Infer.Model, name)
	}
	models := Models(cfg.StateDir)
	next, err := models.Find(name, version)
	if err != nil {
		return err
	}
	if err := (store.Policy{Now: time.Now(), Vedette: p.opts.Version}).Check(next.Manifest); err != nil {
		return fmt.Errorf("model %s version %d is not used: %w", name, next.Version, err)
	}
	trying := cfg
	trying.Infer.Model = next.Model()
	if err := p.tryBundle(ctx, trying, next); err != nil {
		return fmt.Errorf("model %s version %d is not used: it was tried and does not work: %w", name, next.Version, err)
	}
	if err := models.Use(next); err != nil {
		return err
	}
	p.modelNote.Store(nil)
	return p.switched(ctx, "model version "+fmt.Sprint(next.Version))
}

// RollbackModel goes back to the bundle that was in use before.
func (p *Pipeline) RollbackModel(ctx context.Context, name string) error {
	p.reloading.Lock()
	defer p.reloading.Unlock()
	if running := p.config().Infer.Model; name != running {
		return fmt.Errorf("the service runs model %q, not %s", running, name)
	}
	if _, err := Models(p.config().StateDir).Rollback(name); err != nil {
		return err
	}
	return p.switched(ctx, "model rolled back")
}

// switched has the workers take the model that is now in use.
func (p *Pipeline) switched(ctx context.Context, reason string) error {
	next, err := newOrders(p.config())
	if err != nil {
		return err
	}
	p.workers.orders.Store(next)
	p.workers.restartInTurn(ctx, reason)
	p.opts.Logger.Info("the workers have taken another model", "reason", reason, "path", next.modelPath)
	p.touch()
	return nil
}

// startTrial counts this start of the service where a switch is on trial, and undoes the switch where it has had enough of them:
// before any worker is started.
func (p *Pipeline) startTrial() {
	models := Models(p.opts.Config.StateDir)
	trial, _, spent, err := models.Start()
	switch {
	case err != nil:
		p.opts.Logger.Warn("cannot tell whether a model is on trial", "error", err)
	case spent:
		p.rollBack(trial, fmt.Sprintf("the service was started %d times with it and never ran for %v", trial.Starts-1, trialWindow))
	}
}

// watchTrial watches a switch until it is proved or undone.
func (p *Pipeline) watchTrial(ctx context.Context) error {
	models := Models(p.opts.Config.StateDir)
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	var on struct {
		trial  store.Trial
		since  time.Time // when a worker ran it first; zero: none has
		faults uint64    // before it
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		trial, ok, err := models.Trial()
		if err != nil || !ok {
			on.trial = store.Trial{}
			continue
		}
		if trial != on.trial {
			on.trial, on.since, on.faults = trial, time.Time{}, p.failures.Load()
		}
		worst := p.worstWorker()
		if on.since.IsZero() && worst == supervisor.Ready {
			on.since = time.Now()
		}
		failed := p.failures.Load() - on.faults
		switch {
		case failed >= trialFaults || worst == supervisor.Degraded:
			p.reloading.Lock()
			if p.rollBack(trial, fmt.Sprintf("a worker failed %d times with it", failed)) {
				if err := p.switched(ctx, "model rolled back"); err != nil {
					p.opts.Logger.Error("the workers cannot take the model of before", "error", err)
				}
			}
			p.reloading.Unlock()
		case !on.since.IsZero() && time.Since(on.since) >= trialWindow:
			if err := models.EndTrial(); err != nil {
				p.opts.Logger.Warn("cannot note that the model has proved itself", "error", err)
				continue
			}
			p.opts.Logger.Info("the model has proved itself", "model", trial.Name)
		}
	}
}

// rollBack undoes a switch, and says so. Where there is nothing to go back to, the model stays, and is no longer on trial.
func (p *Pipeline) rollBack(trial store.Trial, why string) bool {
	models := Models(p.opts.Config.StateDir)
	now, err := models.Current(trial.Name)
	if err == nil && now.ID != trial.ID {
		err = errors.New("another one is in use meanwhile")
	}
	if err == nil {
		_, err = models.Rollback(trial.Name)
	}
	if err != nil {
		p.opts.Logger.Error("a model fails, and the one before cannot be had", "model", trial.Name, "why", why, "error", err)
		if err := models.EndTrial(); err != nil {
			p.opts.Logger.Warn("cannot end the model's trial", "error", err)
		}
		return false
	}
	p.opts.Logger.Error("a model was rolled back", "model", trial.Name, "version", now.Version, "why", why)
	p.modelNote.Store(&payload.Degradation{
		What: ModelPart, Why: fmt.Sprintf("%s version %d was rolled back: %s", trial.Name, now.Version, why),
		Remedy: "see the last faults, and install a version that works; the one before it runs",
	})
	p.touch()
	return true
}

// worstWorker is the state of the active worker that is worst off.
func (p *Pipeline) worstWorker() supervisor.State {
	worst := supervisor.Ready
	for _, s := range p.workers.supervisors {
		if state := s.Status().State; badness(state) > badness(worst) {
			worst = state
		}
	}
	return worst
}
