package pipeline

import (
	"time"

	"vedette/cmd/vedette/internal/bestview"
	"vedette/cmd/vedette/internal/identity"
	"vedette/infer/client"
	"vedette/mqtt/payload"
)

// publisher turns one camera's results into messages. It is used by the stream's goroutine alone and keeps its memory.
type publisher struct {
	topic   string
	gate    gate
	message payload.Detections
	text    []byte

	clock      payload.Clock
	clockAsked time.Time
}

// The clock's state changes rarely, and asking is a system call.
const askClockEvery = 10 * time.Second

func (p *Pipeline) newPublisher(camera string) *publisher {
	pub := &publisher{topic: p.topics.Detections(camera), gate: newGate(p.opts.Config.MQTT.Detections)}
	pub.message.Camera = camera
	return pub
}

// encode gives the message for a result, valid until the next call; objects are the ids of its detections' objects.
func (b *publisher) encode(r *client.Result, objects []string) []byte {
	if now := time.Now(); now.Sub(b.clockAsked) > askClockEvery {
		b.clockAsked, b.clock = now, payload.Unsynced
		if identity.ClockSynced() {
			b.clock = payload.Synced
		}
	}
	format := r.Stream.Format()
	m := &b.message
	m.Sequence, m.CapturedAt, m.Monotonic, m.Clock = r.Sequence, r.Wall, r.Monotonic, b.clock
	m.Width, m.Height = format.Width, format.Height
	m.Objects = m.Objects[:0]
	for i, d := range r.Detections {
		m.Objects = append(m.Objects, payload.Object{
			Label: r.Model.Label(d.Class), ClassID: d.Class, Score: d.Score,
			Box: [4]float32{d.Box.X1, d.Box.Y1, d.Box.X2, d.Box.Y2}, TrackID: objects[i],
		})
	}
	t := r.Timings
	m.Timings = payload.Timings{Queue: t.Queue, Preprocess: t.Preprocess, Infer: t.Infer, Decode: t.Decode, Total: t.Total}
	b.text = m.AppendJSON(b.text[:0])
	return b.text
}

// handle tracks, counts, publishes and shows a result.
func (p *Pipeline) handle(cam *camera, r *client.Result) {
	objects := cam.tracking.update(r)
	if cam.best.Wants() {
		cam.sightings = cam.tracking.sightings(cam.sightings[:0])
		cam.best.Offer(bestview.Frame{Pixels: r.Pixels, Picture: cam.view.options}, cam.sightings)
	}
	cam.record.Result(r.Model, r.Detections, r.Timings)
	cam.view.seen.Store(int64(r.Monotonic))
	b := cam.publisher
	held := b.gate.holds(r.Monotonic, r.Detections)
	shows := p.hub.Wants(cam.config.Name)
	if held == "" || shows {
		message := b.encode(r, objects)
		if held == "" && !p.budget.take(time.Now(), len(b.topic)+len(message)) {
			held = heldByDaily
		}
		if held == "" {
			b.gate.passed(r.Monotonic, r.Detections)
			p.mqtt.PublishDetections(b.topic, message)
		}
		if shows {
			p.showResult(cam.view, r, message)
		}
	}
	if held != "" {
		p.withheld.add(held)
	}
	if p.opts.Handled != nil {
		p.opts.Handled(r)
	}
}
