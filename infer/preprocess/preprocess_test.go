package preprocess

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"vedette/capture"
	"vedette/infer"
)

func rawFormats() []capture.PixelFormat {
	var out []capture.PixelFormat
	for _, p := range capture.PixelFormats() {
		if p != capture.MJPEG {
			out = append(out, p)
		}
	}
	return out
}

// padded is a format whose lines are longer than its pixels need, as drivers align them.
func padded(pixel capture.PixelFormat, width, height int) capture.Format {
	f := capture.Format{Pixel: pixel, Width: width, Height: height}.Packed()
	f.Stride += 14
	f.SizeImage = f.FrameBytes()
	return f
}

// smooth is a frame whose samples change slowly and stay where every YCbCr is an RGB; the bytes between the lines are
// wild.
func smooth(f capture.Format) []byte {
	b := make([]byte, f.FrameBytes())
	for i := range b {
		b[i] = byte(rand.Uint32())
	}
	wave := func(x, y, phase, swing float64) byte {
		return byte(128 + swing*math.Sin(x/17+phase)*math.Cos(y/13-phase))
	}
	s, luma := f.Stride, f.Stride*f.Height
	for y := range f.Height {
		for x := range f.Width {
			fx, fy := float64(x), float64(y)
			l, u, v := wave(fx, fy, 0, 40), wave(fx, fy, 1, 20), wave(fx, fy, 2, 20)
			line, half := y*s, y/2*(s/2)+x/2
			switch f.Pixel {
			case capture.YUYV:
				b[line+2*x], b[line+x/2*4+1], b[line+x/2*4+3] = l, u, v
			case capture.UYVY:
				b[line+2*x+1], b[line+x/2*4], b[line+x/2*4+2] = l, u, v
			case capture.NV12, capture.NV21:
				b[line+x], b[luma+y/2*s+x/2*2], b[luma+y/2*s+x/2*2+1] = l, u, v
			case capture.I420, capture.YV12:
				b[line+x], b[luma+half], b[luma+luma/4+half] = l, u, v
			case capture.Grey:
				b[line+x] = l
			default:
				b[line+3*x], b[line+3*x+1], b[line+3*x+2] = l, u, v
			}
		}
	}
	return b
}

// plain is an input whose values are 0..255 as they are.
func plain(width, height int, fit infer.Fit) infer.InputSpec {
	return infer.InputSpec{Width: width, Height: height, Fit: fit, Pad: 114, Scale: [3]float32{1, 1, 1}}
}

func mustNew(t testing.TB, spec infer.InputSpec, s Stream) *Preprocessor {
	t.Helper()
	p, err := New(spec, s)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

// near fails where a tensor differs from the reference, in grey levels: every value by a level, the mean by a tenth.
func near(t *testing.T, got []float32, want []float64, scale float64) {
	t.Helper()
	sum, worst, where := 0.0, 0.0, 0
	for i := range want {
		d := math.Abs(float64(got[i])-want[i]) / scale
		sum += d
		if !(d <= worst) {
			worst, where = d, i
		}
	}
	if mean := sum / float64(len(want)); !(worst <= 1) || !(mean <= 0.1) {
		t.Errorf("differs by %.3f grey levels in the mean, by %.2f at %d (%v, want %v)",
			mean, worst, where, got[where], want[where])
	}
}

func TestRawFormatsAgreeWithReference(t *testing.T) {
	for _, pixel := range rawFormats() {
		for _, matrix := range []capture.Matrix{capture.BT601, capture.BT709} {
			for _, span := range []capture.Range{capture.Limited, capture.Full} {
				t.Run(fmt.Sprintf("%s-matrix%d-range%d", pixel, matrix, span), func(t *testing.T) {
					f := padded(pixel, 122, 70)
					f.Matrix, f.Range = matrix, span
					src := smooth(f)
					p := mustNew(t, plain(51, 37, infer.Stretch), Stream{Format: f})
					got := make([]float32, 3*51*37)
					if err := p.Run(src, got); err != nil {
						t.Fatal(err)
					}
					want := decodeRaw(f, src).resize(51, 37).tensor(p.spec, 0, 0)
					near(t, got, want, 1)
				})
			}
		}
	}
}

func TestColoursBeyondRGBAreClamped(t *testing.T) {
	f := capture.Format{Pixel: capture.I420, Width: 32, Height: 32}.Packed()
	for _, sample := range [][3]byte{
		{255, 255, 255}, {0, 0, 0}, {255, 0, 255}, {0, 255, 128}, {235, 128, 128}, {16, 128, 128},
	} {
		src := make([]byte, f.FrameBytes())
		for i := range src {
			src[i] = sample[0]
			if i >= 32*32 {
				src[i] = sample[1]
			}
			if i >= 32*32+16*16 {
				src[i] = sample[2]
			}
		}
		p := mustNew(t, plain(20, 20, infer.Stretch), Stream{Format: f})
		got := make([]float32, 3*20*20)
		if err := p.Run(src, got); err != nil {
			t.Fatal(err)
		}
		near(t, got, decodeRaw(f, src).resize(20, 20).tensor(p.spec, 0, 0), 1)
		for i, v := range got {
			if v < 0 || v > 255 {
				t.Fatalf("YCbCr %v gives %v at %d, outside 0..255", sample, v, i)
			}
		}
	}
}

// TestEnlarges covers frames and regions smaller than the input, down to a single pixel.
func TestEnlarges(t *testing.T) {
	for _, pixel := range rawFormats() {
		for _, size := range []capture.Size{{Width: 2, Height: 2}, {Width: 6, Height: 4}, {Width: 34, Height: 18}} {
			f := padded(pixel, size.Width, size.Height)
			src := smooth(f)
			p := mustNew(t, plain(45, 33, infer.Stretch), Stream{Format: f})
			got := make([]float32, 3*45*33)
			if err := p.Run(src, got); err != nil {
				t.Fatal(err)
			}
			near(t, got, decodeRaw(f, src).resize(45, 33).tensor(p.spec, 0, 0), 1)

			one := mustNew(t, plain(45, 33, infer.Stretch), Stream{Format: f, Region: [4]float64{0.999, 0.999, 1, 1}})
			if err := one.Run(src, got); err != nil {
				t.Fatal(err)
			}
			corner := decodeRaw(f, src).crop(size.Width-1, size.Height-1, size.Width, size.Height)
			near(t, got, corner.resize(45, 33).tensor(p.spec, 0, 0), 1)
		}
	}
}

// TestProcessorsAgree compares the kernel's variants, on columns that lie close together, far apart, and in the other direction.
func TestProcessorsAgree(t *testing.T) {
	for _, pixel := range rawFormats() {
		for _, in := range []struct {
			width, input int
			turn         capture.Turn
		}{
			{640, 101, capture.Turn{}},
			{640, 256, capture.Turn{}},
			{640, 512, capture.Turn{Rotate: 180}},
			{1280, 40, capture.Turn{}},
			{1280, 512, capture.Turn{Flip: capture.FlipHorizontal}},
			{320, 640, capture.Turn{Rotate: 90}},
		} {
			f := padded(pixel, in.width, 60)
			src := smooth(f)
			p := mustNew(t, plain(in.input, 77, infer.Stretch), Stream{Format: f, Turn: in.turn})
			best := p.plan.variant
			if best == 0 {
				t.Skip("skipped: this processor has one instruction set only")
			}
			want, got := make([]float32, 3*in.input*77), make([]float32, 3*in.input*77)
			p.plan.variant = 0
			if err := p.Run(src, want); err != nil {
				t.Fatal(err)
			}
			for ; best > 0; best-- {
				p.plan.variant = best
				if err := p.Run(src, got); err != nil {
					t.Fatal(err)
				}
				for i := range got {
					if math.Abs(float64(got[i]-want[i])) > 1e-3 {
						t.Fatalf("%s of %d columns to %d: value %d is %v by variant %d and %v by the first", pixel, in.width, in.input, i, got[i], best, want[i])
					}
				}
			}
		}
	}
}

// TestSharedTensor is why padding is written for each frame: streams of different shapes share one input.
func TestSharedTensor(t *testing.T) {
	wide, tall := padded(capture.Grey, 64, 32), padded(capture.Grey, 32, 64)
	a := mustNew(t, plain(32, 32, infer.Letterbox), Stream{Format: wide})
	b := mustNew(t, plain(32, 32, infer.Letterbox), Stream{Format: tall})
	dst := make([]float32, 3*32*32)
	for _, run := range []struct {
		p *Preprocessor
		f capture.Format
	}{{a, wide}, {b, tall}, {a, wide}} {
		if err := run.p.Run(make([]byte, run.f.FrameBytes()), dst); err != nil {
			t.Fatal(err)
		}
	}
	if top, left := dst[16], dst[16*32]; top != 114 || left != 0 {
		t.Errorf("above the wide picture is %v, want padding of 114; at its left edge %v, want black", top, left)
	}
}

func TestAgainLeavesThePaddingAlone(t *testing.T) {
	wide := padded(capture.Grey, 64, 32)
	p := mustNew(t, plain(32, 32, infer.Letterbox), Stream{Format: wide})
	src := make([]byte, wide.FrameBytes())
	want, got := make([]float32, 3*32*32), make([]float32, 3*32*32)
	for i := range src {
		src[i] = byte(i)
	}
	if err := p.Run(src, want); err != nil {
		t.Fatal(err)
	}
	if err := p.Run(make([]byte, len(src)), got); err != nil {
		t.Fatal(err)
	}
	if err := p.Again(src, got); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(got, want) {
		t.Error("a tensor that was filled before differs from one that was filled now")
	}
	got[0] = -1
	if err := p.Again(src, got); err != nil || got[0] != -1 {
		t.Errorf("%v: the padding was written", err)
	}
}

func TestRejectsFramesAndTensorsOfTheWrongSize(t *testing.T) {
	for _, pixel := range rawFormats() {
		f := padded(pixel, 32, 16)
		p := mustNew(t, plain(8, 8, infer.Stretch), Stream{Format: f})
		dst := make([]float32, 3*8*8)
		for _, n := range []int{0, 1, f.FrameBytes() - 1} {
			if err := p.Run(make([]byte, n), dst); !errors.Is(err, ErrDamaged) {
				t.Errorf("%s frame of %d bytes: %v, want ErrDamaged", pixel, n, err)
			}
		}
		src := make([]byte, f.FrameBytes())
		for _, n := range []int{0, len(dst) - 1, len(dst) + 1} {
			if err := p.Run(src, make([]float32, n)); err == nil || errors.Is(err, ErrDamaged) {
				t.Errorf("%s into a tensor of %d: %v, want an error that does not blame the frame", pixel, n, err)
			}
		}
		p.Close()
		p.Close()
		if err := p.Run(src, dst); err == nil {
			t.Errorf("%s: ran after Close", pixel)
		}
	}
}

func TestNewRejects(t *testing.T) {
	f := capture.Format{Pixel: capture.YUYV, Width: 64, Height: 48}.Packed()
	nan := float32(math.NaN())
	for name, c := range map[string]struct {
		change func(*infer.InputSpec, *Stream)
		want   string
	}{
		"format":       {func(_ *infer.InputSpec, s *Stream) { s.Format.Stride = 3 }, "stride"},
		"rotation":     {func(_ *infer.InputSpec, s *Stream) { s.Turn.Rotate = 45 }, "rotation of 45"},
		"flip":         {func(_ *infer.InputSpec, s *Stream) { s.Turn.Flip = "both" }, "flip \"both\" is neither"},
		"region":       {func(_ *infer.InputSpec, s *Stream) { s.Region = [4]float64{0.5, 0, 0.5, 1} }, "region"},
		"region NaN":   {func(_ *infer.InputSpec, s *Stream) { s.Region = [4]float64{math.NaN(), 0, 1, 1} }, "region"},
		"region large": {func(_ *infer.InputSpec, s *Stream) { s.Region = [4]float64{0, 0, 1.1, 1} }, "region"},
		"mask":         {func(_ *infer.InputSpec, s *Stream) { s.Masks = [][]capture.Point{{{0, 0}, {1, 1}}} }, "mask 1"},
		"empty input":  {func(i *infer.InputSpec, _ *Stream) { i.Width = 0 }, "input of 0x"},
		"huge input":   {func(i *infer.InputSpec, _ *Stream) { i.Height = 1 << 40 }, "input of"},
		"fit":          {func(i *infer.InputSpec, _ *Stream) { i.Fit = 9 }, "fit"},
		"layout":       {func(i *infer.InputSpec, _ *Stream) { i.Layout = 9 }, "layout"},
		"mean":         {func(i *infer.InputSpec, _ *Stream) { i.Mean[1] = nan }, "mean"},
		"matrix":       {func(_ *infer.InputSpec, s *Stream) { s.Format.Matrix = 9 }, "matrix"},
		"range":        {func(_ *infer.InputSpec, s *Stream) { s.Format.Range = 9 }, "range"},
	} {
		spec, stream := plain(32, 32, infer.Stretch), Stream{Format: f}
		c.change(&spec, &stream)
		p, err := New(spec, stream)
		if err == nil {
			p.Close()
			t.Errorf("%s: accepted", name)
		} else if !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %q does not say %q", name, err, c.want)
		}
	}
}

func TestRunAllocatesNothing(t *testing.T) {
	for _, pixel := range capture.PixelFormats() {
		f := capture.Format{Pixel: pixel, Width: 64, Height: 48}.Packed()
		src := make([]byte, f.SizeImage)
		if pixel == capture.MJPEG {
			src = readJPEG(t, "420")
		}
		p := mustNew(t, plain(40, 40, infer.Letterbox), Stream{Format: f})
		dst := make([]float32, 3*40*40)
		if n := testing.AllocsPerRun(50, func() {
			if err := p.Run(src, dst); err != nil {
				t.Fatal(err)
			}
		}); n != 0 {
			t.Errorf("%s: %v allocations a frame", pixel, n)
		}
	}
}
