package onnx

import (
	"slices"

	ort "github.com/yalue/onnxruntime_go"

	"vedette/infer"
)

// Behind is the file with something put before it: data is the whole model, in which input image, by its number, is frame instead, of
// bytes. What comes in is one picture.
func (f *File) Behind(data []byte, image int, frame infer.Tensor) *File {
	behind := *f
	behind.data = data
	behind.inputs = slices.Clone(f.inputs)
	behind.inputs[image] = ort.InputOutputInfo{
		Name: frame.Name, OrtValueType: ort.ONNXTypeTensor, Dimensions: ort.Shape(frame.Shape), DataType: ort.TensorElementDataTypeUint8,
	}
	return &behind
}

func (f *File) newSession(in, out []string, o *ort.SessionOptions) (*ort.DynamicAdvancedSession, error) {
	if f.data != nil {
		return ort.NewDynamicAdvancedSessionWithONNXData(f.data, in, out, o)
	}
	return ort.NewDynamicAdvancedSession(f.options.Model, in, out, o)
}

// batch is how many pictures a run takes.
func (f *File) batch(inputs []*tensor) int64 {
	if f.data != nil {
		return 1
	}
	return inputs[0].info.Shape[0]
}
