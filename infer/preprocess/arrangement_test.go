package preprocess

import (
	"fmt"
	"math"
	"testing"

	"vedette/capture"
	"vedette/infer"
)

// arrangement is one way for a frame of 120x80 to go into an input of 60x50, the pixels worked out by hand.
type arrangement struct {
	turn   capture.Turn
	region [4]float64
	seen   [4]int // the region's pixels of the upright frame
	fit    infer.Fit
	target [4]int // pixels of the input
}

func arrangements() []arrangement {
	lower := [4]float64{0.25, 0.5, 0.75, 1}
	var out []arrangement
	for _, turn := range turns() {
		whole, part := [4]int{0, 0, 120, 80}, [4]int{30, 40, 90, 80}
		centred, topLeft := [4]int{0, 5, 60, 45}, [4]int{0, 0, 60, 40}
		if turn.Sideways() {
			whole, part = [4]int{0, 0, 80, 120}, [4]int{20, 60, 60, 120}
			centred, topLeft = [4]int{13, 0, 46, 50}, [4]int{0, 0, 33, 50}
		}
		for fit, target := range map[infer.Fit][4]int{
			infer.Stretch: {0, 0, 60, 50}, infer.Letterbox: centred, infer.LetterboxTopLeft: topLeft,
		} {
			out = append(out,
				arrangement{turn, [4]float64{}, whole, fit, target},
				arrangement{turn, lower, part, fit, target})
		}
	}
	return out
}

func TestEveryArrangement(t *testing.T) {
	for _, pixel := range []capture.PixelFormat{capture.YUYV, capture.NV12, capture.RGB24, capture.Grey} {
		f := padded(pixel, 120, 80)
		src := smooth(f)
		whole := decodeRaw(f, src)
		for _, a := range arrangements() {
			seen := whole.turn(a.turn).crop(a.seen[0], a.seen[1], a.seen[2], a.seen[3]).
				resize(a.target[2]-a.target[0], a.target[3]-a.target[1])
			for _, spec := range []infer.InputSpec{
				{Layout: infer.NCHW, Order: infer.RGB},
				{Layout: infer.NCHW, Order: infer.BGR},
				{Layout: infer.NHWC, Order: infer.RGB},
				{Layout: infer.NHWC, Order: infer.BGR},
			} {
				spec.Width, spec.Height, spec.Fit, spec.Pad = 60, 50, a.fit, 114
				name := fmt.Sprintf("%s-%v-%v-fit%d-layout%d-order%d",
					pixel, a.turn, a.seen, a.fit, spec.Layout, spec.Order)
				t.Run(name, func(t *testing.T) {
					s := Stream{Format: f, Region: a.region, Turn: a.turn}
					spec.Mean = [3]float32{123.675, 116.28, 103.53}
					spec.Scale = [3]float32{1 / 58.395, 1 / 57.12, -1 / 57.375}
					checkFloats(t, spec, s, src, seen.tensor(spec, a.target[0], a.target[1]))
					spec.Mean, spec.Scale = [3]float32{}, [3]float32{1, 1, 1}
					checkBytes(t, spec, s, src, seen.tensor(spec, a.target[0], a.target[1]))
				})
			}
		}
	}
}

func checkFloats(t *testing.T, spec infer.InputSpec, s Stream, src []byte, want []float64) {
	t.Helper()
	got := make([]float32, len(want))
	for i := range got {
		got[i] = float32(math.NaN())
	}
	if err := mustNew(t, spec, s).Run(src, got); err != nil {
		t.Fatal(err)
	}
	near(t, got, want, float64(spec.Scale[0]))
}

func checkBytes(t *testing.T, spec infer.InputSpec, s Stream, src []byte, want []float64) {
	t.Helper()
	got := make([]uint8, len(want))
	if err := mustNew(t, spec, s).RunUint8(src, got); err != nil {
		t.Fatal(err)
	}
	for i := range got {
		if math.Abs(float64(got[i])-want[i]) > 1.2 {
			t.Fatalf("byte %d of the tensor is %d, want %.2f", i, got[i], want[i])
		}
	}
}
