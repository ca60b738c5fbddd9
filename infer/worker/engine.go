package worker

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/bits"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"vedette/infer"
	"vedette/infer/decode"
	"vedette/infer/manifest"
	"vedette/infer/onnx"
	"vedette/infer/preprocess"
	"vedette/infer/ring"
	"vedette/infer/wire"
)

// work loads the model, says Hello, and does the jobs until Shutdown or the end of ctx.
func (w *worker) work(ctx context.Context, load wire.Load) error {
	began := wire.Monotonic()
	e, model, err := newEngine(load, w.building, w.log)
	if err != nil {
		return w.fault(faultLoad, err)
	}
	defer e.close()
	model.LoadTime = wire.Monotonic() - began
	if ctx.Err() != nil {
		return nil
	}
	w.stage.Store(uint32(wire.StageReady))
	hello := wire.Hello{Generation: w.generation, Protocol: wire.ProtocolVersion, PID: os.Getpid(), Model: model}
	if err := w.send(&hello); err != nil {
		return err
	}
	w.log.Info("model is loaded", "model", model.Name, "family", model.Family, "provider", model.Provider,
		"runtime", model.Runtime, "took", wire.Monotonic()-w.started)
	if load.Ahead {
		return w.workAhead(ctx, e)
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case j := <-w.jobs:
			if over, err := w.do(e, j); over || err != nil {
				return err
			}
		}
	}
}

func (w *worker) do(e *engine, j job) (over bool, err error) {
	switch {
	case j.open != nil:
		e.open(j.open, j.ring)
	case j.close != nil:
		e.closeStream(j.close.Stream)
	case j.isFrame:
		return w.answer(e.look(j.frame))
	case j.shutdown != nil:
		return true, w.part(j.shutdown)
	}
	return false, nil
}

// answer sends what the engine says of a frame.
func (w *worker) answer(result *wire.Result, err error) (over bool, _ error) {
	if err != nil {
		return true, w.fault(faultExit, err)
	}
	if err := w.send(result); err != nil {
		return true, err
	}
	w.done.Add(1)
	return false, nil
}

// part says goodbye.
func (w *worker) part(m *wire.Shutdown) error {
	w.log.Info("shutting down", "reason", m.Reason, "frames", w.done.Load())
	return w.send(&wire.Goodbye{Generation: w.generation})
}

// engine turns frames into results. It belongs to one goroutine, or to two: then one has the streams and prepares frames, the other
// has the session and finishes them.
type engine struct {
	log     *slog.Logger
	session *onnx.Session
	family  decode.Family
	run     func(*onnx.Feed) error // the session's RunOn
	decoder decode.Decoder
	input   *input          // on the session's own memory
	inGraph *inGraph        // nil where frames are converted on the host
	outputs []decode.Output // the session's memory
	streams map[uint32]*stream

	generation uint64
	result     wire.Result // the last answer, valid until the next
	complaints atomic.Uint64
}

// stream is what frames of one ring need.
type stream struct {
	name      string
	view      *ring.View
	pre       *preprocess.Preprocessor
	placement infer.Placement
}

func newEngine(load wire.Load, building func(), log *slog.Logger) (*engine, infer.Model, error) {
	by, err := manifest.ReadBeside(load.ModelPath)
	if err != nil {
		return nil, infer.Model{}, err
	}
	file, err := onnx.Read(onnx.Options{
		Runtime: load.Runtime, Model: load.ModelPath, Providers: load.Providers, Fallback: load.Fallback,
		Accelerator: load.Accelerator, Threads: load.Threads, CUDA: load.CUDA, TensorRT: load.TensorRT,
	})
	if err != nil {
		return nil, infer.Model{}, err
	}
	family, err := decode.Recognise(file.Signature(), by)
	if err != nil {
		return nil, infer.Model{}, fmt.Errorf("model %s: %w", load.ModelPath, err)
	}
	shapes := family.Shapes(file.Signature(), max(family.Input.Batch, 1))
	s, done, err := openSession(load, file, shapes, building, log)
	if err != nil {
		return nil, infer.Model{}, err
	}
	e := &engine{log: log, session: s, run: s.RunOn, streams: map[uint32]*stream{}}
	if load.Preprocess == preprocessInGraph {
		e.inGraph = &inGraph{file: file, path: load.ModelPath, shapes: shapes}
	}
	model, err := e.prepare(load, by, family.Input.Batch)
	if err == nil {
		err = done()
	}
	if err != nil {
		e.close()
		return nil, infer.Model{}, err
	}
	return e, model, nil
}

// warmRuns are runs on nothing, before a worker is ready. The first is slow and shows what is wrong; the second is as slow, since ONNX
// Runtime lays out its memory by what it saw in the first: 235, 188, then 36 ms with the default model. A frame is not to wait for it.
const warmRuns = 2

// prepare recognises the model as it is bound, and runs it on nothing. batch is what the file wants, 0 for any.
func (e *engine) prepare(load wire.Load, by manifest.Manifest, batch int) (infer.Model, error) {
	s := e.session
	family, err := decode.Recognise(s.Signature(), by)
	if err != nil {
		return infer.Model{}, fmt.Errorf("model %s: %w", load.ModelPath, err)
	}
	e.family = family
	e.input = newInput(&s.Feed, family)
	e.use(s)
	for range warmRuns {
		if err := e.run(e.input.feed); err != nil {
			return infer.Model{}, fmt.Errorf("model %s: %w", load.ModelPath, err)
		}
	}
	if err := family.Settle(e.outputs); err != nil {
		return infer.Model{}, fmt.Errorf("model %s: %w", load.ModelPath, err)
	}
	e.decoder = family.Decoder(load.Thresholds.Over(family.Thresholds).AtMost(load.Low))
	family.Input.Batch = batch
	sum, err := sha256File(load.ModelPath)
	if err != nil {
		return infer.Model{}, err
	}
	if s.Degraded() != "" {
		e.log.Warn("the model does not run where it should", "provider", s.Provider(), "why", s.Degraded())
	}
	e.log.Info("model is recognised", "family", family.Name, "evidence", strings.Join(family.Evidence, "; "))
	e.result.Detections = make([]infer.Detection, 0, infer.MaxDetections)
	e.generation = load.Generation
	return infer.Model{
		Name: load.Name, SHA256: sum, Family: family.Name, Evidence: family.Evidence, Fed: family.Input.String(), Labels: family.Labels,
		Width: family.Input.Width, Height: family.Input.Height, Inputs: s.Inputs(), Outputs: s.Outputs(),
		Provider: s.Provider(), Degraded: s.Degraded(), Runtime: s.RuntimeVersion(), Nodes: s.Nodes(),
		Thresholds: family.Thresholds,
	}, nil
}

// use makes a session the one that runs.
func (e *engine) use(s *onnx.Session) {
	e.session, e.run, e.outputs = s, s.RunOn, nil
	for i := range s.Outputs() {
		data, shape := s.Output(i)
		// A model that wants several pictures at a time gets one, and what else there is to see in its outputs is nothing.
		e.outputs = append(e.outputs, decode.Output{Data: data[:len(data)/e.family.Input.Batch], Shape: shape})
	}
}

func sha256File(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("cannot read the model: %w", err)
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", fmt.Errorf("cannot read the model: %w", err)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// open maps a stream's ring. A stream that cannot be opened has its frames answered as failed.
func (e *engine) open(m *wire.OpenStream, file *os.File) {
	defer file.Close() // the mapping holds on without it
	if _, twice := e.streams[m.Stream]; twice {
		e.complain("stream is opened twice", "stream", m.Stream, "camera", m.Name)
		return
	}
	pre, err := preprocess.New(e.family.Input, preprocess.Stream{
		Format: m.Format, Region: m.Region, Turn: m.Turn, Masks: m.Masks,
	})
	if err != nil {
		e.log.Error("stream cannot be opened", "camera", m.Name, "error", err)
		return
	}
	if e.inGraph != nil {
		if err := e.takeOn(preprocess.Stream{Format: m.Format, Region: m.Region, Turn: m.Turn}); err != nil {
			pre.Close()
			e.log.Error("stream cannot be opened", "camera", m.Name, "error", err)
			return
		}
	}
	view, err := ring.Open(file, m.Geometry)
	if err != nil {
		pre.Close()
		e.log.Error("stream cannot be opened", "camera", m.Name, "error", err)
		return
	}
	e.streams[m.Stream] = &stream{name: m.Name, view: view, pre: pre, placement: pre.Placement()}
}

func (e *engine) closeStream(id uint32) {
	s := e.streams[id]
	if s == nil {
		return // it could not be opened
	}
	delete(e.streams, id)
	s.pre.Close()
	if err := s.view.Close(); err != nil {
		e.log.Error("stream cannot be closed", "camera", s.name, "error", err)
	}
}

func (e *engine) close() {
	for id := range e.streams {
		e.closeStream(id)
	}
	e.session.Close()
}

// step is a frame between its preparation and its answer.
type step struct {
	result    wire.Result // without detections
	input     *input      // that the picture is in; nil where there is none: result says why
	camera    string
	placement infer.Placement
	at        time.Duration // when it was prepared
}

// look answers a frame; the answer is valid until the next. An error is the end of this process's usefulness.
func (e *engine) look(r wire.FrameRecord) (*wire.Result, error) {
	s := e.prepareFrame(r, e.input)
	return e.finish(&s)
}

// prepareFrame makes a frame's picture, in into.
func (e *engine) prepareFrame(r wire.FrameRecord, into *input) step {
	st := step{result: wire.Result{
		Generation: e.generation, Stream: r.Stream, Slot: r.Slot, Sequence: r.Sequence, Status: wire.StatusFailed,
	}}
	start := wire.Monotonic()
	st.result.Timings.Queue = max(start-r.Submitted, 0)
	if r.Submitted <= 0 {
		st.result.Timings.Queue = 0
	}
	s := e.streams[r.Stream]
	if s == nil {
		e.complain("frame of a stream that is not open", "stream", r.Stream)
		return st
	}
	pixels, err := s.view.Slot(int(r.Slot))
	if err != nil || uint64(r.BytesUsed) > uint64(len(pixels)) {
		e.complain("frame lies outside its ring", "camera", s.name, "slot", r.Slot, "bytes", r.BytesUsed)
		return st
	}
	st.camera, st.placement = s.name, s.placement

	err = into.fill(s.pre, pixels[:r.BytesUsed])
	st.at = lap(start, &st.result.Timings.Preprocess)
	switch {
	case errors.Is(err, preprocess.ErrDamaged):
		st.result.Status = wire.StatusDamaged
	case err != nil:
		e.complain("frame cannot be preprocessed", "camera", s.name, "seq", r.Sequence, "error", err)
	default:
		st.input = into
	}
	return st
}

// finish runs the model on a frame that was prepared, and answers as look does.
func (e *engine) finish(s *step) (*wire.Result, error) {
	detections := e.result.Detections[:0]
	e.result = s.result
	e.result.Detections = detections
	if s.input == nil {
		return &e.result, nil
	}
	start := wire.Monotonic()
	e.result.Timings.Queue += start - s.at // it may have waited for the frame before it
	err := e.run(s.input.feed)
	start = lap(start, &e.result.Timings.Infer)
	if errors.Is(err, onnx.ErrDeviceLost) {
		return nil, err
	}
	if err == nil {
		e.result.Detections, err = e.decoder.Decode(e.outputs, s.placement, e.result.Detections)
		lap(start, &e.result.Timings.Decode)
	}
	if err != nil {
		e.result.Detections = e.result.Detections[:0]
		e.complain("frame cannot be inferred", "camera", s.camera, "seq", e.result.Sequence, "error", err)
		return &e.result, nil
	}
	e.result.Status = wire.StatusOK
	return &e.result, nil
}

// lap sets a stage's time and gives the next one's start.
func lap(start time.Duration, stage *time.Duration) time.Duration {
	now := wire.Monotonic()
	*stage = now - start
	return now
}

// complain logs what goes wrong frame by frame, at every power of two.
func (e *engine) complain(what string, args ...any) {
	if n := e.complaints.Add(1); bits.OnesCount64(n) == 1 {
		e.log.Warn(what, append(args, "complaints", n)...)
	}
}
