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

// input is the memory of a run's pictures: one of these, by the type of its elements.
type input struct {
	feed     *onnx.Feed // what the session runs on
	pictures int        // how many there is room for
	one      int        // elements of one
	float32s []float32
	bytes    []byte
	float16s []uint16
	scratch  []float32 // one's float16s before they are
	frame    []byte    // as it is: the model converts it

	last []*preprocess.Preprocessor // that filled a picture's float32s, padding included
}

// newInput fills what is the same for every picture, too.
func newInput(feed *onnx.Feed, f decode.Family, pictures int) *input {
	fillFixed(feed, f)
	in := &input{feed: feed, pictures: pictures, one: 3 * f.Input.Width * f.Input.Height}
	switch f.Input.Type {
	case infer.Float16:
		in.float16s, in.scratch = feed.InputFloat16s(f.Image), make([]float32, in.one)
	case infer.Uint8:
		in.bytes = feed.InputBytes(f.Image)
	default:
		in.float32s, in.last = feed.InputFloat32s(f.Image), make([]*preprocess.Preprocessor, pictures)
	}
	return in
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

// fill makes picture n of a frame. The error is the preprocessor's.
func (in *input) fill(n int, pre *preprocess.Preprocessor, frame []byte) error {
	from, to := n*in.one, (n+1)*in.one
	switch {
	case in.frame != nil:
		if len(frame) < len(in.frame) {
			return fmt.Errorf("%w: %d bytes of %d", preprocess.ErrDamaged, len(frame), len(in.frame))
		}
		copy(in.frame, frame)
		return nil
	case in.float32s != nil:
		run := pre.Run
		if in.last[n] == pre {
			run = pre.Again
		}
		err := run(frame, in.float32s[from:to])
		if err == nil {
			in.last[n] = pre
		}
		return err
	case in.bytes != nil:
		return pre.RunUint8(frame, in.bytes[from:to])
	}
	if err := pre.Run(frame, in.scratch); err != nil {
		return err
	}
	half.Encode(in.float16s[from:to], in.scratch)
	return nil
}
