package pipeline

import (
	"context"
	"errors"
	"fmt"
	"reflect"

	"vedette/cmd/vedette/internal/config"
)

// Reload reads the configuration anew and takes it, whole or not at all: an error means that nothing has changed.
func (p *Pipeline) Reload(ctx context.Context) error {
	if p.opts.Configuration == nil {
		return errNoConfiguration
	}
	p.reloading.Lock() // one at a time. It is held while frames flow on, and nobody but another change waits for it
	defer p.reloading.Unlock()
	cfg, err := p.opts.Configuration.Read()
	if err != nil {
		return err
	}
	if err := p.try(ctx, cfg); err != nil {
		return err
	}
	return p.take(ctx, cfg, "new configuration")
}

// override changes overrides.yaml and takes the result; an error means that nothing has changed.
func (p *Pipeline) override(ctx context.Context, change func(config.Overrides) error) error {
	if p.opts.Configuration == nil {
		return errNoConfiguration
	}
	p.reloading.Lock()
	defer p.reloading.Unlock()
	cfg, undo, err := p.opts.Configuration.Override(change, func(cfg config.Config) error { return p.try(ctx, cfg) })
	if err != nil {
		return err
	}
	if err := p.take(ctx, cfg, "new configuration"); err != nil {
		return errors.Join(err, undo())
	}
	return nil
}

// try tells why a configuration cannot be taken. A new model is loaded for it, in a worker of its own.
func (p *Pipeline) try(ctx context.Context, cfg config.Config) error {
	before := p.config()
	if err := errors.Join(needsCamera(cfg), changeable(before, cfg)); err != nil {
		return err
	}
	if !newWork(before, cfg) {
		return nil
	}
	logger := p.opts.Logger.With("purpose", "try the new configuration")
	if _, _, err := Probe(ctx, cfg, p.opts.Executable, p.opts.Tree, nil, logger); err != nil {
		return fmt.Errorf("the new model was tried and does not work: %w", err)
	}
	return nil
}

// newWork tells whether what workers go by has changed.
func newWork(before, after config.Config) bool {
	return !reflect.DeepEqual(before.Infer, after.Infer) || before.Track.Low != after.Track.Low
}

// take has the service go by a configuration that was tried: cameras that are new or changed are started anew, the others are not
// disturbed; workers are restarted one after the other where what they go by has changed. It is called with reloading held.
func (p *Pipeline) take(ctx context.Context, cfg config.Config, reason string) error {
	before := p.config()
	sources, err := p.newSources(cfg.Cameras)
	if err != nil {
		return err
	}
	next, err := newOrders(cfg)
	if err != nil {
		return err
	}
	c := change{cfg.Cameras, sources, make(chan struct{})}
	select {
	case p.changes <- c:
	case <-p.camerasEnded:
		return errors.New("the service stops")
	case <-ctx.Done():
		return fmt.Errorf("the cameras do not take the change: %w", ctx.Err())
	}
	<-c.done
	p.workers.orders.Store(next)
	p.hold(cfg)
	if !reflect.DeepEqual(before.Track, cfg.Track) || !reflect.DeepEqual(before.Infer.Thresholds, cfg.Infer.Thresholds) {
		for _, cam := range p.list() {
			cam.tracking.renew(cam.config, cfg)
		}
	}
	p.announcer.kick()
	restart := newWork(before, cfg)
	if restart {
		p.workers.restartInTurn(ctx, reason)
	}
	p.opts.Logger.Info("configuration taken", "cameras", len(cfg.Cameras), "workers_restarted", restart)
	return nil
}

// needsCamera gives an error where nothing would be left to do.
func needsCamera(cfg config.Config) error {
	if len(cfg.Cameras) == 0 {
		return errors.New("no camera is configured: add one under cameras, or try 'vedette demo'")
	}
	return nil
}

// config is the configuration that holds now.
func (p *Pipeline) config() config.Config {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.live
}

// hold makes a configuration the one that holds.
func (p *Pipeline) hold(cfg config.Config) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.live = cfg
}

// changeable tells which keys cannot change while the service runs.
func changeable(before, after config.Config) error {
	var errs []error
	for _, section := range []struct {
		key           string
		before, after any
	}{
		{"device", before.Device, after.Device},
		{"state_dir", before.StateDir, after.StateDir},
		{"infer.workers", before.Infer.Workers, after.Infer.Workers},
		{"infer.batch.max", before.Infer.Batch.Max, after.Infer.Batch.Max},
		{"infer.spare", before.Infer.Spare, after.Infer.Spare},
		{"infer.providers (tensorrt beside cuda)", wantsStandIn(before.Infer), wantsStandIn(after.Infer)},
		{"infer.deadlines", before.Infer.Deadlines, after.Infer.Deadlines},
		{"mqtt", before.MQTT, after.MQTT},
		{"web", before.Web, after.Web},
		{"log", before.Log, after.Log},
	} {
		if !reflect.DeepEqual(section.before, section.after) {
			errs = append(errs, fmt.Errorf("%s cannot change while the service runs: restart it (systemctl restart vedette)",
				section.key))
		}
	}
	return errors.Join(errs...)
}
