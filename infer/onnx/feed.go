package onnx

import (
	ort "github.com/yalue/onnxruntime_go"

	"vedette/infer"
)

// Feed is memory for the inputs of one run. A session has one of its own; another, of NewFeed, can be filled while the session runs on
// that. It is valid until the session's Close.
type Feed struct {
	tensors []*tensor
	binding *ort.IoBinding // of them, and of the session's outputs
	bound   int            // how many pictures the next run takes; 0: not bound
}

// Input is the first input's memory, for the caller to fill before a run; nil where its type is not float32.
func (f *Feed) Input() []float32 { return f.tensors[0].float32s() }

// InputFloat32s is the memory of input i where that is float32, else nil.
func (f *Feed) InputFloat32s(i int) []float32 { return f.tensors[i].float32s() }

// InputFloat16s is the memory of input i where that is float16, as its bits, else nil.
func (f *Feed) InputFloat16s(i int) []uint16 { return f.tensors[i].float16s() }

// InputBytes is the memory of any input, whatever its type, in the machine's byte order.
func (f *Feed) InputBytes(i int) []byte { return f.tensors[i].mem }

// Inputs describes the inputs as they are bound: a free batch dimension is 1.
func (f *Feed) Inputs() []infer.Tensor { return infos(f.tensors) }

// bind has the next run take the first n pictures. Inputs that the session takes on a device are copied there now.
func (f *Feed) bind(n int, outputs []*tensor) error {
	f.bound = 0
	for _, t := range f.tensors {
		if err := f.binding.BindInput(t.info.Name, t.of(n)); err != nil {
			return err
		}
	}
	for _, t := range outputs {
		if err := f.binding.BindOutput(t.info.Name, t.of(n)); err != nil {
			return err
		}
	}
	f.bound = n
	return nil
}

func (f *Feed) close() {
	if f.binding != nil {
		destroy(f.binding)
		f.binding = nil
	}
	for _, t := range f.tensors {
		t.close()
	}
}
