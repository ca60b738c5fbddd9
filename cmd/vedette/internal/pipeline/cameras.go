package pipeline

import (
	"context"
	"errors"
	"fmt"
	"reflect"

	"vedette/capture"
	"vedette/cmd/vedette/internal/config"
	"vedette/track"
)

// change is a new set of cameras, with a source for each that is not there as it is.
type change struct {
	cameras []capture.Camera
	sources map[string]capture.Source
	done    chan struct{} // closed when it has been carried out
}

// newSources makes a source for each camera, by name.
func (p *Pipeline) newSources(cameras []capture.Camera) (map[string]capture.Source, error) {
	sources := map[string]capture.Source{}
	for _, camera := range cameras {
		source, ok := p.opts.Sources[camera.Name]
		if !ok {
			var err error
			if source, err = NewSource(camera.Source, p.opts.Executable, p.opts.Logger); err != nil {
				return nil, fmt.Errorf("camera %s: %w", camera.Name, err)
			}
		}
		sources[camera.Name] = source
	}
	return sources, nil
}

// list is the cameras that there are now.
func (p *Pipeline) list() []*camera {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.cameras
}

// runCameras runs the cameras, and changes their set when told to. It returns when ctx ends or the last source has.
func (p *Pipeline) runCameras(ctx context.Context) {
	defer close(p.camerasEnded)
	ended := make(chan struct{}, 1) // a camera has ended. One is enough: each is looked at
	p.change(ctx, change{p.opts.Config.Cameras, p.sources, make(chan struct{})}, ended)
	for !allEnded(p.list()) {
		select {
		case <-ended:
		case c := <-p.changes:
			p.change(ctx, c, ended)
		}
	}
}

func allEnded(cameras []*camera) bool {
	for _, cam := range cameras {
		select {
		case <-cam.ended:
		default:
			return false
		}
	}
	return true
}

// change makes the cameras those of c. One that is the same goes on undisturbed.
func (p *Pipeline) change(ctx context.Context, c change, ended chan<- struct{}) {
	before := map[string]*camera{}
	for _, cam := range p.list() {
		before[cam.config.Name] = cam
	}
	var added, cameras []*camera
	for _, config := range c.cameras {
		if cam, ok := before[config.Name]; ok && reflect.DeepEqual(cam.config, config) {
			delete(before, config.Name)
			cameras = append(cameras, cam)
			continue
		}
		cam := p.newCamera(ctx, config, c.sources[config.Name])
		added = append(added, cam)
		cameras = append(cameras, cam)
	}
	for _, cam := range before {
		cam.stop()
	}
	for _, cam := range before { // a camera that was changed has to let go of its device first
		<-cam.ended
		cam.tracking.end(track.Disabled)
		p.forgetPictures(cam.config.Name)
		cam.best.Close()
	}
	p.replaceCameras(cameras)
	for _, cam := range added {
		go func() {
			defer cam.end(ended)
			if cam.config.Disabled {
				<-cam.stopped.Done()
			} else if err := cam.loop.Run(cam.stopped); err != nil {
				p.opts.Logger.Error("camera has ended", "camera", cam.config.Name, "error", err)
			}
			p.touch()
		}()
	}
	p.touch()
	close(c.done)
}

// forgetPictures is for a camera that has ended or is about to be another: what it showed may be masked from now on.
func (p *Pipeline) forgetPictures(camera string) {
	p.hub.Forget(camera)
	p.happened.forget(camera)
}

// stuck gives an error where a camera's loop does not go round.
func (p *Pipeline) stuck() error {
	var errs []error
	for _, cam := range p.list() {
		if err := cam.stuck(); err != nil {
			errs = append(errs, fmt.Errorf("camera %s: %w", cam.config.Name, err))
		}
	}
	return errors.Join(errs...)
}

// Reload takes a new configuration, whole or not at all: cameras that are new or changed are started anew, the others are
// not disturbed; workers are restarted one after the other where what they go by has changed. An error means that
// nothing has changed.
func (p *Pipeline) Reload(ctx context.Context, cfg config.Config) error {
	p.reloading.Lock() // one at a time. It is held while frames flow on, and nobody but another reload waits for it
	defer p.reloading.Unlock()
	before := p.config()
	if err := errors.Join(needsCamera(cfg), changeable(before, cfg)); err != nil {
		return err
	}
	sources, err := p.newSources(cfg.Cameras)
	if err != nil {
		return err
	}
	newTracks := !reflect.DeepEqual(before.Track, cfg.Track) || !reflect.DeepEqual(before.Infer.Thresholds, cfg.Infer.Thresholds)
	newWork := !reflect.DeepEqual(before.Infer, cfg.Infer) || before.Track.Low != cfg.Track.Low
	if newWork {
		logger := p.opts.Logger.With("purpose", "try the new configuration")
		if _, _, err := Probe(ctx, cfg, p.opts.Executable, p.opts.Tree, nil, logger); err != nil {
			return fmt.Errorf("the new model was tried and does not work: %w", err)
		}
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
	p.mu.Lock()
	p.live = cfg
	p.mu.Unlock()
	if newTracks {
		for _, cam := range p.list() {
			cam.tracking.renew(cam.config, cfg)
		}
	}
	p.announcer.kick()
	if newWork {
		p.workers.restartInTurn(ctx, "new configuration")
	}
	p.opts.Logger.Info("configuration taken", "cameras", len(cfg.Cameras), "workers_restarted", newWork)
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
		{"infer.spare", before.Infer.Spare, after.Infer.Spare},
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
