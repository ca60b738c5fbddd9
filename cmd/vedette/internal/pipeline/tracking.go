package pipeline

import (
	"context"
	"sync"
	"time"

	"vedette/capture"
	"vedette/cmd/vedette/internal/config"
	"vedette/infer"
	"vedette/infer/client"
	"vedette/infer/wire"
	"vedette/mqtt/payload"
	"vedette/track"
)

// tracking turns one camera's results into the events of objects. Results come from the goroutine of the camera's stream, ends
// from others.
type tracking struct {
	camera  string
	rotated bool // the frame's width is the picture's height
	publish func(camera string, events []track.Event, frame frameTime)
	count   func(camera string, changed []track.Count)

	mu         sync.Mutex // guards the rest. Held while messages are handed over, which never blocks, so that they keep their order
	tracker    *track.Tracker
	timeout    time.Duration
	configured infer.Thresholds
	model      *infer.Model     // that thresholds are made for; nil: none yet
	thresholds infer.Thresholds // what counts
	objects    int              // that have a new, and no end yet
	last       frameTime
	ids        []string // of the last result's detections
}

// frameTime is when the last frame was captured, and how large it is.
type frameTime struct {
	monotonic     time.Duration
	wall          time.Time
	width, height int // of the picture, in pixels
}

// at gives the wall clock's time of a moment on CLOCK_MONOTONIC, near the frame's.
func (f frameTime) at(monotonic time.Duration) time.Time { return f.wall.Add(monotonic - f.monotonic) }

func (p *Pipeline) newTracking(camera capture.Camera) *tracking {
	t := &tracking{
		camera: camera.Name, rotated: camera.Turn().Sideways(), publish: p.publishEvents, count: p.announcer.count,
	}
	t.renew(camera, p.config())
	return t
}

// renew takes what a new configuration says of tracking; objects that there are end.
func (t *tracking) renew(camera capture.Camera, cfg config.Config) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.tracker != nil {
		t.tell(t.tracker.End(track.Disabled))
	}
	t.timeout, t.configured, t.model = cfg.Track.Timeout, cfg.Infer.Thresholds, nil
	t.tracker = track.New(cfg.Tracker(camera, track.NewPrefix()))
}

// learn takes the thresholds that a model's manifest brings along.
func (t *tracking) learn(model *infer.Model) {
	if model == t.model {
		return
	}
	t.model, t.thresholds = model, t.configured.Over(model.Thresholds)
	t.tracker.SetThresholds(t.thresholds)
}

// update takes a result. What is less sure than its label's threshold serves tracking alone: it is taken out of the result's
// detections. It gives the object of each that is left, by id, valid until the next call.
func (t *tracking) update(r *client.Result) []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.learn(r.Model)
	format := r.Stream.Format()
	t.last = frameTime{r.Monotonic, r.Wall, format.Width, format.Height}
	if t.rotated {
		t.last.width, t.last.height = format.Height, format.Width
	}
	events := t.tracker.Update(track.Frame{
		Sequence: r.Sequence, Monotonic: r.Monotonic, Labels: r.Model.Labels,
		Aspect: float32(t.last.width) / float32(t.last.height),
	}, r.Detections)
	sure := r.Detections[:0]
	t.ids = t.ids[:0]
	for i, d := range r.Detections {
		if d.Score >= t.thresholds.For(r.Model.Label(d.Class)) {
			t.ids = append(t.ids, t.tracker.ObjectOf(i))
			sure = append(sure, d)
		}
	}
	r.Detections = sure
	t.tell(events)
	return t.ids
}

// sightings appends where each believed object is in the last frame.
func (t *tracking) sightings(to []track.Sighting) []track.Sighting {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.tracker.Sightings(to)
}

// end ends every object.
func (t *tracking) end(reason track.Reason) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.tell(t.tracker.End(reason))
}

// look ends every object where no result has come for too long. frames is when the camera's last frame was captured.
func (t *tracking) look(now, frames time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.objects == 0 || now-t.last.monotonic <= t.timeout {
		return
	}
	reason := track.CameraLost
	if now-frames <= t.timeout {
		reason = track.Stalled
	}
	t.tell(t.tracker.End(reason))
}

func (t *tracking) tell(events []track.Event) {
	for _, e := range events {
		switch e.Type {
		case track.TypeNew:
			t.objects++
		case track.TypeEnd:
			t.objects--
		}
	}
	if len(events) > 0 {
		t.publish(t.camera, events, t.last)
	}
	if changed := t.tracker.Changed(); len(changed) > 0 {
		t.count(t.camera, changed)
	}
}

// publishEvents hands events to the outbox.
func (p *Pipeline) publishEvents(camera string, events []track.Event, frame frameTime) {
	clock := clock()
	for _, e := range events {
		p.records.Event(camera, string(e.Type))
		m := payload.Event{
			Type: string(e.Type), ID: e.ID, Camera: camera, BootID: p.bootID, Sequence: e.Sequence, Monotonic: e.Monotonic,
			Time: frame.at(e.Monotonic), Clock: clock, Reason: string(e.Reason),
			Before: trackedObject(e.Before), After: trackedObject(e.After),
		}
		for _, c := range e.Crossed {
			m.Crossed = append(m.Crossed, payload.Crossing{Line: c.Line, Direction: string(c.Direction)})
			p.records.Crossing(camera, c.Line, string(c.Direction), e.After.Label)
		}
		p.publishEvent(camera, e.ID, m.Type, m.AppendJSON)
		p.happens(m)
		p.publishFrigate(camera, e, frame)
	}
}

func trackedObject(o *track.Object) *payload.TrackedObject {
	if o == nil {
		return nil
	}
	return &payload.TrackedObject{
		Label: o.Label, ClassID: o.Class, Score: o.Score, TopScore: o.TopScore,
		Box: [4]float32{o.Box.X1, o.Box.Y1, o.Box.X2, o.Box.Y2}, First: o.First, Last: o.Last,
		Zones: o.Zones, Entered: o.Entered, Stationary: o.Stationary,
	}
}

// lookEvery is how often a camera is asked whether its results have stopped.
const lookEvery = 500 * time.Millisecond

// watchTracks ends objects of cameras that give no results any more.
func (p *Pipeline) watchTracks(ctx context.Context) error {
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		for _, cam := range p.list() {
			cam.tracking.look(wire.Monotonic(), cam.loop.Status().LastFrame)
		}
	}
}

// endTracks ends every object as the service stops.
func (p *Pipeline) endTracks() {
	for _, cam := range p.list() {
		cam.tracking.end(track.ServiceStop)
	}
}
