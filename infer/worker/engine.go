package worker

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
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
	return w.serve(ctx, e, load.Ahead)
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
	run     func(*onnx.Feed, int) error // the session's RunOn
	decoder decode.Decoder
	input   *input            // on the session's own memory; its address stays
	inGraph *inGraph          // nil where frames are converted on the host
	outputs [][]decode.Output // the session's memory, by picture
	streams map[uint32]*stream

	generation uint64
	batch      infer.Batch // Max is what the session takes
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
	pictures, err := batchSize(load.Batch.Max, family.Input.Batch)
	if err != nil {
		return nil, infer.Model{}, fmt.Errorf("model %s: %w", load.ModelPath, err)
	}
	shapes := family.Shapes(file.Signature(), pictures)
	s, done, err := openSession(load, file, shapes, building, log)
	if err != nil {
		return nil, infer.Model{}, err
	}
	e := &engine{log: log, session: s, run: s.RunOn, streams: map[uint32]*stream{}, batch: load.Batch}
	e.batch.Max = min(max(load.Batch.Max, 1), pictures)
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

// batchSize is how many pictures to open a model for. wanted is the configuration's, fixed what the file wants, 0 for any.
func batchSize(wanted, fixed int) (int, error) {
	if fixed == 1 && wanted > 1 {
		return 0, fmt.Errorf("it takes one picture at a time, and infer.batch.max is %d: leave that 1, or export the model with a free "+
			"batch size", wanted)
	}
	if fixed > 0 {
		return fixed, nil
	}
	return max(wanted, 1), nil
}

// warmRuns are runs on nothing, before a worker is ready. The first is slow and shows what is wrong; the second is as slow, since ONNX
// Runtime lays out its memory by what it saw in the first: 235, 188, then 36 ms with the default model. A frame is not to wait for it. So for each number of pictures.
const warmRuns = 2

// prepare recognises the model as it is bound, and runs it on nothing. batch is what the file wants, 0 for any.
func (e *engine) prepare(load wire.Load, by manifest.Manifest, batch int) (infer.Model, error) {
	s := e.session
	family, err := decode.Recognise(s.Signature(), by)
	if err != nil {
		return infer.Model{}, fmt.Errorf("model %s: %w", load.ModelPath, err)
	}
	e.family = family
	e.input = newInput(&s.Feed, family, e.batch.Max)
	if err := e.use(s); err != nil {
		return infer.Model{}, fmt.Errorf("model %s: %w", load.ModelPath, err)
	}
	if err := e.warm(); err != nil {
		return infer.Model{}, fmt.Errorf("model %s: %w", load.ModelPath, err)
	}
	if err := family.Settle(e.outputs[0]); err != nil {
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
func (e *engine) use(s *onnx.Session) error {
	e.session, e.run = s, s.RunOn
	e.outputs = make([][]decode.Output, e.batch.Max)
	for i, t := range s.Outputs() {
		if t.Shape[0]%int64(s.Batch()) != 0 {
			return fmt.Errorf("output %q has the shape %v, which does not go by the batch of %d", t.Name, t.Shape, s.Batch())
		}
		data, shape := s.Output(i)
		one := len(data) / s.Batch() // what else there is to see where a model wants more pictures than it gets is nothing
		for n := range e.outputs {
			e.outputs[n] = append(e.outputs[n], decode.Output{Data: data[n*one : (n+1)*one], Shape: shape})
		}
	}
	return nil
}

// warm runs the session on nothing.
func (e *engine) warm() error {
	least := e.batch.Max
	if e.session.Partial() {
		least = 1
	}
	for n := e.batch.Max; n >= least; n-- {
		for range warmRuns {
			if err := e.run(e.input.feed, n); err != nil {
				return err
			}
		}
	}
	return nil
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
