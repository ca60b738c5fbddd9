package onnx

import (
	"fmt"
	"slices"
	"unsafe"

	ort "github.com/yalue/onnxruntime_go"
	"golang.org/x/sys/unix"

	"vedette/infer"
	"vedette/infer/half"
)

// maxTensorBytes bounds what a model's shape can make us allocate.
const maxTensorBytes = 1 << 30

// tensor is an input or output in memory of its own, which Go neither moves nor frees: the session holds C pointers to
// it.
type tensor struct {
	info    infer.Tensor
	element ort.TensorElementDataType
	mem     []byte
	value   *ort.CustomDataTensor
	parts   []*ort.CustomDataTensor // the memory's first 1, 2 and so on of a batch's pictures, where a run may take fewer
	values  []float32               // of an output: the memory itself, or what convert makes of it
	halves  *half.Decoder           // of a float16 output
}

// elementSize tells whether a tensor can be bound with a type, and its elements' size in bytes.
func elementSize(t ort.TensorElementDataType) (size int64, bindable bool) {
	switch t {
	case ort.TensorElementDataTypeUint8, ort.TensorElementDataTypeInt8, ort.TensorElementDataTypeBool:
		return 1, true
	case ort.TensorElementDataTypeFloat16:
		return 2, true
	case ort.TensorElementDataTypeFloat, ort.TensorElementDataTypeInt32:
		return 4, true
	case ort.TensorElementDataTypeInt64:
		return 8, true
	}
	return 0, false
}

// typeName is ONNX's type in the words of infer.Tensor.
func typeName(t ort.TensorElementDataType) string {
	switch t {
	case ort.TensorElementDataTypeFloat:
		return "float32"
	case ort.TensorElementDataTypeDouble:
		return "float64"
	case ort.TensorElementDataTypeFloat16:
		return "float16"
	case ort.TensorElementDataTypeBFloat16:
		return "bfloat16"
	case ort.TensorElementDataTypeUint8:
		return "uint8"
	case ort.TensorElementDataTypeInt8:
		return "int8"
	case ort.TensorElementDataTypeUint16:
		return "uint16"
	case ort.TensorElementDataTypeInt16:
		return "int16"
	case ort.TensorElementDataTypeInt32:
		return "int32"
	case ort.TensorElementDataTypeInt64:
		return "int64"
	case ort.TensorElementDataTypeUint32:
		return "uint32"
	case ort.TensorElementDataTypeUint64:
		return "uint64"
	case ort.TensorElementDataTypeBool:
		return "bool"
	case ort.TensorElementDataTypeString:
		return "string"
	}
	return fmt.Sprintf("type %d", int(t))
}

// describe turns the binding's descriptions into the vocabulary's.
func describe(infos []ort.InputOutputInfo) []infer.Tensor {
	all := make([]infer.Tensor, 0, len(infos))
	for _, info := range infos {
		t := infer.Tensor{Name: info.Name, Type: "not a tensor"}
		if info.OrtValueType == ort.ONNXTypeTensor {
			t.Type, t.Shape = typeName(info.DataType), info.Dimensions.Clone()
		}
		all = append(all, t)
	}
	return all
}

// newTensors binds memory for inputs or outputs ("input", "output": kind, for errors) with these shapes, or those that
// they have, where a free batch becomes 1. On an error they are what there is to close.
func newTensors(kind string, infos []ort.InputOutputInfo, shapes map[string][]int64) (all []*tensor, err error) {
	for i, info := range describe(infos) {
		t, err := newTensor(kind, info, infos[i].DataType, shapes[info.Name])
		if err != nil {
			return all, err
		}
		all = append(all, t)
		if kind == "output" {
			t.prepareValues()
		}
	}
	return all, nil
}

func newTensor(kind string, info infer.Tensor, element ort.TensorElementDataType, shape []int64) (*tensor, error) {
	size, bindable := elementSize(element)
	if info.Shape == nil || !bindable {
		return nil, fmt.Errorf("%s %q is %s: export the model with float32 tensors", kind, info.Name, info.Type)
	}
	if len(info.Shape) == 0 {
		return nil, fmt.Errorf("%s %q has no dimensions", kind, info.Name)
	}
	t := &tensor{info: info, element: element}
	t.info.Shape = slices.Clone(info.Shape)
	if shape != nil {
		if !matches(info.Shape, shape) {
			return nil, fmt.Errorf("%s %q has the shape %v, which cannot be %v", kind, info.Name, info.Shape, shape)
		}
		t.info.Shape = slices.Clone(shape)
	}
	for i, d := range t.info.Shape {
		if i == 0 && d < 0 {
			d, t.info.Shape[0] = 1, 1
		}
		if d < 1 {
			return nil, fmt.Errorf("%s %q has the shape %v, which leaves dimension %d free: export the model with a fixed size",
				kind, info.Name, info.Shape, i)
		}
		if d > maxTensorBytes/size {
			return nil, fmt.Errorf("%s %q has the shape %v, which is more than %d MiB",
				kind, info.Name, info.Shape, maxTensorBytes>>20)
		}
		size *= d
	}
	mem, err := unix.Mmap(-1, 0, int(size), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		return nil, fmt.Errorf("cannot allocate %d bytes for %s %q: %w", size, kind, info.Name, err)
	}
	t.mem = mem
	t.value, err = ort.NewCustomDataTensor(ort.Shape(t.info.Shape), mem, element)
	if err != nil {
		t.close()
		return nil, fmt.Errorf("cannot bind %s %q: %w", kind, info.Name, plain(err))
	}
	return t, nil
}

// split makes it fit for runs on fewer pictures than there is memory for.
func (t *tensor) split() error {
	for n := range t.info.Shape[0] - 1 {
		shape := slices.Clone(t.info.Shape)
		shape[0] = n + 1
		part, err := ort.NewCustomDataTensor(ort.Shape(shape), t.mem[:int64(len(t.mem))/t.info.Shape[0]*shape[0]], t.element)
		if err != nil {
			return fmt.Errorf("cannot bind %q: %w", t.info.Name, plain(err))
		}
		t.parts = append(t.parts, part)
	}
	return nil
}

// of is what a run on n pictures takes.
func (t *tensor) of(n int) *ort.CustomDataTensor {
	if n <= len(t.parts) {
		return t.parts[n-1]
	}
	return t.value
}

// matches tells whether a shape is one that the declared one allows.
func matches(declared, shape []int64) bool {
	return slices.EqualFunc(declared, shape, func(d, v int64) bool { return d < 0 || d == v })
}

// bound gives the names and values that a session takes.
func bound(tensors []*tensor) (names []string, values []ort.Value) {
	for _, t := range tensors {
		names, values = append(names, t.info.Name), append(values, t.value)
	}
	return names, values
}

// float32s views the memory as the elements it holds; nil for another type.
func (t *tensor) float32s() []float32 {
	if t.info.Type != "float32" {
		return nil
	}
	return view[float32](t.mem) // a mapping is aligned to a page
}

// float16s views the memory as the bits that it holds; nil for another type.
func (t *tensor) float16s() []uint16 {
	if t.info.Type != "float16" {
		return nil
	}
	return view[uint16](t.mem)
}

func view[T any](mem []byte) []T {
	if len(mem) == 0 {
		return nil
	}
	var zero T
	return unsafe.Slice((*T)(unsafe.Pointer(&mem[0])), len(mem)/int(unsafe.Sizeof(zero)))
}

// prepareValues makes room for convert.
func (t *tensor) prepareValues() {
	switch t.info.Type {
	case "float32":
		t.values = t.float32s()
		return
	case "float16":
		t.halves = half.NewDecoder()
	}
	elements := int64(1)
	for _, d := range t.info.Shape {
		elements *= d
	}
	t.values = make([]float32, elements)
}

// convert fills values from the memory, where they are not the same.
func (t *tensor) convert() {
	switch t.info.Type {
	case "float32":
	case "float16":
		t.halves.Decode(t.values, t.float16s())
	case "int64":
		convert(t.values, view[int64](t.mem))
	case "int32":
		convert(t.values, view[int32](t.mem))
	case "int8":
		convert(t.values, view[int8](t.mem))
	default: // uint8, bool
		convert(t.values, t.mem)
	}
}

func convert[T int64 | int32 | int8 | uint8](dst []float32, src []T) {
	for i, v := range src {
		dst[i] = float32(v)
	}
}

func (t *tensor) close() {
	for _, part := range t.parts {
		destroy(part)
	}
	t.parts = nil
	if t.value != nil {
		destroy(t.value)
		t.value = nil
	}
	if t.mem != nil {
		_ = unix.Munmap(t.mem) // fails only for memory that is not a mapping
		t.mem = nil
	}
}
