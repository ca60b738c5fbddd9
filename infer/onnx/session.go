// Package onnx runs a model in ONNX Runtime.
package onnx

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"

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
	GPUMemory   int64    // most bytes of GPU memory for CUDA; 0: no limit
}

// Session is a loaded model with memory for its inputs and outputs. It belongs to one goroutine at a time. A process
// loads one ONNX Runtime: the first session's.
type Session struct {
	session  *ort.AdvancedSession
	inputs   []*tensor
	outputs  []*tensor
	metadata map[string]string
	library  Candidate
	provider string
	degraded string
}

// Open loads ONNX Runtime, unless this process has it already, then the model. Each of its errors is one line that names
// the file or setting to change.
func Open(o Options) (*Session, error) {
	policy, err := newPolicy(o)
	if err != nil {
		return nil, err
	}
	if o.Threads < 0 {
		return nil, fmt.Errorf("threads %d is less than 0", o.Threads)
	}
	if err := checkModel(o.Model); err != nil {
		return nil, err
	}
	found, err := Find(Search{
		Root: "/", Explicit: o.Runtime, Env: os.Getenv(EnvLibrary),
		LoaderPath: os.Getenv("LD_LIBRARY_PATH"), Arch: runtime.GOARCH,
	})
	if err != nil {
		return nil, err
	}
	if err := load(found.Library); err != nil {
		return nil, err
	}

	s := &Session{library: found.Library}
	if err := s.open(o, policy); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

func (s *Session) open(o Options, p policy) error {
	inputs, outputs, err := describeModel(o.Model)
	if err != nil {
		return err
	}
	var inNames, outNames []string
	var inValues, outValues []ort.Value
	for _, info := range inputs {
		t, err := newTensor("input", info)
		if err != nil {
			return fmt.Errorf("cannot use model %s: %w", o.Model, err)
		}
		s.inputs = append(s.inputs, t)
		inNames, inValues = append(inNames, info.Name), append(inValues, t.value)
	}
	for _, info := range outputs {
		t, err := newTensor("output", info)
		if err != nil {
			return fmt.Errorf("cannot use model %s: %w", o.Model, err)
		}
		s.outputs = append(s.outputs, t)
		outNames, outValues = append(outNames, info.Name), append(outValues, t.value)
	}
	if len(inputs) == 0 || len(outputs) == 0 {
		return fmt.Errorf("cannot use model %s: it has %d inputs and %d outputs", o.Model, len(inputs), len(outputs))
	}
	threads := o.Threads
	if threads == 0 {
		threads = runtime.GOMAXPROCS(0)
	}
	s.provider, s.degraded, err = p.session(
		func() (*ort.SessionOptions, error) { return sessionOptions(threads) },
		func(options *ort.SessionOptions) error {
			session, err := ort.NewAdvancedSession(o.Model, inNames, outNames, inValues, outValues, options)
			if err != nil {
				return modelError(o.Model, err)
			}
			s.session = session
			return nil
		})
	if err != nil {
		return err
	}
	s.metadata, err = readMetadata(s.session)
	if err != nil {
		return fmt.Errorf("cannot read the metadata of model %s: %w", o.Model, plain(err))
	}
	return nil
}

func checkModel(path string) error {
	info, err := os.Stat(path)
	switch {
	case path == "":
		return errors.New("cannot load a model: no path is given")
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("cannot load model %s: there is no such file", path)
	case err != nil:
		return fmt.Errorf("cannot load model: %w", err)
	case !info.Mode().IsRegular():
		return fmt.Errorf("cannot load model %s: it is not a file", path)
	}
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("cannot load model: %w", err)
	}
	return f.Close()
}

// describeModel asks a session that is not optimised, and so made quickly, for the model's inputs and outputs: the
// binding needs tensors before it makes the real one. What is wrong with the file itself shows here.
func describeModel(path string) (inputs, outputs []ort.InputOutputInfo, err error) {
	o, err := ort.NewSessionOptions()
	if err != nil {
		return nil, nil, plain(err)
	}
	defer destroy(o)
	if err := errors.Join(
		o.SetGraphOptimizationLevel(ort.GraphOptimizationLevelDisableAll), o.SetIntraOpNumThreads(1),
	); err != nil {
		return nil, nil, plain(err)
	}
	inputs, outputs, err = ort.GetInputOutputInfoWithOptions(path, o)
	if err != nil {
		return nil, nil, modelError(path, err)
	}
	return inputs, outputs, nil
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
		o.AddSessionConfigEntry("session.intra_op.allow_spinning", "0"),
	); err != nil {
		destroy(o)
		return nil, plain(err)
	}
	return o, nil
}

func readMetadata(session *ort.AdvancedSession) (map[string]string, error) {
	m, err := session.GetModelMetadata()
	if err != nil {
		return nil, err
	}
	defer destroy(m)
	keys, err := m.GetCustomMetadataMapKeys()
	if err != nil {
		return nil, err
	}
	all := make(map[string]string, len(keys))
	for _, key := range keys {
		value, ok, err := m.LookupCustomMetadataMap(key)
		if err != nil {
			return nil, err
		}
		if ok {
			all[key] = value
		}
	}
	return all, nil
}

// Inputs describes the model's inputs as they are bound: a free batch dimension is 1.
func (s *Session) Inputs() []infer.Tensor { return infos(s.inputs) }

// Outputs describes the model's outputs as they are bound: a free batch dimension is 1.
func (s *Session) Outputs() []infer.Tensor { return infos(s.outputs) }

func infos(tensors []*tensor) []infer.Tensor {
	var all []infer.Tensor
	for _, t := range tensors {
		all = append(all, t.info)
	}
	return all
}

// Metadata is the model's custom metadata; nobody may change it.
func (s *Session) Metadata() map[string]string { return s.metadata }

// Provider is the execution provider in charge: TensorRT, CUDA or CPU.
func (s *Session) Provider() string { return s.provider }

// Degraded says why a provider that was asked for is not in use; "" where all is as configured.
func (s *Session) Degraded() string { return s.degraded }

// RuntimeVersion is ONNX Runtime's version, such as "1.30.0".
func (s *Session) RuntimeVersion() string { return ort.GetVersion() }

// RuntimePath is where the library was found.
func (s *Session) RuntimePath() string { return s.library.Path }

// Input is the first input's memory, for the caller to fill before Run; nil where its type is not float32. It is valid
// until Close.
func (s *Session) Input() []float32 { return s.inputs[0].float32s() }

// InputBytes is the memory of any input, whatever its type, in the machine's byte order. It is valid until Close.
func (s *Session) InputBytes(i int) []byte { return s.inputs[i].mem }

// Output is what the last Run wrote into an output, with its shape; nil where its type is not float32. It is valid until
// Close, and each Run overwrites it.
func (s *Session) Output(i int) (data []float32, shape []int64) {
	return s.outputs[i].float32s(), s.outputs[i].info.Shape
}

// Run computes the outputs from the inputs. It allocates nothing of Go's. It cannot be interrupted: what bounds a run is
// the process's end. An error that wraps ErrDeviceLost is for good.
func (s *Session) Run() error {
	if s.session == nil {
		return errors.New("cannot run the model: the session is closed")
	}
	return runError(s.session.Run())
}

// destroy frees an object of the binding. Destroy's error says only that there was nothing to free.
func destroy(o interface{ Destroy() error }) { _ = o.Destroy() }

// Close frees the model and its memory; ONNX Runtime stays loaded. A second call does nothing.
func (s *Session) Close() {
	if s.session != nil {
		destroy(s.session)
		s.session = nil
	}
	for _, t := range append(s.inputs, s.outputs...) {
		t.close()
	}
}
