package onnx

import (
	"fmt"
	"unsafe"

	ort "github.com/yalue/onnxruntime_go"
	"golang.org/x/sys/unix"

	"vedette/infer"
)

// maxTensorBytes bounds what a model's shape can make us allocate.
const maxTensorBytes = 1 << 30

// tensor is an input or output in memory of its own, which Go neither moves nor frees: the session holds C pointers to
// it.
type tensor struct {
	info  infer.Tensor
	mem   []byte
	value *ort.CustomDataTensor
}

// elementSize tells whether a tensor can be bound with a type, and its elements' size in bytes.
func elementSize(t ort.TensorElementDataType) (size int64, bindable bool) {
	switch t {
	case ort.TensorElementDataTypeUint8, ort.TensorElementDataTypeInt8, ort.TensorElementDataTypeBool:
		return 1, true
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

// describe turns the binding's description into the vocabulary's.
func describe(info ort.InputOutputInfo) infer.Tensor {
	if info.OrtValueType != ort.ONNXTypeTensor {
		return infer.Tensor{Name: info.Name, Type: "not a tensor"}
	}
	return infer.Tensor{Name: info.Name, Type: typeName(info.DataType), Shape: info.Dimensions.Clone()}
}

// newTensor binds memory for an input or output ("input", "output": kind, for errors). A free batch dimension becomes 1.
func newTensor(kind string, info ort.InputOutputInfo) (*tensor, error) {
	t := &tensor{info: describe(info)}
	size, bindable := elementSize(info.DataType)
	if info.OrtValueType != ort.ONNXTypeTensor || !bindable {
		return nil, fmt.Errorf("%s %q is %s: export the model with float32 tensors", kind, t.info.Name, t.info.Type)
	}
	if len(t.info.Shape) == 0 {
		return nil, fmt.Errorf("%s %q has no dimensions", kind, t.info.Name)
	}
	for i, d := range t.info.Shape {
		if i == 0 && d < 0 {
			d, t.info.Shape[0] = 1, 1
		}
		if d < 1 {
			return nil, fmt.Errorf("%s %q has the shape %v, which leaves dimension %d free: export the model with a fixed size",
				kind, t.info.Name, info.Dimensions, i)
		}
		if d > maxTensorBytes/size {
			return nil, fmt.Errorf("%s %q has the shape %v, which is more than %d MiB",
				kind, t.info.Name, info.Dimensions, maxTensorBytes>>20)
		}
		size *= d
	}
	mem, err := unix.Mmap(-1, 0, int(size), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		return nil, fmt.Errorf("cannot allocate %d bytes for %s %q: %w", size, kind, t.info.Name, err)
	}
	t.mem = mem
	t.value, err = ort.NewCustomDataTensor(ort.Shape(t.info.Shape), mem, info.DataType)
	if err != nil {
		t.close()
		return nil, fmt.Errorf("cannot bind %s %q: %w", kind, t.info.Name, plain(err))
	}
	return t, nil
}

// float32s views the memory as the elements it holds; nil for another type.
func (t *tensor) float32s() []float32 {
	if t.info.Type != "float32" || len(t.mem) == 0 {
		return nil
	}
	return unsafe.Slice((*float32)(unsafe.Pointer(&t.mem[0])), len(t.mem)/4) // a mapping is aligned to a page
}

func (t *tensor) close() {
	if t.value != nil {
		destroy(t.value)
		t.value = nil
	}
	if t.mem != nil {
		_ = unix.Munmap(t.mem) // fails only for memory that is not a mapping
		t.mem = nil
	}
}
