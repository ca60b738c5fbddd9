package preprocess

import (
	"math"

	"vedette/infer"
)

// padding is one line of the tensor outside the picture: a line for each channel with NCHW, one with NHWC.
type padding[T float32 | uint8] [][]T

func newPaddings(spec infer.InputSpec) (padding[float32], padding[uint8], error) {
	norms, err := normals(spec)
	if err != nil {
		return nil, nil, err
	}
	lines := 3
	if spec.Layout == infer.NHWC {
		lines = 1
	}
	floats, bytes := make(padding[float32], lines), make(padding[uint8], lines)
	for i := range 3 * spec.Width {
		c, line := i/spec.Width, i/spec.Width
		if spec.Layout == infer.NHWC {
			c, line = i%3, 0
		}
		v := norms[rgbOf(spec.Order, c)].apply(float64(spec.Pad))
		floats[line] = append(floats[line], float32(v))
		bytes[line] = append(bytes[line], uint8(min(max(math.Round(v), 0), 255)))
	}
	return floats, bytes, nil
}

// write fills everything outside the target. It is done for each frame: streams of different shapes share a tensor.
func (p padding[T]) write(spec infer.InputSpec, target rect, dst []T) {
	if target == (rect{0, 0, spec.Width, spec.Height}) {
		return
	}
	value := 3 / len(p)
	line := value * spec.Width
	left, right := value*target.x0, value*target.x1
	for c, pad := range p {
		plane := dst[c*line*spec.Height:][:line*spec.Height]
		for y := range spec.Height {
			out := plane[y*line:][:line]
			if y < target.y0 || y >= target.y1 {
				copy(out, pad)
				continue
			}
			copy(out[:left], pad)
			copy(out[right:], pad)
		}
	}
}
