package onnx

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"slices"

	ort "github.com/yalue/onnxruntime_go"
	"golang.org/x/sys/unix"

	"vedette/infer"
	"vedette/infer/onnxfile"
)

// File is a model file whose inputs and outputs are known, and that is not loaded yet.
type File struct {
	options         Options
	policy          policy
	library         Candidate
	inputs, outputs []ort.InputOutputInfo
	outline         onnxfile.Outline
	signature       infer.Signature
	data            []byte // the model's bytes, where they are not the file's: see Behind
}

// Read loads ONNX Runtime, unless this process has it already, and looks into the model's file. Each of its errors is one
// line that names the file or setting to change.
func Read(o Options) (*File, error) {
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
	f := &File{options: o, policy: policy, library: found.Library}
	if f.inputs, f.outputs, err = describeModel(o.Model); err != nil {
		return nil, err
	}
	if len(f.inputs) == 0 || len(f.outputs) == 0 {
		return nil, fmt.Errorf("cannot use model %s: it has %d inputs and %d outputs", o.Model, len(f.inputs), len(f.outputs))
	}
	if f.outline, err = readOutline(o.Model); err != nil {
		return nil, fmt.Errorf("cannot load model %s: %w", o.Model, err)
	}
	f.signature = infer.Signature{
		Inputs: describe(f.inputs), Outputs: describe(f.outputs), Metadata: f.outline.Metadata, Nodes: f.outline.NodeNames,
	}
	return f, nil
}

// Signature is what the file says of itself; nobody may change it. A free dimension is -1.
func (f *File) Signature() infer.Signature { return f.signature }

// Outline is what the file says of its making; nobody may change it.
func (f *File) Outline() onnxfile.Outline { return f.outline }

// RuntimeVersion is ONNX Runtime's version, such as "1.30.0".
func (f *File) RuntimeVersion() string { return ort.GetVersion() }

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
	o, err := plainOptions()
	if err != nil {
		return nil, nil, err
	}
	defer destroy(o)
	inputs, outputs, err = ort.GetInputOutputInfoWithOptions(path, o)
	if err != nil {
		return nil, nil, modelError(path, err)
	}
	return inputs, outputs, nil
}

// plainOptions are for a session that is made quickly and not for speed.
func plainOptions() (*ort.SessionOptions, error) {
	o, err := ort.NewSessionOptions()
	if err != nil {
		return nil, plain(err)
	}
	if err := errors.Join(
		o.SetGraphOptimizationLevel(ort.GraphOptimizationLevelDisableAll), o.SetIntraOpNumThreads(1),
	); err != nil {
		destroy(o)
		return nil, plain(err)
	}
	return o, nil
}

// readOutline maps the file, so that a large model is in memory only once.
func readOutline(path string) (onnxfile.Outline, error) {
	f, err := os.Open(path)
	if err != nil {
		return onnxfile.Outline{}, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return onnxfile.Outline{}, err
	}
	data, err := unix.Mmap(int(f.Fd()), 0, int(info.Size()), unix.PROT_READ, unix.MAP_PRIVATE)
	if err != nil {
		return onnxfile.Outline{}, fmt.Errorf("cannot map it: %w", err)
	}
	defer func() { _ = unix.Munmap(data) }() // fails only for memory that is not a mapping
	return onnxfile.ReadOutline(data)
}

// outputShapes are those of outputs that leave dimensions free: a free batch is the first input's; others are as a run on
// the model as it is, on nothing, makes them.
func (f *File) outputShapes(inputs []*tensor) (map[string][]int64, error) {
	shapes, free := map[string][]int64{}, false
	for _, info := range f.outputs {
		shape := slices.Clone([]int64(info.Dimensions))
		if len(shape) > 0 && shape[0] < 0 {
			shape[0] = f.batch(inputs)
		}
		shapes[info.Name] = shape
		free = free || slices.ContainsFunc(shape, func(d int64) bool { return d < 0 })
	}
	if !free {
		return shapes, nil
	}
	o, err := plainOptions()
	if err != nil {
		return nil, err
	}
	defer destroy(o)
	names, values := bound(inputs)
	var outNames []string
	for _, info := range f.outputs {
		if info.DataType == ort.TensorElementDataTypeFloat16 {
			return nil, fmt.Errorf("cannot use model %s: output %q is float16 and has a free size %v: export it with a fixed one",
				f.options.Model, info.Name, info.Dimensions)
		}
		outNames = append(outNames, info.Name)
	}
	session, err := f.newSession(names, outNames, o)
	if err != nil {
		return nil, modelError(f.options.Model, err)
	}
	defer destroy(session)
	made := make([]ort.Value, len(outNames))
	if err := runError(session.Run(values, made)); err != nil {
		return nil, fmt.Errorf("cannot find out the sizes of model %s's outputs: %w", f.options.Model, err)
	}
	for i, v := range made {
		if tensor, ok := v.(interface{ GetShape() ort.Shape }); ok {
			shapes[outNames[i]] = tensor.GetShape().Clone()
		}
		destroy(v)
	}
	return shapes, nil
}
