package worker

import (
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"vedette/capture"
	"vedette/infer"
	"vedette/infer/onnx"
	"vedette/infer/ring"
	"vedette/infer/wire"
)

const families = "../decode/testdata/families/"

// golden is what is to be seen in a frame of one colour, as families/make.py computed it.
type golden struct {
	Frame      [2]int  `json:"frame"`
	Colour     [3]byte `json:"colour"`
	Threshold  float32 `json:"threshold"`
	Detections []struct {
		Class int        `json:"class"`
		Score float32    `json:"score"`
		Box   [4]float32 `json:"box"`
	} `json:"detections"`
}

// agrees holds detections to the reference's: the box within 1e-3 of the frame, the score within 1e-4.
func (g golden) agrees(t *testing.T, got []infer.Detection) {
	t.Helper()
	if len(got) != min(len(g.Detections), infer.MaxDetections) {
		t.Errorf("%d detections, %d in the reference", len(got), len(g.Detections))
		return
	}
	for i, d := range got {
		w := g.Detections[i]
		if d.Class != w.Class || apart(d.Score, w.Score) > 1e-4 || max(apart(d.Box.X1, w.Box[0]), apart(d.Box.Y1, w.Box[1]),
			apart(d.Box.X2, w.Box[2]), apart(d.Box.Y2, w.Box[3])) > 1e-3 {
			t.Errorf("detection %d is %+v, in the reference %+v", i, d, w)
		}
	}
}

func apart(a, b float32) float32 { return max(a-b, b-a) }

func read(t *testing.T, name string) (g golden) {
	t.Helper()
	text, err := os.ReadFile(families + name + ".json")
	if err == nil {
		err = json.Unmarshal(text, &g)
	}
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// batcher is an engine in a worker, without the process, and one stream whose slots hold a frame each: the golden file's, and others.
type batcher struct {
	*engine
	worker *worker
	parent *wire.Conn
	used   uint32 // bytes of a frame
	runs   chan int
}

const golds = 2 // the slot that holds the golden file's frame

func newBatcher(t *testing.T, model string, g golden, batch infer.Batch) *batcher {
	t.Helper()
	load := defaultLoad(t)
	load.ModelPath, load.Threads, load.Batch = families+model, 1, batch
	load.Thresholds = infer.Thresholds{"default": g.Threshold}
	e, _, err := newEngine(load, func() {}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.close)
	format := capture.Format{Pixel: capture.RGB24, Width: g.Frame[0], Height: g.Frame[1]}.Packed()
	frames, err := ring.New("test", 4, format.SizeImage)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { frames.Close() })
	var slots []*ring.Slot
	for i, colour := range [][3]byte{{10, 20, 250}, {90, 90, 90}, g.Colour, {255, 0, 128}} {
		slot, _ := frames.Acquire()
		slots = append(slots, slot)
		if slot.Index() != i {
			t.Fatalf("slot %d instead of %d", slot.Index(), i)
		}
		for at := range slot.Bytes() {
			slot.Bytes()[at] = colour[at%3]
		}
	}
	for _, slot := range slots { // nothing else takes them
		slot.Release()
	}
	parent, conn := connect(t)
	open := wire.OpenStream{Generation: generation, Stream: 1, Format: format, Geometry: frames.Geometry()}
	if err := parent.Send(time.Now().Add(patience), open, frames.File()); err != nil {
		t.Fatal(err)
	}
	m, files, err := conn.Receive(time.Now().Add(patience))
	if err != nil {
		t.Fatal(err)
	}
	e.open(m.(*wire.OpenStream), files[0])
	b := &batcher{
		engine: e, parent: parent, used: uint32(format.FrameBytes()), runs: make(chan int, 100),
		worker: &worker{conn: conn, generation: generation, log: slog.New(slog.DiscardHandler), jobs: make(chan job, maxJobs)},
	}
	run := e.run
	e.run = func(f *onnx.Feed, n int) error {
		select {
		case b.runs <- n:
		default: // nobody counts them
		}
		return run(f, n)
	}
	return b
}

func (b *batcher) frame(slot int) wire.FrameRecord {
	return wire.FrameRecord{
		Stream: 1, Slot: uint32(slot), Sequence: uint32(slot), BytesUsed: b.used, Submitted: wire.Monotonic(),
	}
}

func (b *batcher) result(t *testing.T) *wire.Result {
	t.Helper()
	m, _, err := b.parent.Receive(time.Now().Add(patience))
	r, ok := m.(*wire.Result)
	if err != nil || !ok {
		t.Fatalf("%+v, %v: want a result", m, err)
	}
	return r
}

// look has one run look at the frames of these slots.
func (b *batcher) look(t *testing.T, only *batch, slots ...int) (found [][]infer.Detection) {
	t.Helper()
	for _, slot := range slots {
		b.add(only, b.frame(slot))
	}
	if over, err := b.worker.finish(b.engine, only); over || err != nil {
		t.Fatal(err)
	}
	for _, slot := range slots {
		r := b.result(t)
		if r.Status != wire.StatusOK || r.Slot != uint32(slot) {
			t.Fatalf("result %+v: want slot %d", r, slot)
		}
		found = append(found, slices.Clone(r.Detections))
	}
	return found
}

// A frame shows the same in a batch as alone, whichever its place and however many there are, and what the reference says.
func TestBatchesOfEveryFamily(t *testing.T) {
	models, err := filepath.Glob(families + "batch/*.onnx")
	if err != nil || len(models) < 12 {
		t.Fatalf("%d models, %v", len(models), err)
	}
	for _, path := range models {
		name := strings.TrimSuffix(filepath.Base(path), ".onnx")
		t.Run(name, func(t *testing.T) {
			single := name
			if name == "two" { // takes two, and always two
				single = "yolov8"
			}
			g := read(t, single)
			alone := newBatcher(t, single+".onnx", g, infer.Batch{Max: 1})
			var want [][]infer.Detection
			for slot := range 4 {
				want = append(want, alone.look(t, newBatch(alone.input), slot)...)
			}
			g.agrees(t, want[golds])
			if same(want[0], want[golds], 1e-4) {
				t.Fatal("two frames show the same: nothing would be tried")
			}
			b := newBatcher(t, "batch/"+name+".onnx", g, infer.Batch{Max: 4})
			only := newBatch(b.input)
			orders := [][]int{{0, 1, 2, 3}, {3, 2}, {2, 0, 1}, {2}}
			if name == "two" {
				orders = [][]int{{0, 2}, {2}, {3, 1}}
			}
			for _, order := range orders {
				for i, got := range b.look(t, only, order...) {
					if !same(got, want[order[i]], 1e-6) {
						t.Errorf("of %v, frame %d shows %+v, alone %+v", order, order[i], got, want[order[i]])
					}
					if order[i] == golds {
						g.agrees(t, got)
					}
				}
			}
		})
	}
}

func same(a, b []infer.Detection, within float32) bool {
	return slices.EqualFunc(a, b, func(a, b infer.Detection) bool {
		return a.Class == b.Class && apart(a.Score, b.Score) <= within && max(apart(a.Box.X1, b.Box.X1), apart(a.Box.Y1, b.Box.Y1),
			apart(a.Box.X2, b.Box.X2), apart(a.Box.Y2, b.Box.Y2)) <= within
	})
}

func TestBatchesAllocateNothing(t *testing.T) {
	if raceDetector {
		t.Skip("the race detector makes sync.Pool forget on purpose")
	}
	b := newBatcher(t, "batch/yolov8.onnx", read(t, "yolov8"), infer.Batch{Max: 4})
	only := newBatch(b.input)
	if n := testing.AllocsPerRun(20, func() {
		for slot := range 3 {
			b.add(only, b.frame(slot))
		}
		if over, err := b.worker.finish(b.engine, only); over || err != nil {
			t.Fatal(err)
		}
		for range 3 {
			b.result(t)
		}
	}); n != 0 {
		t.Errorf("%v allocations in a batch of 3", n)
	}
}

// A frame waits for others until there are enough of them, or for as long as it may; what is there by then runs at once.
func TestBatchesWait(t *testing.T) {
	for name, ahead := range map[string]bool{"one after the other": false, "ahead": true} {
		t.Run(name, func(t *testing.T) {
			wait := wire.Monotonic() - time.Second // since a time at which the machine ran
			b := newBatcher(t, "batch/yolov8.onnx", read(t, "yolov8"), infer.Batch{Max: 3, Wait: wait})
			served := make(chan error, 1)
			go func() { served <- b.worker.serve(t.Context(), b.engine, ahead) }()
			submit := func(slots ...int) {
				for _, slot := range slots {
					b.worker.jobs <- job{frame: b.frame(slot)}
				}
			}
			expect := func(slots ...int) {
				t.Helper()
				for i, slot := range slots {
					if r := b.result(t); r.Status != wire.StatusOK || r.Slot != uint32(slot) || r.First != (i == 0) {
						t.Fatalf("result %+v: want slot %d, number %d of its run", r, slot, i)
					}
				}
			}
			ran := func(want int) {
				t.Helper()
				if n := <-b.runs; n != want {
					t.Errorf("a run on %d frames instead of %d", n, want)
				}
			}
			submit(0, 1, 2)
			expect(0, 1, 2)
			ran(3)

			// One that has waited for so long elsewhere waits no more.
			late := b.frame(3)
			late.Submitted = 1
			b.worker.jobs <- job{frame: late}
			expect(3)
			ran(1)

			// One that has no picture holds up nobody, and waits for nobody.
			b.worker.jobs <- job{frame: wire.FrameRecord{Stream: 1, Slot: 0, BytesUsed: 7, Submitted: wire.Monotonic()}}
			if r := b.result(t); r.Status != wire.StatusDamaged {
				t.Errorf("a damaged frame answers %+v", r)
			}

			// The end waits for nobody either.
			submit(1, 2)
			b.worker.jobs <- job{shutdown: &wire.Shutdown{Generation: generation}}
			expect(1, 2)
			ran(2)
			if m, _, err := b.parent.Receive(time.Now().Add(patience)); wire.KindOf(m) != wire.KindGoodbye {
				t.Errorf("%+v, %v: want a goodbye", m, err)
			}
			if err := <-served; err != nil {
				t.Error(err)
			}
		})
	}
}

// Nobody else comes: the frames run when their time is over.
func TestTheWaitForABatchIsBounded(t *testing.T) {
	for name, ahead := range map[string]bool{"one after the other": false, "ahead": true} {
		t.Run(name, func(t *testing.T) {
			const wait = 30 * time.Millisecond
			b := newBatcher(t, "batch/yolov8.onnx", read(t, "yolov8"), infer.Batch{Max: 3, Wait: wait})
			served := make(chan error, 1)
			go func() { served <- b.worker.serve(t.Context(), b.engine, ahead) }()
			b.worker.jobs <- job{frame: b.frame(0)}
			b.worker.jobs <- job{frame: b.frame(1)}
			for range 2 {
				if r := b.result(t); r.Status != wire.StatusOK {
					t.Errorf("result %+v", r)
				} else if spent := r.Timings.Queue + r.Timings.Preprocess; r.Slot == 0 && spent < wait {
					t.Errorf("the first frame's time before its run is told as %s: want at least %s", spent, wait)
				}
			}
			b.worker.jobs <- job{shutdown: &wire.Shutdown{Generation: generation}}
			if err := <-served; err != nil {
				t.Error(err)
			}
		})
	}
}

// While the model runs frames come, more than its next batch takes; they run at once, as many at a time as it takes.
func TestFramesThatWaitRunTogether(t *testing.T) {
	b := newBatcher(t, "batch/yolov8.onnx", read(t, "yolov8"), infer.Batch{Max: 3})
	for _, slot := range []int{0, 1, 2, 3, 0} {
		b.worker.jobs <- job{frame: b.frame(slot)}
	}
	b.worker.jobs <- job{shutdown: &wire.Shutdown{Generation: generation}}
	if err := b.worker.serve(t.Context(), b.engine, false); err != nil {
		t.Fatal(err)
	}
	if first, second := <-b.runs, <-b.runs; first != 3 || second != 2 {
		t.Errorf("runs on %d and %d frames: want 3 and 2", first, second)
	}
}

// A run that fails costs each of its frames; one that loses the device ends the worker before any is answered.
func TestFailedBatches(t *testing.T) {
	b := newBatcher(t, "batch/yolov8.onnx", read(t, "yolov8"), infer.Batch{Max: 3})
	only := newBatch(b.input)
	b.run = func(*onnx.Feed, int) error { return errors.New("out of memory") }
	for slot := range 3 {
		b.add(only, b.frame(slot))
	}
	if over, err := b.worker.finish(b.engine, only); over || err != nil {
		t.Fatalf("one failed run ends the worker: %v", err)
	}
	for slot := range 3 {
		if r := b.result(t); r.Status != wire.StatusFailed || r.Slot != uint32(slot) {
			t.Errorf("result %+v", r)
		}
	}
	b.run = func(*onnx.Feed, int) error { return onnx.ErrDeviceLost }
	b.add(only, b.frame(0))
	if over, err := b.worker.finish(b.engine, only); !over || !errors.Is(err, onnx.ErrDeviceLost) {
		t.Errorf("a lost device: over %v, %v", over, err)
	}
	if m, _, err := b.parent.Receive(time.Now().Add(patience)); wire.KindOf(m) != wire.KindFault {
		t.Errorf("%+v, %v: want a fault", m, err)
	}
}

func TestAModelForOnePictureTakesNoBatch(t *testing.T) {
	load := defaultLoad(t)
	load.ModelPath, load.Batch = families+"yolov8.onnx", infer.Batch{Max: 4}
	_, _, err := newEngine(load, func() {}, slog.New(slog.DiscardHandler))
	if err == nil || !strings.Contains(err.Error(), "infer.batch.max is 4") || !strings.Contains(err.Error(), load.ModelPath) ||
		strings.Contains(err.Error(), "\n") {
		t.Errorf("the error is %v: want one line that names the key and the model", err)
	}
}
