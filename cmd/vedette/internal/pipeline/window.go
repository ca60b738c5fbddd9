package pipeline

import (
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/goccy/go-yaml"

	"vedette/capture"
	"vedette/capture/picture"
	"vedette/cmd/vedette/internal/metrics"
	"vedette/infer/client"
	"vedette/infer/preprocess/mask"
	"vedette/infer/wire"
	"vedette/mqtt/payload"
	"vedette/web"
	"vedette/web/live"
)

// newWeb gives nil where nothing is to be served.
func (p *Pipeline) newWeb() (*web.Server, error) {
	if p.opts.Config.Web.Listen == "" {
		return nil, nil
	}
	for i := range p.workers.supervisors {
		p.records.Worker(p.workers.name(i))
	}
	return web.New(web.Options{
		Config: p.opts.Config.Web, StateDir: p.opts.Config.StateDir,
		Metrics:   metrics.NewRegistry(p.opts.Version, p.snapshot, p.records),
		Ready:     func() error { return readiness(p.Health(), p.State().Degraded) },
		Documents: p.documents(),
		Settings:  settings{p},
		Live:      p.hub,
		Changed:   p.touch,
		Logger:    p.opts.Logger,
	})
}

// healthDocument is what the page shows of the health: the broker beside it, as the state document has its queue alone.
type healthDocument struct {
	payload.Health
	Broker brokerDocument `json:"broker"`
}

type brokerDocument struct {
	Connected bool   `json:"connected"`
	LastError string `json:"last_error,omitempty"`
}

// cameraDocument is a camera as it is configured, without its source: that may name hosts.
type cameraDocument struct {
	Name string `json:"name"`
	capture.Turn
	Region capture.Region  `json:"region"`
	Masks  json.RawMessage `json:"masks"` // this and what follows with the configuration's own keys
	Zones  json.RawMessage `json:"zones"`
	Lines  json.RawMessage `json:"lines"`
}

func (p *Pipeline) documents() web.Documents {
	return web.Documents{
		State: func() any { return p.State() },
		Health: func() any {
			mq := p.mqtt.Status()
			return healthDocument{p.Health(), brokerDocument{mq.Connected, mq.LastError}}
		},
		Faults:  func() any { return map[string]any{"v": payload.Version, "faults": p.recent.list()} },
		Events:  p.happened.document,
		Shot:    p.happened.picture,
		Cameras: func() any { return map[string]any{"v": payload.Version, "cameras": p.cameraDocuments()} },
		Names:   p.cameraNames,
	}
}

func (p *Pipeline) cameraNames() []string {
	var names []string
	for _, cam := range p.list() {
		names = append(names, cam.config.Name)
	}
	return names
}

func (p *Pipeline) cameraDocuments() []cameraDocument {
	documents := []cameraDocument{}
	for _, cam := range p.list() {
		c := cam.config
		documents = append(documents, cameraDocument{c.Name, c.Turn(), c.Region, asConfigured(c.Masks), asConfigured(c.Zones), asConfigured(c.Lines)})
	}
	return documents
}

// asConfigured gives a part of the configuration as JSON with the configuration's keys.
func asConfigured(part any) json.RawMessage {
	text, err := yaml.MarshalWithOptions(part, yaml.JSON())
	if err != nil || !json.Valid(text) {
		return json.RawMessage("null") // what was read can be written
	}
	return text
}

// maxRecent bounds the faults that the page can show.
const maxRecent = 32

// recent is the last faults. It is for any goroutine.
type recent struct {
	mu     sync.Mutex // guards faults
	faults []payload.Fault
}

func (r *recent) add(faults ...payload.Fault) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.faults = append(r.faults, faults...)
	r.faults = slices.Delete(r.faults, 0, max(0, len(r.faults)-maxRecent))
}

// list gives them oldest first.
func (r *recent) list() []payload.Fault {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]payload.Fault{}, r.faults...)
}

// remember takes in the faults that were kept before this start.
func (p *Pipeline) remember() {
	if p.opts.FaultLog == nil {
		return
	}
	kept, _ := p.opts.FaultLog.Faults() // what cannot be read is doctor's to tell
	p.recent.add(kept...)
}

// blindAfter is how long a camera may go without a result until its frames are shown live as they are: who aims a camera wants to see
// where it looks although no worker runs.
const blindAfter = 2 * time.Second

// view shows one camera's frames of one format to whoever watches.
type view struct {
	name    string
	options picture.Options
	masked  *mask.Painter // of raw frames that no stream has painted; nil: nothing to paint
	seen    atomic.Int64  // when the last result came, on CLOCK_MONOTONIC
}

// newView fails where a raw format's masks cannot be painted. Where those of MJPEG frames cannot, no frame is shown.
func newView(config capture.Camera, format capture.Format) (*view, error) {
	v := &view{name: config.Name, options: picture.Options{Format: format, Turn: config.Turn()}}
	if len(config.Masks) == 0 {
		return v, nil
	}
	if format.Pixel != capture.MJPEG {
		var err error
		v.masked, err = mask.New(format, config.Turn(), config.Masks)
		return v, err
	}
	v.options.Paint = paintUpright(config, format)
	return v, nil
}

// paintUpright paints a camera's masks into upright pictures in I420, full range.
func paintUpright(config capture.Camera, format capture.Format) func(i420 []byte, width, height int) error {
	width, height := config.Turn().Upright(format.Width, format.Height)
	upright := capture.Format{Pixel: capture.I420, Width: width, Height: height, Range: capture.Full}
	painter, err := mask.New(upright.Packed(), capture.Turn{}, config.Masks)
	return func(i420 []byte, w, h int) error {
		switch {
		case err != nil:
			return err
		case w != width || h != height:
			return fmt.Errorf("it has %dx%d pixels instead of %dx%d", w, h, width, height)
		}
		return painter.Paint(i420)
	}
}

// encode makes a picture of pixels that hide what they have to.
func (v *view) encode(encoder *picture.Encoder) func([]byte, int) ([]byte, error) {
	return func(pixels []byte, width int) ([]byte, error) {
		o := v.options
		o.Width = width
		return encoder.Encode(pixels, o)
	}
}

// encodeBare is for pixels that came straight from the camera.
func (v *view) encodeBare(encoder *picture.Encoder) func([]byte, int) ([]byte, error) {
	encode := v.encode(encoder)
	if v.masked == nil {
		return encode
	}
	return func(pixels []byte, width int) ([]byte, error) {
		if err := v.masked.Paint(pixels); err != nil { // the hub's copy
			return nil, err
		}
		return encode(pixels, width)
	}
}

// showResult shows a frame with what was seen in it. message is the one that describes it.
func (p *Pipeline) showResult(v *view, r *client.Result, message []byte) {
	p.hub.Show(v.name, live.Frame{Pixels: r.Pixels, Sequence: r.Sequence, Message: message, Encode: v.encode(&p.encoder)})
}

// bareMessage describes a frame that no model has looked at: as a detections message, with null for what was seen.
type bareMessage struct {
	V          int          `json:"v"`
	Camera     string       `json:"camera"`
	Sequence   uint32       `json:"sequence"`
	CapturedAt payload.Time `json:"captured_at"`
	Detections []string     `json:"detections"`
}

// showBare shows a frame that no model looks at, where none has looked at any for a while.
func (p *Pipeline) showBare(v *view, frame *capture.Frame) {
	if !p.hub.Wants(v.name) || wire.Monotonic()-time.Duration(v.seen.Load()) < blindAfter {
		return
	}
	message, err := json.Marshal(bareMessage{
		V: payload.Version, Camera: v.name, Sequence: frame.Sequence, CapturedAt: payload.Time{Time: frame.Wall},
	})
	if err != nil {
		p.opts.Logger.Error("cannot describe a frame", "camera", v.name, "error", err)
		return
	}
	p.hub.Show(v.name, live.Frame{Pixels: frame.Data, Sequence: frame.Sequence, Message: message, Encode: v.encodeBare(&p.encoder)})
}
