package worker

import (
	"encoding/binary"
	"fmt"

	"vedette/infer"
	"vedette/infer/decode"
	"vedette/infer/half"
	"vedette/infer/onnx"
	"vedette/infer/preprocess"
)

// input is the memory of a run's picture: one of these, by the type of its elements.
type input struct {
	feed     *onnx.Feed // what the session runs on
	float32s []float32
	bytes    []byte
	float16s []uint16
	scratch  []float32 // float16s before they are
	frame    []byte    // as it is: the model converts it

	last *preprocess.Preprocessor // that filled float32s, padding included
}

// newInput fills what is the same for every picture, too.
func newInput(feed *onnx.Feed, f decode.Family) *input {
	fillFixed(feed, f)
	one := 3 * f.Input.Width * f.Input.Height
	switch f.Input.Type {
	case infer.Float16:
		return &input{feed: feed, float16s: feed.InputFloat16s(f.Image)[:one], scratch: make([]float32, one)}
	case infer.Uint8:
		return &input{feed: feed, bytes: feed.InputBytes(f.Image)[:one]}
	}
	return &input{feed: feed, float32s: feed.InputFloat32s(f.Image)[:one]}
}

// fillFixed fills the inputs that are no picture.
func fillFixed(feed *onnx.Feed, f decode.Family) {
	for _, fill := range f.Fill {
		for mem := feed.InputBytes(fill.Input); len(mem) >= 8*len(fill.Values); {
			for _, v := range fill.Values {
				binary.NativeEndian.PutUint64(mem, uint64(v))
				mem = mem[8:]
			}
		}
	}
}

// fill puts a frame into it. The error is the preprocessor's.
func (in *input) fill(pre *preprocess.Preprocessor, frame []byte) error {
	switch {
	case in.frame != nil:
		if len(frame) < len(in.frame) {
			return fmt.Errorf("%w: %d bytes of %d", preprocess.ErrDamaged, len(frame), len(in.frame))
		}
		copy(in.frame, frame)
		return nil
	case in.float32s != nil:
		run := pre.Run
		if in.last == pre {
			run = pre.Again
		}
		err := run(frame, in.float32s)
		if err == nil {
			in.last = pre
		}
		return err
	case in.bytes != nil:
		return pre.RunUint8(frame, in.bytes)
	}
	if err := pre.Run(frame, in.scratch); err != nil {
		return err
	}
	half.Encode(in.float16s, in.scratch)
	return nil
}
