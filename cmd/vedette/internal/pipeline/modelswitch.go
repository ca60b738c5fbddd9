package pipeline

import (
	"context"
	"errors"
	"fmt"

	"vedette/cmd/vedette/internal/config"
	"vedette/infer/store"
)

// FindModel finds what can be switched to under a name: the bundle of that version, of the highest where version is 0; where no
// bundle is installed the model that comes with the packages, or lies in the state directory. That one has no ID and no version.
func FindModel(stateDir, name string, version uint64) (store.Installed, error) {
	found, err := Models(stateDir).Find(name, version)
	if !errors.Is(err, store.ErrNotInstalled) || version != 0 {
		return found, err
	}
	if _, plainErr := ModelPath(name, stateDir); plainErr != nil {
		return store.Installed{}, err
	}
	return store.Installed{Name: name}, nil
}

// Titled is what a person calls a model that FindModel gave.
func Titled(i store.Installed) string {
	if i.ID == "" {
		return "model " + i.Name
	}
	return fmt.Sprintf("model %s version %d", i.Name, i.Version)
}

// UseModel switches to a model: to another version of the one that runs, or to another one, which overrides.yaml then names. It is tried
// before, in a worker of its own, and is on trial afterwards: if the workers fail with it, what ran before comes back by itself. An
// error means that nothing has changed.
func (p *Pipeline) UseModel(ctx context.Context, name string, version uint64) error {
	p.reloading.Lock()
	defer p.reloading.Unlock()
	cfg := p.config()
	next, err := FindModel(cfg.StateDir, name, version)
	if err != nil {
		return err
	}
	if name != cfg.Infer.Model {
		return p.useAnother(ctx, next)
	}
	if next.ID == "" { // it runs, and has no other version
		return nil
	}
	if err := p.tryModel(ctx, cfg, next); err != nil {
		return err
	}
	if err := Models(cfg.StateDir).Use(next, store.Origin{}); err != nil {
		return err
	}
	p.modelNote.Store(nil)
	return p.switched(ctx, Titled(next))
}

// useAnother switches to a model of another name. What is written is, in this order: the trial, with the way back; which version of
// the name is in use; the name. So a power cut leaves the one or the other, and whatever runs knows its way back.
func (p *Pipeline) useAnother(ctx context.Context, next store.Installed) error {
	if p.opts.Configuration == nil {
		return errNoConfiguration
	}
	before := p.config()
	models := Models(before.StateDir)
	from := store.Origin{Model: before.Infer.Model}
	begun := false
	cfg, undo, err := p.opts.Configuration.Override(func(o config.Overrides) error {
		from.Override = o.SetModel(next.Name)
		return nil
	}, func(cfg config.Config) error {
		if err := errors.Join(needsCamera(cfg), changeable(before, cfg)); err != nil {
			return err
		}
		if err := p.tryModel(ctx, cfg, next); err != nil {
			return err
		}
		begun = true
		return models.Use(next, from)
	})
	if err == nil {
		if err = p.take(ctx, cfg, Titled(next)); err != nil {
			err = errors.Join(err, undo())
		}
	}
	if err != nil && begun {
		if trial, ok, trialErr := models.Trial(); ok && trial.Name == next.Name {
			err = errors.Join(err, trialErr, models.Abandon(trial))
		}
	}
	if err != nil {
		return err
	}
	p.modelNote.Store(nil)
	p.opts.Logger.Info("another model is in use", "model", next.Name, "version", next.Version, "before", from.Model)
	return nil
}

// tryModel gives an error where a model is not to be used, or does not work.
func (p *Pipeline) tryModel(ctx context.Context, cfg config.Config, next store.Installed) error {
	refused := func(err error) error { return fmt.Errorf("%s is not used: %w", Titled(next), err) }
	cfg.Infer.Model = next.Name
	if next.ID != "" {
		if err := ModelPolicy(cfg, p.opts.Version, p.floor).Check(next.Manifest); err != nil {
			return refused(err)
		}
		if err := Models(cfg.StateDir).Verify(next); err != nil {
			return refused(err)
		}
		cfg.Infer.Model = next.Model()
	}
	if err := p.tryBundle(ctx, cfg, next); err != nil {
		return refused(fmt.Errorf("it was tried and does not work: %w", err))
	}
	if path, err := ModelPath(cfg.Infer.Model, cfg.StateDir); err == nil {
		p.modelFaults.forget(path)
	}
	return nil
}

// RollbackModel goes back to the bundle that was in use before, or, while a switch from another model is on trial, to that.
func (p *Pipeline) RollbackModel(ctx context.Context, name string) error {
	p.reloading.Lock()
	defer p.reloading.Unlock()
	if running := p.config().Infer.Model; name != running {
		return fmt.Errorf("the service runs model %q, not %s", running, name)
	}
	models := Models(p.config().StateDir)
	trial, ok, err := models.Trial()
	if err == nil && ok && trial.Name == name && trial.Model != "" {
		err = p.goHome(trial)
	} else {
		_, err = models.Rollback(name)
	}
	if err != nil {
		return err
	}
	p.modelNote.Store(nil) // the operator has looked after it
	return p.switched(ctx, "model rolled back")
}

// goHome undoes a switch from another name, but for the workers. Where overrides.yaml cannot be written, that is said, and the model of
// before runs all the same until the next start, which is one more of the trial's.
func (p *Pipeline) goHome(trial store.Trial) error {
	cfg := p.config()
	cfg.Infer.Model = trial.Model
	if _, err := newOrders(cfg); err != nil {
		return err
	}
	if p.opts.Configuration == nil {
		return errNoConfiguration
	}
	_, _, err := p.opts.Configuration.Override(func(o config.Overrides) error {
		o.SetModel(trial.Override)
		return nil
	}, func(config.Config) error { return nil })
	if err == nil {
		err = Models(cfg.StateDir).Abandon(trial)
	}
	if err != nil {
		p.opts.Logger.Error("a model was rolled back, and the next start would take it again: set infer.model", "model", trial.Name,
			"infer.model", trial.Model, "error", err)
	}
	p.hold(cfg)
	return nil
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
