package preprocess

import (
	"errors"
	"math"
	"testing"

	"vedette/capture"
	"vedette/infer"
)

func FuzzJPEG(f *testing.F) {
	for _, name := range []string{
		"444", "422", "420", "440", "411", "rgb", "restart", "progressive", "optimised",
		"arithmetic", "scans", "grey", "cmyk",
	} {
		src := readJPEG(f, name)
		f.Add(src)
		f.Add(src[:len(src)/2])
	}
	f.Add(withoutTables(f, readJPEG(f, "420")))
	var ps []*Preprocessor
	for _, size := range []int{8, 20, 100} {
		s := jpegStream(64, 48)
		s.Masks = [][]capture.Point{{{0.1, 0.1}, {0.9, 0.2}, {0.5, 0.7}}}
		ps = append(ps, mustNew(f, plain(size, size, infer.Letterbox), s))
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		for _, p := range ps {
			dst := make([]float32, 3*p.spec.Width*p.spec.Height)
			dst[0] = float32(math.Inf(1))
			err := p.Run(src, dst)
			switch {
			case err == nil:
				for i, v := range dst {
					if !(v >= 0 && v <= 255) {
						t.Fatalf("value %d is %v", i, v)
					}
				}
			case !errors.Is(err, ErrDamaged):
				t.Fatalf("%v, want ErrDamaged", err)
			case !math.IsInf(float64(dst[0]), 1):
				t.Fatal("a damaged picture changed the tensor")
			}
		}
	})
}
