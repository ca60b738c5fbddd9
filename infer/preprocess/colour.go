package preprocess

import (
	"fmt"
	"math"

	"vedette/capture"
	"vedette/infer"
)

// transform takes (Y, U, V, 1), or for RGB a channel's own value in the first place, to each channel's 0..255.
type transform [3][4]float64

// yuvToRGB inverts YCbCr as ITU-R BT.601 and BT.709 define it, from their luma coefficients.
func yuvToRGB(m capture.Matrix, r capture.Range) (transform, error) {
	var kr, kb float64
	switch m {
	case capture.BT601:
		kr, kb = 0.299, 0.114
	case capture.BT709:
		kr, kb = 0.2126, 0.0722
	default:
		return transform{}, fmt.Errorf("unknown colour matrix %d", m)
	}
	kg := 1 - kr - kb
	var y, c, black float64
	switch r {
	case capture.Limited:
		y, c, black = 255.0/219, 255.0/224, 16
	case capture.Full:
		y, c, black = 1, 1, 0
	default:
		return transform{}, fmt.Errorf("unknown colour range %d", r)
	}
	rv, bu := 2*(1-kr)*c, 2*(1-kb)*c
	gu, gv := -2*(1-kb)*kb/kg*c, -2*(1-kr)*kr/kg*c
	return transform{
		{y, 0, rv, -y*black - rv*128},
		{y, gu, gv, -y*black - (gu+gv)*128},
		{y, bu, 0, -y*black - bu*128},
	}, nil
}

// asIs leaves grey and RGB as they are.
func asIs() transform { return transform{{1, 0, 0, 0}, {1, 0, 0, 0}, {1, 0, 0, 0}} }

// normal is how one channel's 0..255 enters the tensor.
type normal struct{ mean, scale float64 }

func (n normal) apply(v float64) float64 { return (v - n.mean) * n.scale }

// normals gives the normalisation of R, G and B, whatever the tensor's order.
func normals(spec infer.InputSpec) ([3]normal, error) {
	var out [3]normal
	for c := range 3 {
		mean, scale := float64(spec.Mean[c]), float64(spec.Scale[c])
		if math.IsNaN(mean) || math.IsInf(mean, 0) || math.IsNaN(scale) || math.IsInf(scale, 0) {
			return out, fmt.Errorf("input has mean %v and scale %v in channel %d", mean, scale, c)
		}
		out[rgbOf(spec.Order, c)] = normal{mean, scale}
	}
	return out, nil
}

// rgbOf is which of R, G, B (0, 1, 2) the tensor's channel c holds; it is its own inverse.
func rgbOf(order infer.ChannelOrder, c int) int {
	if order == infer.BGR {
		return 2 - c
	}
	return c
}
