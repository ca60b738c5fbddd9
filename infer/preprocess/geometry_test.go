package preprocess

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"golang.org/x/sys/unix"

	"vedette/capture"
	"vedette/infer"
)

func TestPlacementOfCorners(t *testing.T) {
	half := [4]float64{0.5, 0, 1, 0.5} // of a 1280x720 frame: 640x360 at 640, 0; upright on its side: 360x640 at 360, 0
	all := [4]float64{0, 0, 1, 1}
	for _, c := range []struct {
		fit    infer.Fit
		region [4]float64
		rotate int
		filled [4]float32 // of the input's 400x400 pixels, by the region
	}{
		{infer.Stretch, all, 0, [4]float32{0, 0, 400, 400}},
		{infer.Letterbox, all, 0, [4]float32{0, 87, 400, 312}},
		{infer.LetterboxTopLeft, all, 180, [4]float32{0, 0, 400, 225}},
		{infer.Letterbox, all, 90, [4]float32{87, 0, 312, 400}},
		{infer.LetterboxTopLeft, all, 270, [4]float32{0, 0, 225, 400}},
		{infer.Stretch, half, 0, [4]float32{0, 0, 400, 400}},
		{infer.Letterbox, half, 0, [4]float32{0, 87, 400, 312}},
		{infer.Letterbox, half, 90, [4]float32{87, 0, 312, 400}},
		{infer.LetterboxTopLeft, half, 270, [4]float32{0, 0, 225, 400}},
	} {
		f := capture.Format{Pixel: capture.Grey, Width: 1280, Height: 720}.Packed()
		p := mustNew(t, plain(400, 400, c.fit), Stream{Format: f, Region: c.region, Turn: capture.Turn{Rotate: c.rotate}})
		got := p.Placement().Place(infer.Box{X1: c.filled[0], Y1: c.filled[1], X2: c.filled[2], Y2: c.filled[3]})
		want := infer.Box{
			X1: float32(c.region[0]), Y1: float32(c.region[1]), X2: float32(c.region[2]), Y2: float32(c.region[3]),
		}
		for i, d := range []float32{
			got.X1 - want.X1, got.Y1 - want.Y1, got.X2 - want.X2, got.Y2 - want.Y2,
		} {
			if math.Abs(float64(d)) > 1e-6 {
				t.Errorf("fit %d, rotated by %d: side %d of %v, want %v", c.fit, c.rotate, i, got, want)
			}
		}
	}
}

// TestPlacementFindsWhatIsSeen draws a bright rectangle into the sensor's frame, finds it in the tensor, and takes it
// back to where a person sees it.
func TestPlacementFindsWhatIsSeen(t *testing.T) {
	const w, h = 320, 200
	f := capture.Format{Pixel: capture.Grey, Width: w, Height: h}.Packed()
	src := make([]byte, f.FrameBytes())
	for y := 60; y < 100; y++ {
		for x := 100; x < 180; x++ {
			src[y*w+x] = 255
		}
	}
	x1, y1, x2, y2 := float32(100)/w, float32(60)/h, float32(180)/w, float32(100)/h
	upright := map[int]infer.Box{
		0:   {X1: x1, Y1: y1, X2: x2, Y2: y2},
		90:  {X1: 1 - y2, Y1: x1, X2: 1 - y1, Y2: x2},
		180: {X1: 1 - x2, Y1: 1 - y2, X2: 1 - x1, Y2: 1 - y1},
		270: {X1: y1, Y1: 1 - x2, X2: y2, Y2: 1 - x1},
	}
	for _, turn := range turns() {
		want := upright[turn.Rotate]
		switch turn.Flip {
		case capture.FlipHorizontal:
			want.X1, want.X2 = 1-want.X2, 1-want.X1
		case capture.FlipVertical:
			want.Y1, want.Y2 = 1-want.Y2, 1-want.Y1
		}
		for _, fit := range []infer.Fit{infer.Stretch, infer.Letterbox, infer.LetterboxTopLeft} {
			for _, region := range [][4]float64{{}, {0.1, 0.1, 0.9, 0.95}, {0.05, 0.2, 0.8, 0.75}} {
				spec := plain(256, 256, fit)
				p := mustNew(t, spec, Stream{Format: f, Region: region, Turn: turn})
				dst := make([]float32, 3*256*256)
				if err := p.Run(src, dst); err != nil {
					t.Fatal(err)
				}
				got, tolerance := p.Placement().Place(bright(dst, 256)), 2/float64(256)
				for _, d := range []float32{got.X1 - want.X1, got.Y1 - want.Y1, got.X2 - want.X2, got.Y2 - want.Y2} {
					if math.Abs(float64(d)) > tolerance {
						t.Fatalf("turned by %+v, fit %d, region %v: seen at %v, want %v", turn, fit, region, got, want)
					}
				}
			}
		}
	}
}

// bright is the box of what is brighter than any padding.
func bright(dst []float32, size int) infer.Box {
	b := infer.Box{X1: float32(size), Y1: float32(size)}
	for i, v := range dst[:size*size] {
		if v > 127 {
			x, y := float32(i%size), float32(i/size)
			b = infer.Box{X1: min(b.X1, x), Y1: min(b.Y1, y), X2: max(b.X2, x+1), Y2: max(b.Y2, y+1)}
		}
	}
	return b
}

// guarded is memory that ends where the process may not read.
func guarded(t *testing.T, n int) []byte {
	t.Helper()
	page := unix.Getpagesize()
	size := (n + page - 1) / page * page
	m, err := unix.Mmap(-1, 0, size+page, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Munmap(m); err != nil {
			t.Error(err)
		}
	})
	if err := unix.Mprotect(m[size:], unix.PROT_NONE); err != nil {
		t.Fatal(err)
	}
	return m[size-n : size : size]
}

// TestReadsOnlyTheFrame runs odd geometries on frames with forbidden memory behind them (reading it kills the test),
// into tensors with a sentinel on either side.
func TestReadsOnlyTheFrame(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for i := range 400 {
		pixel := rawFormats()[i%len(rawFormats())]
		f := capture.Format{Pixel: pixel, Width: 2 * (1 + r.IntN(70)), Height: 2 * (1 + r.IntN(50))}.Packed()
		spec := plain(1+r.IntN(90), 1+r.IntN(90), infer.Fit(r.IntN(3)))
		spec.Layout = infer.Layout(r.IntN(2))
		a, b, c, d := r.Float64(), r.Float64(), r.Float64(), r.Float64()
		s := Stream{Format: f, Turn: turns()[r.IntN(len(turns()))], Region: [4]float64{min(a, b), min(c, d), max(a, b), max(c, d)}}
		t.Run(fmt.Sprintf("%s-%dx%d-to-%dx%d", pixel, f.Width, f.Height, spec.Width, spec.Height), func(t *testing.T) {
			src := guarded(t, f.FrameBytes())
			for k := range src {
				src[k] = byte(r.Uint32())
			}
			p := mustNew(t, spec, s)
			const edge = 64
			n := 3 * spec.Width * spec.Height
			for ; p.plan.variant >= 0; p.plan.variant-- {
				all := make([]float32, n+2*edge)
				for k := range all {
					all[k] = -1
				}
				if err := p.Run(src, all[edge:edge+n]); err != nil {
					t.Fatal(err)
				}
				for k, v := range all {
					if inside := k >= edge && k < edge+n; inside != (v >= 0 && v <= 255) {
						t.Fatalf("value %d of a tensor of %d is %v", k-edge, n, v)
					}
				}
				small := make([]uint8, n+2*edge)
				if err := p.RunUint8(src, small[edge:edge+n]); err != nil {
					t.Fatal(err)
				}
				for k := range edge {
					if small[k] != 0 || small[edge+n+k] != 0 {
						t.Fatal("wrote outside the tensor")
					}
				}
			}
		})
	}
}
