package onnxfile

import (
	"encoding/binary"
	"fmt"
	"math"
)

// DataType is what a tensor's elements are. The numbers are TensorProto.DataType's in onnx.proto.
type DataType int32

// The types that this package writes.
const (
	Float32 DataType = 1
	Uint8   DataType = 2
	Int32   DataType = 6
	Int64   DataType = 7
	Bool    DataType = 9
	Float16 DataType = 10
)

// size is that of one element in bytes; 0 for a type that is not known.
func (t DataType) size() int {
	switch t {
	case Float32, Int32:
		return 4
	case Int64:
		return 8
	case Bool, Uint8:
		return 1
	case Float16:
		return 2
	default:
		return 0
	}
}

// Tensor is a constant of a graph.
type Tensor struct {
	Name  string
	Type  DataType
	Shape []int64 // none for a scalar
	Raw   []byte  // the elements, the last dimension's the closest together, each little-endian
}

// Float32s is a tensor of float32.
func Float32s(name string, shape []int64, values []float32) Tensor {
	raw := make([]byte, 0, 4*len(values))
	for _, v := range values {
		raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(v))
	}
	return Tensor{Name: name, Type: Float32, Shape: shape, Raw: raw}
}

// Int32s is a tensor of int32.
func Int32s(name string, shape []int64, values []int32) Tensor {
	raw := make([]byte, 0, 4*len(values))
	for _, v := range values {
		raw = binary.LittleEndian.AppendUint32(raw, uint32(v))
	}
	return Tensor{Name: name, Type: Int32, Shape: shape, Raw: raw}
}

// Int64s is a list of int64, as operators take axes, shapes and bounds.
func Int64s(name string, values ...int64) Tensor {
	raw := make([]byte, 0, 8*len(values))
	for _, v := range values {
		raw = binary.LittleEndian.AppendUint64(raw, uint64(v))
	}
	return Tensor{Name: name, Type: Int64, Shape: []int64{int64(len(values))}, Raw: raw}
}

// check tells whether the bytes are as many as the shape says.
func (t Tensor) check() error {
	size := t.Type.size()
	if size == 0 {
		return fmt.Errorf("tensor %q: data type %d is not known", t.Name, t.Type)
	}
	elements := int64(1)
	for _, d := range t.Shape {
		if d < 0 || d > math.MaxInt32 || elements > math.MaxInt32 {
			return fmt.Errorf("tensor %q: shape %v is out of bounds", t.Name, t.Shape)
		}
		elements *= d
	}
	if want := elements * int64(size); want != int64(len(t.Raw)) {
		return fmt.Errorf("tensor %q: %d bytes are not the %d of shape %v", t.Name, len(t.Raw), want, t.Shape)
	}
	return nil
}
