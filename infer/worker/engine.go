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
		result, err := e.look(j.frame)
		if err != nil {
			return true, w.fault(faultExit, err)
		}
		if err := w.send(result); err != nil {
			return true, err
		}
		w.done.Add(1)
	case j.shutdown != nil:
		w.log.Info("shutting down", "reason", j.shutdown.Reason, "frames", w.done.Load())
		return true, w.send(&wire.Goodbye{Generation: w.generation})
	}
	return false, nil
}

// engine turns frames into results. It belongs to one goroutine.
type engine struct {
	log     *slog.Logger
	session *onnx.Session
	run     func() error // the session's Run
	spec    infer.InputSpec
	decoder decode.Decoder
	input   input
	inGraph *inGraph        // nil where frames are converted on the host
	outputs []decode.Output // the session's memory
	streams map[uint32]*stream

	result     wire.Result // the last answer, valid until the next
	complaints uint64
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
	e := &engine{log: log, session: s, run: s.Run, streams: map[uint32]*stream{}}
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
	e.spec = family.Input
	e.input = newInput(s, family)
	e.use(s)
	if e.inGraph != nil {
		e.inGraph.family = family
	}
	for range warmRuns {
		if err := e.run(); err != nil {
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
	e.result.Generation = load.Generation
	return infer.Model{
		Name: load.Name, SHA256: sum, Family: family.Name, Evidence: family.Evidence, Fed: family.Input.String(), Labels: family.Labels,
		Width: family.Input.Width, Height: family.Input.Height, Inputs: s.Inputs(), Outputs: s.Outputs(),
		Provider: s.Provider(), Degraded: s.Degraded(), Runtime: s.RuntimeVersion(), Nodes: s.Nodes(),
		Thresholds: family.Thresholds,
	}, nil
}

// use makes a session the one that runs.
func (e *engine) use(s *onnx.Session) {
	e.session, e.run, e.outputs = s, s.Run, nil
	for i := range s.Outputs() {
		data, shape := s.Output(i)
		// A model that wants several pictures at a time gets one, and what else there is to see in its outputs is nothing.
		e.outputs = append(e.outputs, decode.Output{Data: data[:len(data)/e.spec.Batch], Shape: shape})
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
	pre, err := preprocess.New(e.spec, preprocess.Stream{
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

// look answers a frame; the answer is valid until the next. An error is the end of this process's usefulness.
func (e *engine) look(r wire.FrameRecord) (*wire.Result, error) {
	e.result = wire.Result{
		Generation: e.result.Generation, Stream: r.Stream, Slot: r.Slot, Sequence: r.Sequence,
		Status: wire.StatusFailed, Detections: e.result.Detections[:0],
	}
	start := wire.Monotonic()
	e.result.Timings.Queue = max(start-r.Submitted, 0)
	if r.Submitted <= 0 {
		e.result.Timings.Queue = 0
	}
	s := e.streams[r.Stream]
	if s == nil {
		e.complain("frame of a stream that is not open", "stream", r.Stream)
		return &e.result, nil
	}
	pixels, err := s.view.Slot(int(r.Slot))
	if err != nil || uint64(r.BytesUsed) > uint64(len(pixels)) {
		e.complain("frame lies outside its ring", "camera", s.name, "slot", r.Slot, "bytes", r.BytesUsed)
		return &e.result, nil
	}

	err = e.input.fill(s.pre, pixels[:r.BytesUsed])
	start = lap(start, &e.result.Timings.Preprocess)
	if errors.Is(err, preprocess.ErrDamaged) {
		e.result.Status = wire.StatusDamaged
		return &e.result, nil
	}
	if err != nil {
		e.complain("frame cannot be preprocessed", "camera", s.name, "seq", r.Sequence, "error", err)
		return &e.result, nil
	}
	err = e.run()
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
		e.complain("frame cannot be inferred", "camera", s.name, "seq", r.Sequence, "error", err)
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
	e.complaints++
	if bits.OnesCount64(e.complaints) == 1 {
		e.log.Warn(what, append(args, "complaints", e.complaints)...)
	}
}
