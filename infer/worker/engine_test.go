package worker

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"vedette/capture"
	"vedette/infer/onnx"
	"vedette/infer/onnxfile/tinymodel"
	"vedette/infer/ring"
	"vedette/infer/wire"
)

func newTestEngine(t testing.TB) *engine {
	t.Helper()
	e, _, err := newEngine(defaultLoad(t), func() {}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.close)
	return e
}

// do has the engine look at one frame, and the worker answer.
func do(w *worker, e *engine, b *batch, r wire.FrameRecord) (over bool, err error) {
	e.add(b, r)
	return w.finish(e, b)
}

func connect(t testing.TB) (parent, child *wire.Conn) {
	t.Helper()
	a, b, err := wire.Pair()
	if err != nil {
		t.Fatal(err)
	}
	if parent, err = wire.NewConn(a); err != nil {
		t.Fatal(err)
	}
	if child, err = wire.NewConn(b); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { parent.Close(); child.Close() })
	return parent, child
}

func TestFramesAllocateNothing(t *testing.T) {
	if raceDetector {
		t.Skip("the race detector makes sync.Pool forget on purpose")
	}
	e, p := newTestEngine(t), photograph(t)
	parent, conn := connect(t)
	w := &worker{conn: conn, generation: generation}
	only := newBatch(e.input)
	for stream, c := range map[uint32]struct {
		name string
		data []byte
	}{1: {"yuyv", p.yuyv()}, 2: {"mjpeg", p.jpeg}} {
		ring := p.ring(t, c.data)
		open := wire.OpenStream{Generation: generation, Stream: stream, Format: p.format(), Geometry: ring.Geometry()}
		if stream == 2 {
			open.Format = p.jpegFormat()
		}
		if err := parent.Send(time.Now().Add(patience), open, ring.File()); err != nil {
			t.Fatal(err)
		}
		m, files, err := conn.Receive(time.Now().Add(patience))
		if err != nil {
			t.Fatal(err)
		}
		e.open(m.(*wire.OpenStream), files[0])

		frame := wire.FrameRecord{Stream: stream, BytesUsed: uint32(len(c.data)), Submitted: 1}
		if n := testing.AllocsPerRun(10, func() {
			if _, err := do(w, e, only, frame); err != nil {
				t.Fatal(err)
			}
			m, _, err := parent.Receive(time.Time{})
			if r, ok := m.(*wire.Result); err != nil || !ok || r.Status != wire.StatusOK || len(r.Detections) < 2 {
				t.Fatalf("result %+v, %v", m, err)
			}
		}); n != 0 {
			t.Errorf("%s: %v allocations a frame", c.name, n)
		}
	}
}

func TestFramesAheadAllocateNothing(t *testing.T) {
	if raceDetector {
		t.Skip("the race detector makes sync.Pool forget on purpose")
	}
	e, p := newTestEngine(t), photograph(t)
	parent, conn := connect(t)
	w := &worker{conn: conn, generation: generation, log: slog.New(slog.DiscardHandler), jobs: make(chan job, maxJobs)}
	ring := p.ring(t, p.yuyv())
	open := wire.OpenStream{Generation: generation, Stream: 1, Format: p.format(), Geometry: ring.Geometry()}
	if err := parent.Send(time.Now().Add(patience), open, ring.File()); err != nil {
		t.Fatal(err)
	}
	m, files, err := conn.Receive(time.Now().Add(patience))
	if err != nil {
		t.Fatal(err)
	}
	worked := make(chan error, 1)
	go func() { worked <- w.serve(t.Context(), e, true) }()
	w.jobs <- job{open: m.(*wire.OpenStream), ring: files[0]}
	frame := job{frame: wire.FrameRecord{Stream: 1, BytesUsed: uint32(len(p.yuyv())), Submitted: 1}}
	w.jobs <- frame // one is always ahead
	if n := testing.AllocsPerRun(10, func() {
		w.jobs <- frame
		m, _, err := parent.Receive(time.Now().Add(patience))
		if r, ok := m.(*wire.Result); err != nil || !ok || r.Status != wire.StatusOK || len(r.Detections) < 2 {
			t.Errorf("result %+v, %v", m, err)
		}
	}); n != 0 {
		t.Errorf("%v allocations a frame", n)
	}
	w.jobs <- job{shutdown: &wire.Shutdown{Generation: generation}}
	if err := <-worked; err != nil {
		t.Error(err)
	}
}

// A parent that vanishes in the middle of everything leaves no descriptor, mapping or goroutine behind.
func TestNothingIsLeft(t *testing.T) {
	p := photograph(t)
	round := func(ahead bool) {
		load := defaultLoad(t)
		load.Ahead = ahead
		parentEnd, childEnd, err := wire.Pair()
		if err != nil {
			t.Fatal(err)
		}
		parent, err := wire.NewConn(parentEnd)
		if err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- Run(t.Context(), Env{Control: childEnd, Logger: slog.New(slog.DiscardHandler)}) }()
		send := func(m wire.Message, files ...*os.File) {
			if err := parent.Send(time.Now().Add(patience), m, files...); err != nil {
				t.Fatal(err)
			}
		}
		send(load)
		r, err := ring.New("test", 2, len(p.yuyv()))
		if err != nil {
			t.Fatal(err)
		}
		for stream := range uint32(5) {
			send(wire.OpenStream{
				Generation: generation, Stream: stream, Format: p.format(), Geometry: r.Geometry(),
			}, r.File())
			send(wire.Frames{Generation: generation, Records: []wire.FrameRecord{
				{Stream: stream, BytesUsed: uint32(len(p.yuyv()))}, {Stream: stream, BytesUsed: uint32(len(p.yuyv()))},
			}})
		}
		for results := 0; results < 3; {
			m, _, err := parent.Receive(time.Now().Add(patience))
			if err != nil {
				t.Fatal(err)
			}
			if _, ok := m.(*wire.Result); ok {
				results++
			}
		}
		if err := errors.Join(parent.Close(), r.Close()); err != nil {
			t.Fatal(err)
		}
		if err := <-ended; err != nil {
			t.Errorf("Run ends with %v", err)
		}
	}
	held := func() (files, mappings int) {
		entries, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		maps, err := os.ReadFile("/proc/self/maps")
		if err != nil {
			t.Fatal(err)
		}
		return len(entries), strings.Count(string(maps), "memfd:")
	}
	// The garbage collector would close what the worker forgets.
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	round(false) // the library and its threads stay
	// Where a run takes longer than Run waits for it, on a busy machine, the rest is let go of when that has ended.
	deadline := time.Now().Add(patience)
	settle := func(done func(files, mappings int) bool) (files, mappings int) {
		for files, mappings = held(); !done(files, mappings) && time.Now().Before(deadline); files, mappings = held() {
			time.Sleep(10 * time.Millisecond)
		}
		return files, mappings
	}
	filesBefore, mappingsBefore := settle(func(_, mappings int) bool { return mappings == 0 })
	round(false)
	round(true)
	deadline = time.Now().Add(patience)
	files, mappings := settle(func(files, mappings int) bool { return files <= filesBefore && mappings == 0 })
	if files > filesBefore || mappings != 0 || mappingsBefore != 0 {
		t.Errorf("%d descriptors and %d rings before, %d and %d after", filesBefore, mappingsBefore, files, mappings)
	}
}

func TestFailedRuns(t *testing.T) {
	e, p := newTestEngine(t), photograph(t)
	parent, conn := connect(t)
	w := &worker{conn: conn, log: slog.New(slog.DiscardHandler), generation: generation}
	only := newBatch(e.input)
	ring := p.ring(t, p.yuyv())
	open := wire.OpenStream{Generation: generation, Stream: 1, Format: p.format(), Geometry: ring.Geometry()}
	if err := parent.Send(time.Now().Add(patience), open, ring.File()); err != nil {
		t.Fatal(err)
	}
	m, files, err := conn.Receive(time.Now().Add(patience))
	if err != nil {
		t.Fatal(err)
	}
	e.open(m.(*wire.OpenStream), files[0])
	frame := wire.FrameRecord{Stream: 1, Sequence: 5, BytesUsed: uint32(len(p.yuyv()))}

	e.run = func(*onnx.Feed, int) error { return errors.New("out of memory") }
	if over, err := do(w, e, only, frame); over || err != nil {
		t.Fatalf("one failed run ends the worker: %v", err)
	}
	if m, _, err = parent.Receive(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	if r, ok := m.(*wire.Result); !ok || r.Status != wire.StatusFailed || r.Sequence != 5 || len(r.Detections) != 0 {
		t.Errorf("a failed run answers %+v", m)
	}

	e.run = func(*onnx.Feed, int) error {
		return fmt.Errorf("cannot run the model: %w: CUDA failure 700", onnx.ErrDeviceLost)
	}
	if over, err := do(w, e, only, frame); !over || !errors.Is(err, onnx.ErrDeviceLost) {
		t.Errorf("a lost device does not end the worker: %v, %v", over, err)
	}
	if m, _, err = parent.Receive(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	if f, ok := m.(*wire.Fault); !ok || f.Kind != "exit" || f.Generation != generation {
		t.Errorf("a lost device is told as %+v", m)
	}
}

// Whatever the manifest says, the parent gets what it has a use for, and is told what the manifest says.
func TestThresholdsOfTheManifestAndOfTheParent(t *testing.T) {
	model := filepath.Join(t.TempDir(), "tiny.onnx")
	var written bytes.Buffer
	if err := tinymodel.Write(&written, 64); err != nil {
		t.Fatal(err)
	}
	for path, text := range map[string][]byte{model: written.Bytes(), model + ".yaml": []byte("thresholds: {default: 0.9}\n")} {
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	red := bytes.Repeat([]byte{200, 20, 20}, 64*64) // scores 180/255
	for low, found := range map[float32]int{1: 0, 0.8: 0, 0.1: 1} {
		load := defaultLoad(t)
		load.ModelPath, load.Low = model, low
		e, described, err := newEngine(load, func() {}, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		if got := described.Thresholds.For("person"); got != 0.9 {
			t.Errorf("the manifest's threshold is told as %g", got)
		}
		r := photo{}.ring(t, red)
		parent, conn := connect(t)
		open := wire.OpenStream{
			Generation: generation, Stream: 1, Geometry: r.Geometry(),
			Format: capture.Format{Pixel: capture.RGB24, Width: 64, Height: 64}.Packed(),
		}
		if err := parent.Send(time.Now().Add(patience), open, r.File()); err != nil {
			t.Fatal(err)
		}
		m, files, err := conn.Receive(time.Now().Add(patience))
		if err != nil {
			t.Fatal(err)
		}
		e.open(m.(*wire.OpenStream), files[0])
		only := newBatch(e.input)
		e.add(only, wire.FrameRecord{Stream: 1, BytesUsed: uint32(len(red)), Submitted: 1})
		err = e.infer(only)
		got := e.answer(only, &only.steps[0])
		if err != nil || got.Status != wire.StatusOK || len(got.Detections) != found {
			t.Errorf("from %g on there are %+v, %v: want %d", low, got, err, found)
		}
		e.close()
	}
}
