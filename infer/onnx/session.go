// Package onnx runs a model in ONNX Runtime.
package onnx

import (
	"errors"
	"fmt"
	"runtime"
	"slices"

	ort "github.com/yalue/onnxruntime_go"

	"vedette/infer"
)

// Options say what to open and on what to run it.
type Options struct {
	Runtime     string   // path of libonnxruntime.so; empty: EnvLibrary, then Find's search
	Model       string   // path of the .onnx file
	Providers   []string // TensorRT, CUDA, CPU, in order; empty: CPU
	Fallback    string   // FallbackFail (or empty) or FallbackCPU
	Accelerator int      // device number for TensorRT and CUDA
	Threads     int      // of one run; 0: as many as the process may use (GOMAXPROCS, which knows its cgroup)
	CUDA        infer.CUDA
	TensorRT    infer.TensorRT
	Engines     string // folder of TensorRT's engine and timing cache, for this model alone; empty: none is kept
}

// Session is a loaded model with memory for its inputs and outputs. It belongs to one goroutine at a time. A process
// loads one ONNX Runtime: the first session's.
type Session struct {
	Feed
	session  *ort.DynamicAdvancedSession
	more     []*Feed
	outputs  []*tensor
	batch    int             // pictures that there is memory for
	partial  bool            // whether a run may take fewer
	file     infer.Signature // as the file has it
	library  Candidate
	provider string
	degraded string
	nodes    map[string]int
}

// Open is Read and File.Open for a model that leaves nothing free but its batch.
func Open(o Options) (*Session, error) {
	f, err := Read(o)
	if err != nil {
		return nil, err
	}
	return f.Open(nil)
}

// Open loads the model. shapes are for the inputs, by name, that leave dimensions free; of one that is not named the batch
// becomes 1, and nothing else may be free. Free dimensions of outputs become what the model makes of them, once and for all.
func (f *File) Open(shapes map[string][]int64) (*Session, error) {
	s := &Session{library: f.library, file: f.signature}
	if err := s.open(f, shapes); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

func (s *Session) open(f *File, shapes map[string][]int64) error {
	model := f.options.Model
	var err error
	if s.tensors, err = newTensors("input", f.inputs, shapes); err != nil {
		return fmt.Errorf("cannot use model %s: %w", model, err)
	}
	if shapes, err = f.outputShapes(s.tensors); err != nil {
		return err
	}
	if s.outputs, err = newTensors("output", f.outputs, shapes); err != nil {
		return fmt.Errorf("cannot use model %s: %w", model, err)
	}
	threads := f.options.Threads
	if threads == 0 {
		threads = runtime.GOMAXPROCS(0)
	}
	inNames, _ := bound(s.tensors)
	outNames, _ := bound(s.outputs)
	s.provider, s.degraded, err = f.policy.session(
		func() (*ort.SessionOptions, error) { return sessionOptions(threads) },
		func(options *ort.SessionOptions) error {
			nodes, err := counted(func() (err error) {
				s.session, err = f.newSession(inNames, outNames, options)
				return err
			})
			if err != nil {
				return modelError(model, err)
			}
			s.nodes = nodes
			return nil
		})
	if err != nil {
		return err
	}
	if s.binding, err = s.session.CreateIoBinding(); err != nil {
		return plain(err)
	}
	return s.split(f)
}

// split makes the session fit for runs on fewer pictures than its memory is for, where every tensor leaves its first size free and that
// is the batch. Not with TensorRT: it would build an engine for each number.
func (s *Session) split(f *File) error {
	s.batch = int(f.batch(s.tensors))
	s.partial = s.batch > 1 && s.provider != TensorRT
	for i, t := range slices.Concat(s.tensors, s.outputs) {
		declared := slices.Concat(f.inputs, f.outputs)[i].Dimensions
		s.partial = s.partial && declared[0] < 0 && t.info.Shape[0] == int64(s.batch)
	}
	if !s.partial {
		return nil
	}
	for _, t := range slices.Concat(s.tensors, s.outputs) {
		if err := t.split(); err != nil {
			return err
		}
	}
	return nil
}

// NewFeed makes memory for another run's inputs.
func (s *Session) NewFeed() (*Feed, error) {
	f := &Feed{}
	s.more = append(s.more, f)
	for _, t := range s.tensors {
		twin, err := newTensor("input", t.info, t.element, nil)
		if err != nil {
			return nil, err
		}
		f.tensors = append(f.tensors, twin)
		if s.partial {
			if err := twin.split(); err != nil {
				return nil, err
			}
		}
	}
	var err error
	if f.binding, err = s.session.CreateIoBinding(); err != nil {
		return nil, plain(err)
	}
	return f, nil
}

// sessionOptions are the same on every provider. Threads that spin between runs would take 30% of a core at low rates,
// where waiting ones take 12%, with no worse latency.
func sessionOptions(threads int) (*ort.SessionOptions, error) {
	o, err := ort.NewSessionOptions()
	if err != nil {
		return nil, plain(err)
	}
	if err := errors.Join(
		o.SetIntraOpNumThreads(threads), o.SetInterOpNumThreads(1),
		o.SetGraphOptimizationLevel(ort.GraphOptimizationLevelEnableAll),
		o.SetMemPattern(true),
		o.SetLogSeverityLevel(ort.LoggingLevelVerbose), // see counted
		o.AddSessionConfigEntry("session.intra_op.allow_spinning", "0"),
	); err != nil {
		destroy(o)
		return nil, plain(err)
	}
	return o, nil
}

// Outputs describes the model's outputs as they are bound: a free batch dimension is 1.
func (s *Session) Outputs() []infer.Tensor { return infos(s.outputs) }

func infos(tensors []*tensor) []infer.Tensor {
	var all []infer.Tensor
	for _, t := range tensors {
		all = append(all, t.info)
	}
	return all
}

// Signature is what the model says of itself, with the shapes that are bound; nobody may change it.
func (s *Session) Signature() infer.Signature {
	return infer.Signature{Inputs: s.Inputs(), Outputs: s.Outputs(), Metadata: s.file.Metadata, Nodes: s.file.Nodes}
}

// Provider is the execution provider in charge: TensorRT, CUDA or CPU.
func (s *Session) Provider() string { return s.provider }

// Degraded says why a provider that was asked for is not in use; "" where all is as configured.
func (s *Session) Degraded() string { return s.degraded }

// Nodes counts the optimised graph's nodes by the provider that they run on; empty where ONNX Runtime does not say. Nobody may change
// it.
func (s *Session) Nodes() map[string]int { return s.nodes }

// RuntimeVersion is ONNX Runtime's version, such as "1.30.0".
func (s *Session) RuntimeVersion() string { return ort.GetVersion() }

// RuntimePath is where the library was found.
func (s *Session) RuntimePath() string { return s.library.Path }

// Output is what the last Run wrote into an output, with its shape. Another type than float32 is converted; what a
// float32 cannot hold is rounded. It is valid until Close, and each Run overwrites it.
func (s *Session) Output(i int) (data []float32, shape []int64) {
	return s.outputs[i].values, s.outputs[i].info.Shape
}

// Batch is how many pictures there is memory for.
func (s *Session) Batch() int { return s.batch }

// Partial tells whether a run on fewer pictures takes less time; else each takes as many as Batch says, whatever is in those to spare.
func (s *Session) Partial() bool { return s.partial }

// Run is RunOn with all of the session's own memory.
func (s *Session) Run() error { return s.RunOn(&s.Feed, s.batch) }

// RunOn computes the outputs from the inputs' first pictures. On the CPU it allocates nothing of Go's while their number stays the same.
// It cannot be interrupted: what bounds a run is the process's end. An error that wraps ErrDeviceLost is for good.
func (s *Session) RunOn(f *Feed, pictures int) error {
	if s.session == nil {
		return errors.New("cannot run the model: the session is closed")
	}
	if !s.partial {
		pictures = s.batch
	}
	if pictures != f.bound || s.provider != CPU {
		if err := runError(f.bind(pictures, s.outputs)); err != nil {
			return err
		}
	}
	if err := runError(s.session.RunWithBinding(f.binding)); err != nil {
		return err
	}
	for _, t := range s.outputs {
		t.convert()
	}
	return nil
}

// destroy frees an object of the binding. Destroy's error says only that there was nothing to free.
func destroy(o interface{ Destroy() error }) { _ = o.Destroy() }

// Close frees the model and its memory; ONNX Runtime stays loaded. A second call does nothing.
func (s *Session) Close() {
	for _, f := range append(s.more, &s.Feed) {
		f.close()
	}
	if s.session != nil {
		destroy(s.session)
		s.session = nil
	}
	for _, t := range s.outputs {
		t.close()
	}
}
