package payload_test

import (
	"bytes"
	"encoding/json"
	"math"
	"strings"
	"testing"
	"time"

	"vedette/mqtt/payload"
	"vedette/mqtt/payload/schematest"
)

// message is a detections message as a subscriber would declare it, apart from the code that writes it.
type message struct {
	V           int       `json:"v"`
	Camera      string    `json:"camera"`
	Sequence    uint32    `json:"sequence"`
	CapturedAt  time.Time `json:"captured_at"`
	MonotonicNS int64     `json:"monotonic_ns"`
	Clock       string    `json:"clock"`
	Frame       struct {
		Width  int `json:"width"`
		Height int `json:"height"`
	} `json:"frame"`
	Detections []detection `json:"detections"`
	TimingsMS  timings     `json:"timings_ms"`
}

type detection struct {
	Label   string     `json:"label"`
	ClassID int        `json:"class_id"`
	Score   float64    `json:"score"`
	Box     [4]float64 `json:"box"`
}

type timings struct {
	Queue      float64 `json:"queue"`
	Preprocess float64 `json:"preprocess"`
	Infer      float64 `json:"infer"`
	Decode     float64 `json:"decode"`
	Total      float64 `json:"total"`
}

// expected is what a subscriber should read, by way of encoding/json.
func expected(t *testing.T, d *payload.Detections) message {
	t.Helper()
	at := d.CapturedAt.UTC().Truncate(time.Microsecond)
	if at.Year() < 0 {
		at = time.Date(0, time.January, 1, 0, 0, 0, 0, time.UTC)
	} else if at.Year() > 9999 {
		at = time.Date(9999, time.December, 31, 23, 59, 59, 999_999_000, time.UTC)
	}
	m := message{
		V: 1, Camera: d.Camera, Sequence: d.Sequence, CapturedAt: at,
		MonotonicNS: d.Monotonic.Nanoseconds(), Clock: string(d.Clock), Detections: []detection{},
		TimingsMS: timings{
			millis(d.Timings.Queue), millis(d.Timings.Preprocess), millis(d.Timings.Infer), millis(d.Timings.Decode),
			millis(d.Timings.Total),
		},
	}
	m.Frame.Width, m.Frame.Height = d.Width, d.Height
	for _, o := range d.Objects {
		m.Detections = append(m.Detections, detection{
			Label: o.Label, ClassID: o.ClassID, Score: unit(o.Score),
			Box: [4]float64{unit(o.Box[0]), unit(o.Box[1]), unit(o.Box[2]), unit(o.Box[3])},
		})
	}
	text, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return decoded(t, text)
}

func decoded(t *testing.T, text []byte) (m message) {
	t.Helper()
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&m); err != nil || decoder.More() {
		t.Fatalf("not one JSON document: %v in %q", err, text)
	}
	return m
}

func millis(d time.Duration) float64 { return math.Max(float64(d.Nanoseconds())/1e6, 0) }

func unit(v float32) float64 {
	if v > 0 { // false for what is no number
		return math.Min(float64(v), 1)
	}
	return 0
}

// agree compares messages, numbers to the decimals that are promised, and to what a float64 can tell of a long time.
func agree(t *testing.T, got, want message, text []byte) {
	t.Helper()
	near := func(what string, got, want, step float64) {
		if math.Abs(got-want) > step*0.5001+math.Abs(want)*1e-15 {
			t.Errorf("%s is %v, want %v in %s", what, got, want, text)
		}
	}
	near("queue", got.TimingsMS.Queue, want.TimingsMS.Queue, 1e-3)
	near("preprocess", got.TimingsMS.Preprocess, want.TimingsMS.Preprocess, 1e-3)
	near("infer", got.TimingsMS.Infer, want.TimingsMS.Infer, 1e-3)
	near("decode", got.TimingsMS.Decode, want.TimingsMS.Decode, 1e-3)
	near("total", got.TimingsMS.Total, want.TimingsMS.Total, 1e-3)
	if !got.CapturedAt.Equal(want.CapturedAt) {
		t.Errorf("captured at %v, want %v", got.CapturedAt, want.CapturedAt)
	}
	if got.V != want.V || got.Camera != want.Camera || got.Sequence != want.Sequence || got.MonotonicNS != want.MonotonicNS ||
		got.Clock != want.Clock || got.Frame != want.Frame || len(got.Detections) != len(want.Detections) {
		t.Fatalf("got  %+v\nwant %+v", got, want)
	}
	for i, d := range got.Detections {
		if d.Label != want.Detections[i].Label || d.ClassID != want.Detections[i].ClassID {
			t.Errorf("detection %d is %+v, want %+v", i, d, want.Detections[i])
		}
		near("score", d.Score, want.Detections[i].Score, 1e-3)
		for j := range d.Box {
			near("coordinate", d.Box[j], want.Detections[i].Box[j], 1e-5)
		}
	}
}

func load(t testing.TB) *schematest.Interface {
	t.Helper()
	in, err := schematest.Load()
	if err != nil {
		t.Fatal(err)
	}
	return in
}

// typical is a message as a camera with two objects makes it.
func typical() payload.Detections {
	return payload.Detections{
		Camera: "yard", Sequence: 4711, CapturedAt: time.Date(2026, time.October, 1, 8, 0, 0, 123_456_789, time.UTC),
		Monotonic: 93 * time.Second, Clock: payload.Synced, Width: 1280, Height: 720,
		Objects: []payload.Object{
			{Label: "person", ClassID: 0, Score: 0.8765, Box: [4]float32{0.1, 0.25, 0.333333, 1}},
			{Label: "cup", ClassID: 41, Score: 0.41, Box: [4]float32{0, 0.5, 0.000004, 0.999999}},
		},
		Timings: payload.Timings{
			Queue: 120 * time.Microsecond, Preprocess: 1500 * time.Microsecond, Infer: 31234567 * time.Nanosecond,
			Decode: 499 * time.Nanosecond, Total: 33 * time.Millisecond,
		},
	}
}

func TestDetectionsAreWhatEncodingJSONSays(t *testing.T) {
	in := load(t)
	for name, change := range map[string]func(*payload.Detections){
		"typical":       func(*payload.Detections) {},
		"nothing seen":  func(d *payload.Detections) { d.Objects = nil },
		"unsynced":      func(d *payload.Detections) { d.Clock, d.CapturedAt = payload.Unsynced, time.Time{} },
		"another zone":  func(d *payload.Detections) { d.CapturedAt = d.CapturedAt.In(time.FixedZone("", -3600)) },
		"last year":     func(d *payload.Detections) { d.CapturedAt = time.Date(9999, 12, 31, 23, 59, 59, 999_999_999, time.UTC) },
		"year too late": func(d *payload.Detections) { d.CapturedAt = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC) },
		"first year":    func(d *payload.Detections) { d.CapturedAt = time.Date(0, 1, 1, 0, 0, 0, 0, time.UTC) },
		"year too soon": func(d *payload.Detections) { d.CapturedAt = time.Date(-1, 12, 31, 0, 0, 0, 0, time.UTC) },
		// In UTC it is another year than where it was written.
		"year too late in UTC": func(d *payload.Detections) {
			d.CapturedAt = time.Date(9999, 12, 31, 23, 0, 0, 0, time.FixedZone("", -7200))
		},
		"not finite": func(d *payload.Detections) {
			nan, inf := float32(math.NaN()), float32(math.Inf(1))
			d.Objects[0].Score, d.Objects[0].Box = nan, [4]float32{nan, -inf, inf, math.MaxFloat32}
		},
		"out of the frame": func(d *payload.Detections) { d.Objects[0].Box = [4]float32{-0.5, -1e-9, 1.000001, 7} },
		"negative times":   func(d *payload.Detections) { d.Timings.Queue, d.Timings.Total = -1, math.MinInt64 },
		"longest times":    func(d *payload.Detections) { d.Timings.Infer, d.Monotonic = math.MaxInt64, math.MaxInt64 },
		"all bytes": func(d *payload.Detections) {
			var all strings.Builder
			for b := range 256 {
				all.WriteByte(byte(b))
			}
			d.Objects[0].Label = all.String() + "\u2028\u2029\u00e9\U0001F9CD\ufffd\xed\xa0\x80</script>"
		},
		"no label": func(d *payload.Detections) { d.Objects[0].Label = "" },
	} {
		t.Run(name, func(t *testing.T) {
			d := typical()
			change(&d)
			text := d.AppendJSON(nil)
			agree(t, decoded(t, text), expected(t, &d), text)
			if err := in.Check("vedette/test/yard/detections", text); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestDetectionsAreAppended(t *testing.T) {
	d := typical()
	if text := string(d.AppendJSON([]byte("before"))); text != "before"+string(d.AppendJSON(nil)) {
		t.Errorf("%s", text)
	}
}

// A message is made for each frame of each camera: it must not feed the garbage collector.
func TestDetectionsDoNotAllocate(t *testing.T) {
	d := typical()
	d.Objects[0].Label = "caf\u00e9 \"\x01\xff"
	text := d.AppendJSON(nil)
	if n := testing.AllocsPerRun(100, func() { text = d.AppendJSON(text[:0]) }); n != 0 {
		t.Errorf("%v allocations a message", n)
	}
}

// The state and faults are encoded by encoding/json: what remains to be shown is that their types make what the schema says.
func TestStateAndFaultAreAsTheirSchemasSay(t *testing.T) {
	at := payload.Time{Time: time.Date(2026, time.October, 1, 8, 0, 0, 1, time.UTC)}
	fault := payload.Fault{
		V: payload.Version, Time: at, Clock: payload.Synced, Process: "infer-worker", Kind: "signal", Message: "killed",
		Generation: 1, ExitCode: -1,
	}
	event := fault
	event.Epoch, event.Seq = "0123456789abcdef", 1
	full := event
	full.Exception, full.Traceback, full.Signal, full.LastLog = "SIGSEGV", "main.main()\n\t/a.go:1", "SIGSEGV", []string{"\xff"}
	full.Uptime, full.PeakRSS = 1.5, 1<<40
	worker := payload.Worker{Name: "infer-worker", State: "starting", Role: "active"}
	age, degrees := 0.25, -10.5
	loaded := payload.Worker{
		Role: "standby",
		Name: "infer-worker-2", State: "ready", Generation: 2, Restarts: 1, Provider: "cpu", Degraded: "cuda: no driver",
		Runtime: "1.30.0", PID: 42, LastFault: &fault,
		Model: &payload.Model{Name: "coco", SHA256: strings.Repeat("0af9", 16), Family: "centernet"},
	}
	state := payload.State{
		V: payload.Version, Time: at, Clock: payload.Unsynced, Version: "dev", Device: "test",
		BootID: "0f2f8b0e-1d2c-4c3b-8a49-5e6f70819203", Worker: worker, Workers: []payload.Worker{worker},
		Cameras: map[string]payload.Camera{}, Degraded: []payload.Degradation{},
		Outbox: payload.Outbox{Epoch: "0123456789abcdef"},
	}
	richer := state
	richer.Worker, richer.Workers = loaded, []payload.Worker{worker, loaded}
	richer.Cameras = map[string]payload.Camera{
		"gate": {State: "opening", Source: "v4l2", Drops: map[string]uint64{}, Failures: map[string]uint64{}},
		"yard": {
			State: "streaming", Source: "scene", Format: "yuyv", Width: 1280, Height: 720, FPS: 24.9,
			Drops: map[string]uint64{"rate": 3}, Failures: map[string]uint64{"lost": 2}, LastFrameAge: &age, LastError: "no frame came in time",
		},
	}
	richer.Resources = payload.Resources{ParentRSS: 1, ChildRSS: 2, Temperature: &degrees}
	richer.Degraded = []payload.Degradation{{What: "camera yard", Why: "it is gone", Remedy: "look at its cable"}}
	in := load(t)
	for _, c := range []struct {
		name, topic string
		message     any
	}{
		{"fault", "vedette/test/faults", event},
		{"fault with all that may be known", "vedette/test/faults", full},
		{"state at the start", "vedette/test/state", state},
		{"state with all that may be known", "vedette/test/state", richer},
	} {
		text, err := json.Marshal(c.message)
		if err != nil {
			t.Fatal(err)
		}
		if err := in.Check(c.topic, text); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}
