package mask

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"vedette/capture"
)

func formats(width, height int) []capture.Format {
	var out []capture.Format
	for _, p := range capture.PixelFormats() {
		if p == capture.MJPEG {
			continue
		}
		f := capture.Format{Pixel: p, Width: width, Height: height}.Packed()
		f.Stride += 6
		f.SizeImage = f.FrameBytes()
		out = append(out, f)
	}
	return out
}

// bytesOf is the offsets of a pixel's bytes, chroma included, from the formats' definitions, and what they are where
// the pixel is black.
func bytesOf(f capture.Format, x, y int) map[int]byte {
	black := byte(16)
	if f.Range == capture.Full {
		black = 0
	}
	s, luma := f.Stride, f.Stride*f.Height
	line, half := y*s, y/2*(s/2)+x/2
	switch f.Pixel {
	case capture.YUYV:
		return map[int]byte{line + 2*x: black, line + x/2*4 + 1: 128, line + x/2*4 + 3: 128}
	case capture.UYVY:
		return map[int]byte{line + 2*x + 1: black, line + x/2*4: 128, line + x/2*4 + 2: 128}
	case capture.NV12, capture.NV21:
		return map[int]byte{line + x: black, luma + y/2*s + x/2*2: 128, luma + y/2*s + x/2*2 + 1: 128}
	case capture.I420, capture.YV12:
		return map[int]byte{line + x: black, luma + half: 128, luma + luma/4 + half: 128}
	case capture.Grey:
		return map[int]byte{line + x: 0}
	}
	return map[int]byte{line + 3*x: 0, line + 3*x + 1: 0, line + 3*x + 2: 0}
}

func paint(t *testing.T, f capture.Format, turn capture.Turn, polygons ...[]capture.Point) []byte {
	t.Helper()
	p, err := New(f, turn, polygons)
	if err != nil {
		t.Fatal(err)
	}
	frame := bytes.Repeat([]byte{77}, f.FrameBytes())
	if err := p.Paint(frame); err != nil {
		t.Fatal(err)
	}
	return frame
}

func black(frame []byte, f capture.Format, x, y int) bool {
	for at, want := range bytesOf(f, x, y) {
		if frame[at] != want {
			return false
		}
	}
	return true
}

func untouched(frame []byte, f capture.Format, x, y int) bool {
	for at := range bytesOf(f, x, y) {
		if frame[at] != 77 {
			return false
		}
	}
	return true
}

// TestRectangleOnWholeBlocks: where a polygon ends between two chroma blocks, it ends there exactly.
func TestRectangleOnWholeBlocks(t *testing.T) {
	for _, span := range []capture.Range{capture.Limited, capture.Full} {
		for _, f := range formats(40, 20) {
			f.Range = span
			frame := paint(t, f, capture.Turn{}, []capture.Point{{0.1, 0.2}, {0.7, 0.2}, {0.7, 0.8}, {0.1, 0.8}})
			for y := range 20 {
				for x := range 40 {
					inside := x >= 4 && x < 28 && y >= 4 && y < 16
					if inside && !black(frame, f, x, y) || !inside && !untouched(frame, f, x, y) {
						t.Fatalf("%s: pixel %d, %d is wrong (inside: %v)", f.Pixel, x, y, inside)
					}
				}
			}
			for y := range 20 { // what pads the lines is nobody's
				if end := f.Stride*(y+1) - 1; frame[end] != 77 {
					t.Fatalf("%s: wrote behind line %d", f.Pixel, y)
				}
			}
		}
	}
}

// TestEveryTouchedPixelIsBlack samples random polygons densely: wherever a point is inside by ray casting, the pixel
// around it is black. And what is a block or more away from the polygon's bounds is untouched.
func TestEveryTouchedPixelIsBlack(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for i := range 60 {
		fs := formats(36, 28)
		f := fs[i%len(fs)]
		polygon := make([]capture.Point, 3+r.IntN(5))
		for k := range polygon {
			polygon[k] = capture.Point{r.Float64(), r.Float64()}
		}
		if i%3 == 0 { // thin ones, thinner than a pixel
			for k := range polygon {
				polygon[k][0] = 0.4 + polygon[k][0]/100
			}
		}
		turn := capture.Turn{Rotate: 90 * (i % 4), Flip: []capture.Flip{capture.NoFlip, capture.FlipHorizontal, capture.FlipVertical}[i/4%3]}
		frame := paint(t, f, turn, polygon)
		x0, y0, x1, y1 := 1.0, 1.0, 0.0, 0.0
		for _, p := range polygon {
			x, y := sensor(p[0], p[1], turn)
			x0, y0, x1, y1 = min(x0, x), min(y0, y), max(x1, x), max(y1, y)
		}
		for range 20000 {
			u, v := r.Float64(), r.Float64()
			x, y := sensor(u, v, turn)
			px, py := min(int(x*36), 35), min(int(y*28), 27)
			if inside(polygon, u, v) && !black(frame, f, px, py) {
				t.Fatalf("%s turned by %+v, polygon %v: pixel %d, %d is touched at %.4f, %.4f and shows",
					f.Pixel, turn, polygon, px, py, u, v)
			}
			far := x < x0-3./36 || x > x1+3./36 || y < y0-3./28 || y > y1+3./28
			if far && !untouched(frame, f, px, py) {
				t.Fatalf("%s turned by %+v, polygon %v: pixel %d, %d is far away and painted", f.Pixel, turn, polygon, px, py)
			}
		}
	}
}

// sensor undoes the turn of an upright point: the flip, then quarter turns anticlockwise, one after the other.
func sensor(x, y float64, turn capture.Turn) (float64, float64) {
	switch turn.Flip {
	case capture.FlipHorizontal:
		x = 1 - x
	case capture.FlipVertical:
		y = 1 - y
	}
	for rotate := turn.Rotate; rotate > 0; rotate -= 90 {
		x, y = y, 1-x
	}
	return x, y
}

// inside is the even-odd rule by ray casting.
func inside(polygon []capture.Point, x, y float64) bool {
	in := false
	for i, a := range polygon {
		b := polygon[(i+1)%len(polygon)]
		if (a[1] > y) != (b[1] > y) && x < a[0]+(b[0]-a[0])*(y-a[1])/(b[1]-a[1]) {
			in = !in
		}
	}
	return in
}

func TestWholeFrame(t *testing.T) {
	for _, f := range formats(14, 10) {
		for _, rotate := range []int{0, 90, 180, 270} {
			frame := paint(t, f, capture.Turn{Rotate: rotate}, []capture.Point{{0, 0}, {1, 0}, {1, 1}, {0, 1}})
			for y := range f.Height {
				for x := range f.Width {
					if !black(frame, f, x, y) {
						t.Fatalf("%s: pixel %d, %d shows", f.Pixel, x, y)
					}
				}
			}
		}
	}
}

// TestCrossingAndOverlapping: a polygon that goes round a place twice, or two that share one, hide it all the same.
func TestCrossingAndOverlapping(t *testing.T) {
	f := capture.Format{Pixel: capture.Grey, Width: 100, Height: 100}.Packed()
	var star []capture.Point
	for i := range 5 {
		angle := float64(i) * 4 * math.Pi / 5
		star = append(star, capture.Point{0.5 + 0.4*math.Sin(angle), 0.5 - 0.4*math.Cos(angle)})
	}
	square := []capture.Point{{0.4, 0.4}, {0.6, 0.4}, {0.6, 0.6}, {0.4, 0.6}}
	for name, frame := range map[string][]byte{
		"star":     paint(t, f, capture.Turn{}, star),
		"twice":    paint(t, f, capture.Turn{}, square, square),
		"reversed": paint(t, f, capture.Turn{}, square, []capture.Point{square[3], square[2], square[1], square[0]}),
	} {
		if !black(frame, f, 50, 50) {
			t.Errorf("%s: the middle shows", name)
		}
	}
}

func TestRejects(t *testing.T) {
	f := capture.Format{Pixel: capture.YUYV, Width: 16, Height: 16}.Packed()
	square := []capture.Point{{0, 0}, {1, 0}, {1, 1}}
	for want, try := range map[string]func() error{
		"has 2 points":   func() error { return newError(f, capture.Turn{}, square[:2]) },
		"outside 0..1":   func() error { return newError(f, capture.Turn{}, []capture.Point{{0, 0}, {2, 0}, {1, 1}}) },
		"point [NaN 0]":  func() error { return newError(f, capture.Turn{}, []capture.Point{{0, 0}, {math.NaN(), 0}, {1, 1}}) },
		"rotation of 45": func() error { return newError(f, capture.Turn{Rotate: 45}, square) },
		"mjpeg frames before they are decoded": func() error {
			return newError(capture.Format{Pixel: capture.MJPEG, Width: 16, Height: 16}.Packed(), capture.Turn{}, square)
		},
		"stride": func() error {
			bad := f
			bad.Stride = 1
			return newError(bad, capture.Turn{}, square)
		},
		"frame of 511 bytes: the format has 512": func() error {
			p, err := New(f, capture.Turn{}, nil)
			if err != nil {
				return fmt.Errorf("unexpected: %w", err)
			}
			return p.Paint(make([]byte, 511))
		},
	} {
		if err := try(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want an error that says %q", err, want)
		}
	}
}

func newError(f capture.Format, turn capture.Turn, polygon []capture.Point) error {
	_, err := New(f, turn, [][]capture.Point{polygon})
	return err
}

func TestPaintAllocatesNothing(t *testing.T) {
	f := capture.Format{Pixel: capture.NV12, Width: 640, Height: 480}.Packed()
	p, err := New(f, capture.Turn{}, [][]capture.Point{{{0.1, 0.1}, {0.9, 0.2}, {0.5, 0.9}}})
	if err != nil {
		t.Fatal(err)
	}
	frame := make([]byte, f.FrameBytes())
	if n := testing.AllocsPerRun(20, func() {
		if err := p.Paint(frame); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations a frame", n)
	}
}

func BenchmarkPaint(b *testing.B) {
	for _, f := range formats(1280, 720) {
		b.Run(f.Pixel.String(), func(b *testing.B) {
			p, err := New(f, capture.Turn{}, [][]capture.Point{{{0.1, 0.1}, {0.9, 0.2}, {0.5, 0.9}}})
			if err != nil {
				b.Fatal(err)
			}
			frame := make([]byte, f.FrameBytes())
			for b.Loop() {
				if err := p.Paint(frame); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
