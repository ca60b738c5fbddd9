package pipeline

import (
	"context"
	"errors"
	"fmt"
	"time"

	"vedette/cmd/vedette/internal/retained"
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
	topic := p.topics.Snapshot(name)
	p.announcer.ledger.Note(retained.Entry{Topic: topic, Kind: retained.Picture, Camera: name})
	p.mqtt.SetRetained(topic, shot.JPEG)
	return nil
}
