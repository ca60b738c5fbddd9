package pipeline

import (
	"context"
	"errors"
	"fmt"
	"reflect"

	"vedette/capture"
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
