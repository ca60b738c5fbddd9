package pipeline

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"time"

	"vedette/capture"
	"vedette/cmd/vedette/internal/bestview"
	"vedette/cmd/vedette/internal/retained"
	"vedette/mqtt"
	"vedette/web/live"
)

// pictureWithin is how long a snapshot waits for the camera's next frame.
const pictureWithin = 5 * time.Second

// widest is more pixels than any picture of the live view has.
const widest = 1 << 16

// publishSnapshot publishes a picture of a camera's next frame, made as those of the live view are: what masks hide is painted. The
// name may be left out where there is one camera.
func (p *Pipeline) publishSnapshot(ctx context.Context, name string) error {
	cameras := p.list()
	if name == "" && len(cameras) == 1 {
		name = cameras[0].config.Name
	}
	if name == "" {
		return errors.New("args.camera is missing: there are several")
	}
	cam := p.camera(name)
	if cam == nil {
		return p.noCamera(name)
	}
	ctx, cancel := context.WithTimeout(ctx, pictureWithin)
	defer cancel()
	shot, err := p.hub.Snapshot(ctx, name, widest)
	switch {
	case errors.Is(err, live.ErrFull):
		return fmt.Errorf("no picture is made: %w", err)
	case err != nil:
		return fmt.Errorf("no picture came within %v: camera %s is %s", pictureWithin, name, cam.loop.Status().State)
	}
	if !p.putPicture(cam, retained.Entry{Topic: p.topics.Snapshot(name)}, shot.JPEG) {
		return fmt.Errorf("camera %s was changed while the picture was made: ask again", name)
	}
	return nil
}

// newBest gives nil where no best views are to be published.
func (p *Pipeline) newBest() *bestview.Chooser {
	cfg := p.opts.Config.MQTT.Snapshots
	if !cfg.Enabled {
		return nil
	}
	size, _ := cfg.Bytes() // validated
	return bestview.New(bestview.Options{
		Every: cfg.Every, Width: cfg.Width, MaxBytes: size, Box: cfg.Box, Crop: cfg.Crop, Publish: p.publishBest, Logger: p.opts.Logger,
	})
}

func (p *Pipeline) runBest(ctx context.Context) error {
	if p.best != nil {
		p.best.Run(ctx)
	}
	return nil
}

// publishBest publishes the picture of a label's best view.
func (p *Pipeline) publishBest(b bestview.Picture) {
	cam := p.camera(b.Camera)
	if cam == nil {
		return
	}
	e := retained.Entry{Topic: p.topics.Best(b.Camera, b.Part), Label: b.Label, Part: b.Part}
	p.putPicture(cam, e, b.JPEG)
	if p.opts.Config.MQTT.Speaks(mqtt.Frigate) {
		e.Topic = p.frigate.Best(b.Camera, b.Part)
		p.putPicture(cam, e, b.JPEG)
	}
}

// putPicture publishes a retained picture, and tells whether the camera that it was taken with is still as it was then: else nobody gets
// it, as other masks may hold now.
func (p *Pipeline) putPicture(cam *camera, e retained.Entry, jpeg []byte) bool {
	p.picturing.Lock()
	defer p.picturing.Unlock()
	if p.camera(cam.config.Name) != cam {
		return false
	}
	e.Kind, e.Camera, e.View = retained.Picture, cam.config.Name, viewOf(cam.config)
	if p.announcer.ledger.Note(e) {
		p.announcer.kick()
	}
	p.mqtt.SetRetained(e.Topic, jpeg)
	return true
}

// viewOf is another text for each source, turn and set of masks: pictures that were made by others are not to be seen any more.
func viewOf(c capture.Camera) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%v %v %s", c.Masks, c.Turn(), asConfigured(c.Source)))
	return hex.EncodeToString(sum[:8])
}

// replaceCameras makes the cameras those that there are, and takes back what was made of them as they were before.
func (p *Pipeline) replaceCameras(cameras []*camera) {
	p.picturing.Lock()
	defer p.picturing.Unlock()
	p.mu.Lock()
	p.cameras = cameras
	p.mu.Unlock()
	p.removePictures()
}

// prunePictures removes the retained pictures that are not wanted, once it is known which cameras there are.
func (p *Pipeline) prunePictures() {
	p.picturing.Lock()
	defer p.picturing.Unlock()
	if p.list() != nil {
		p.removePictures()
	}
}

// removePictures is for under the lock.
func (p *Pipeline) removePictures() {
	for _, e := range p.announcer.ledger.Entries(retained.Picture) {
		if cam := p.camera(e.Camera); cam == nil || !p.wantsPicture(e, cam.config) {
			p.mqtt.SetRetained(e.Topic, nil)
			p.announcer.ledger.Forget(e.Topic)
		}
	}
}

// wantsPicture tells whether a picture that lies at the broker is one that this service would put there.
func (p *Pipeline) wantsPicture(e retained.Entry, camera capture.Camera) bool {
	if e.View != viewOf(camera) || !p.knowsLabel(e.Label) {
		return false
	}
	cfg := p.opts.Config.MQTT
	switch e.Topic {
	case p.topics.Snapshot(e.Camera):
		return slices.Contains(cfg.Commands, "snapshot")
	case p.topics.Best(e.Camera, e.Part):
		return cfg.Snapshots.Enabled
	case p.frigate.Best(e.Camera, e.Part):
		return cfg.Snapshots.Enabled && cfg.Speaks(mqtt.Frigate)
	}
	return false
}

// knowsLabel tells whether the model has a label, as far as it is known. A class without one is nobody's to know.
func (p *Pipeline) knowsLabel(label string) bool {
	model := p.workers.model()
	return label == "" || model == nil || slices.Contains(model.Labels, label)
}
