package worker

import (
	"errors"
	"time"

	"vedette/infer"
	"vedette/infer/onnx"
	"vedette/infer/preprocess"
	"vedette/infer/wire"
)

// batch is frames that the model looks at in one run, and what becomes of them.
type batch struct {
	input    *input
	steps    []step
	pictures int            // how many of them have one
	due      time.Duration  // when it runs, however few there are
	shutdown *wire.Shutdown // what comes after it; nil: more frames

	began, took time.Duration // its run
	err         error         // the run's
}

// step is a frame between its preparation and its answer.
type step struct {
	result    wire.Result // without detections
	picture   int         // in the batch's input; -1: there is none, result says why
	camera    string
	placement infer.Placement
	at        time.Duration // when it was prepared
}

// newBatch has room for as many frames as a worker can have: those without a picture need none.
func newBatch(in *input) *batch { return &batch{input: in, steps: make([]step, 0, wire.MaxBatch)} }

// full tells whether nothing more goes into it.
func (b *batch) full() bool {
	return b.shutdown != nil || b.pictures == b.input.pictures || len(b.steps) == cap(b.steps)
}

// wait is how long it waits for more frames; what has no picture waits for nothing.
func (b *batch) wait() time.Duration {
	if b.full() || b.pictures == 0 {
		return 0
	}
	return max(b.due-wire.Monotonic(), 0)
}

func (b *batch) reset() { *b = batch{input: b.input, steps: b.steps[:0]} }

// add makes a frame's picture.
func (e *engine) add(b *batch, r wire.FrameRecord) {
	b.steps = append(b.steps, step{picture: -1, result: wire.Result{
		Generation: e.generation, Stream: r.Stream, Slot: r.Slot, Sequence: r.Sequence, Status: wire.StatusFailed,
	}})
	st := &b.steps[len(b.steps)-1]
	start := wire.Monotonic()
	if r.Submitted > 0 {
		st.result.Timings.Queue = max(start-r.Submitted, 0)
	}
	s := e.streams[r.Stream]
	if s == nil {
		e.complain("frame of a stream that is not open", "stream", r.Stream)
		return
	}
	pixels, err := s.view.Slot(int(r.Slot))
	if err != nil || uint64(r.BytesUsed) > uint64(len(pixels)) {
		e.complain("frame lies outside its ring", "camera", s.name, "slot", r.Slot, "bytes", r.BytesUsed)
		return
	}
	st.camera, st.placement = s.name, s.placement

	err = b.input.fill(b.pictures, s.pre, pixels[:r.BytesUsed])
	st.at = lap(start, &st.result.Timings.Preprocess)
	switch {
	case errors.Is(err, preprocess.ErrDamaged):
		st.result.Status = wire.StatusDamaged
	case err != nil:
		e.complain("frame cannot be preprocessed", "camera", s.name, "seq", r.Sequence, "error", err)
	default:
		if b.pictures == 0 { // it has waited for its turn already
			b.due = start - st.result.Timings.Queue + e.batch.Wait
		}
		st.picture = b.pictures
		b.pictures++
	}
}

// infer runs the model on the pictures. An error is the end of this process's usefulness.
func (e *engine) infer(b *batch) error {
	if b.pictures == 0 {
		return nil
	}
	b.began = wire.Monotonic()
	b.err = e.run(b.input.feed, b.pictures)
	lap(b.began, &b.took)
	if errors.Is(b.err, onnx.ErrDeviceLost) {
		return b.err
	}
	return nil
}

// answer says what a frame of a batch shows, after its run. It is valid until the next.
func (e *engine) answer(b *batch, s *step) *wire.Result {
	detections := e.result.Detections[:0]
	e.result = s.result
	e.result.Detections = detections
	if s.picture < 0 {
		return &e.result
	}
	e.result.First = s.picture == 0
	e.result.Timings.Queue += b.began - s.at // for other frames, or for the run before
	e.result.Timings.Infer = b.took
	err := b.err
	if err == nil {
		start := wire.Monotonic()
		e.result.Detections, err = e.decoder.Decode(e.outputs[s.picture], s.placement, e.result.Detections)
		lap(start, &e.result.Timings.Decode)
	}
	if err != nil {
		e.result.Detections = e.result.Detections[:0]
		e.complain("frame cannot be inferred", "camera", s.camera, "seq", e.result.Sequence, "error", err)
		return &e.result
	}
	e.result.Status = wire.StatusOK
	return &e.result
}
