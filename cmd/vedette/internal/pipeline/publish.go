package pipeline

import (
	"time"

	"vedette/cmd/vedette/internal/identity"
	"vedette/infer/client"
	"vedette/mqtt/payload"
)

// publisher turns one camera's results into messages. It is used by the stream's goroutine alone and keeps its memory.
type publisher struct {
	topic   string
	every   time.Duration // between two messages; 0: every result
	last    time.Duration // when the last message's frame was captured
	message payload.Detections
	text    []byte

	clock      payload.Clock
	clockAsked time.Time
}

// The clock's state changes rarely, and asking is a system call.
const askClockEvery = 10 * time.Second

func (p *Pipeline) newPublisher(camera string) *publisher {
	pub := &publisher{topic: p.topics.Detections(camera)}
	if rate := p.opts.Config.MQTT.Detections.Rate; rate > 0 {
		pub.every = time.Duration(float64(time.Second) / rate)
	}
	pub.message.Camera = camera
	return pub
}

// encode gives the message for a result, valid until the next call.
func (b *publisher) encode(r *client.Result) []byte {
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
	for _, d := range r.Detections {
		m.Objects = append(m.Objects, payload.Object{
			Label: r.Model.Label(d.Class), ClassID: d.Class, Score: d.Score,
			Box: [4]float32{d.Box.X1, d.Box.Y1, d.Box.X2, d.Box.Y2},
		})
	}
	t := r.Timings
	m.Timings = payload.Timings{Queue: t.Queue, Preprocess: t.Preprocess, Infer: t.Infer, Decode: t.Decode, Total: t.Total}
	b.text = m.AppendJSON(b.text[:0])
	return b.text
}

// handle counts, publishes and shows a result.
func (p *Pipeline) handle(cam *camera, r *client.Result) {
	cam.record.Result(r.Model, r.Detections, r.Timings)
	b := cam.publisher
	publishes := p.opts.Config.MQTT.Detections.Enabled && (b.every == 0 || b.last == 0 || r.Monotonic-b.last >= b.every)
	cam.view.seen.Store(int64(r.Monotonic))
	shows := p.hub.Wants(cam.config.Name)
	if publishes || shows {
		message := b.encode(r)
		if publishes {
			b.last = r.Monotonic
			p.mqtt.PublishDetections(b.topic, message)
		}
		if shows {
			p.showResult(cam.view, r, message)
		}
	}
	if p.opts.Handled != nil {
		p.opts.Handled(r)
	}
}
