package motion

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"vedette/capture"
)

const frameTime = time.Second / 30

// room is a camera's view with noise, of one grey, and a square in it.
type room struct {
	format capture.Format
	luma   luma
	source *rand.ChaCha8
	random *rand.Rand // source's
	noise  []float64  // a stretch of it, from anywhere, is a row's: to draw each pixel's own takes minutes under -race
	grey   float64
	at     time.Duration
	data   []byte
}

func newRoom(t testing.TB, pixel capture.PixelFormat, width, height int) *room {
	t.Helper()
	f := capture.Format{Pixel: pixel, Width: width, Height: height}.Packed()
	l, err := lumaOf(f)
	if err != nil {
		t.Fatal(err)
	}
	source := rand.NewChaCha8([32]byte{1, 2})
	r := &room{
		format: f, luma: l, source: source, random: rand.New(source), noise: make([]float64, 1<<16), grey: 90, at: time.Hour,
		data: make([]byte, f.SizeImage),
	}
	const deviation = 4 // grey levels
	for i := range r.noise {
		r.noise[i] = r.random.NormFloat64() * deviation
	}
	return r
}

// frame paints a square of so many pixels, 30 levels brighter than the room, where it is on the sensor. It is valid until the next.
func (r *room) frame(x, y, size int) []byte {
	_, _ = r.source.Read(r.data) // chroma is nobody's business
	for row := range r.format.Height {
		noise := r.noise[r.random.IntN(len(r.noise)-r.format.Width):]
		line, step := r.data[r.luma.offset+row*r.format.Stride:], r.luma.step
		inRow := row >= y && row < y+size
		for column, n := range noise[:r.format.Width] {
			grey := r.grey + n
			if inRow && column >= x && column < x+size {
				grey += 30
			}
			line[column*step] = byte(min(max(grey, 0), 255))
		}
	}
	return r.data
}

func (r *room) show(g *Gate, x, y, size int) bool {
	r.at += frameTime
	return g.Moving(r.frame(x, y, size), r.at)
}

// settle shows an empty room until the gate has shut.
func (r *room) settle(t *testing.T, g *Gate) {
	t.Helper()
	for range 90 {
		if !r.show(g, 0, 0, 0) {
			return
		}
	}
	t.Fatal("the gate is still open after 3 s of an empty room")
}

func rawFormats() (all []capture.PixelFormat) {
	for _, p := range capture.PixelFormats() {
		if p != capture.MJPEG {
			all = append(all, p)
		}
	}
	return all
}

func TestOpensForASmallThingThatMoves(t *testing.T) {
	for _, pixel := range rawFormats() {
		t.Run(pixel.String(), func(t *testing.T) {
			r := newRoom(t, pixel, 322, 182) // the smallest of which every other pixel is looked at
			g, err := New(r.format, capture.Turn{}, [4]float64{}, nil)
			if err != nil {
				t.Fatal(err)
			}
			if !r.show(g, 0, 0, 0) {
				t.Error("the first frame is not let through")
			}
			r.settle(t, g)
			for range 150 {
				if r.show(g, 0, 0, 0) {
					t.Fatal("noise opens the gate")
				}
			}
			if !r.show(g, 150, 100, 24) {
				t.Error("a square that has come does not open the gate")
			}
			came := r.at
			r.settle(t, g)
			if held := r.at - came; held < Hold || held > Hold+5*frameTime {
				t.Errorf("the gate shuts %v after the last motion: want %v", held, Hold)
			}
		})
	}
}

func TestOpensWhileSomethingMovesSlowly(t *testing.T) {
	r := newRoom(t, capture.YUYV, 322, 182)
	g, err := New(r.format, capture.Turn{}, [4]float64{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.settle(t, g)
	for x := range 120 { // a pixel a frame, four seconds
		if open := r.show(g, 100+x, 100, 40); !open {
			t.Fatalf("the gate is shut while the square is at %d", 100+x)
		}
	}
}

func TestFollowsTheLight(t *testing.T) {
	r := newRoom(t, capture.NV12, 320, 240)
	g, err := New(r.format, capture.Turn{}, [4]float64{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.settle(t, g)
	for i := range 60 {
		r.grey += 0.5
		if r.show(g, 0, 0, 0) {
			t.Fatalf("it is taken for motion that the room is %.1f levels brighter", 0.5*float64(i+1))
		}
	}
	r.grey += 5 // at once
	if r.show(g, 0, 0, 0) {
		t.Error("a step of the exposure is taken for motion")
	}
}

func TestLooksAgainAfterAWhile(t *testing.T) {
	r := newRoom(t, capture.Grey, 64, 48)
	g, err := New(r.format, capture.Turn{}, [4]float64{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.settle(t, g)
	shut := r.at
	for !r.show(g, 0, 0, 0) {
		if r.at-shut > 2*Refresh {
			t.Fatal("nothing is let through any more")
		}
	}
	if open := r.at - shut; open < Refresh-Hold || open > Refresh+frameTime {
		t.Errorf("a frame is let through after %v: want %v after the last one", open, Refresh)
	}
}

// The square is on the sensor, masks and regions are in the upright picture. A quarter turn clockwise takes the sensor's
// upper left corner to the upper right.
func TestMasksAndRegions(t *testing.T) {
	corner := map[int][4]float64{
		0: {0, 0, 0.5, 0.5}, 90: {0.5, 0, 1, 0.5}, 180: {0.5, 0.5, 1, 1}, 270: {0, 0.5, 0.5, 1},
	}
	flipped := map[capture.Turn][4]float64{
		{Flip: capture.FlipHorizontal}: {0.5, 0, 1, 0.5}, {Flip: capture.FlipVertical}: {0, 0.5, 0.5, 1},
		{Rotate: 90, Flip: capture.FlipHorizontal}: {0, 0, 0.5, 0.5},
	}
	for rotate, c := range corner {
		flipped[capture.Turn{Rotate: rotate}] = c
	}
	for turn, c := range flipped {
		polygon := []capture.Point{{c[0], c[1]}, {c[2], c[1]}, {c[2], c[3]}, {c[0], c[3]}}
		for _, where := range []struct {
			name   string
			region [4]float64
			masks  [][]capture.Point
			upper  bool // whether the sensor's upper left quarter counts
		}{
			{"masked", [4]float64{0, 0, 1, 1}, [][]capture.Point{polygon}, false},
			{"region", c, nil, true},
		} {
			t.Run(fmt.Sprintf("%s-%v", where.name, turn), func(t *testing.T) {
				r := newRoom(t, capture.YUYV, 320, 240)
				g, err := New(r.format, turn, where.region, where.masks)
				if err != nil {
					t.Fatal(err)
				}
				r.settle(t, g)
				if got := r.show(g, 40, 40, 40); got != where.upper {
					t.Errorf("motion at the sensor's upper left is seen: %v", got)
				}
				r.settle(t, g)
				if got := r.show(g, 240, 160, 40); got == where.upper {
					t.Errorf("motion at the sensor's lower right is seen: %v", got)
				}
			})
		}
	}
}

func TestFramesOfEverySize(t *testing.T) {
	for _, size := range [][2]int{{1, 1}, {2, 2}, {3, 500}, {500, 3}, {1921, 1081}, {3840, 2160}} {
		f := capture.Format{Pixel: capture.Grey, Width: size[0], Height: size[1]}.Packed()
		g, err := New(f, capture.Turn{}, [4]float64{}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if cells := len(g.sums); cells < 1 || cells > placesAcross*placesDown/places {
			t.Errorf("%v has %d cells", size, cells)
		}
		for i := range 3 {
			if !g.Moving(make([]byte, f.SizeImage), time.Duration(i)) {
				t.Errorf("%v: frame %d is not let through", size, i)
			}
		}
		if !g.Moving(make([]byte, f.SizeImage-1), time.Hour) {
			t.Errorf("%v: a short frame is dropped as if nothing moved", size)
		}
	}
	if _, err := New(capture.Format{Pixel: capture.MJPEG, Width: 64, Height: 48}.Packed(), capture.Turn{}, [4]float64{}, nil); err == nil {
		t.Error("a gate for MJPEG was made")
	}
}

// BenchmarkMoving is a still scene's cost for each frame: 30 a second below 333 us are less than 1% of a core.
func BenchmarkMoving(b *testing.B) {
	for _, size := range []capture.Size{{Width: 1280, Height: 720}, {Width: 1920, Height: 1080}, {Width: 3840, Height: 2160}} {
		for _, pixel := range []capture.PixelFormat{capture.YUYV, capture.NV12} {
			b.Run(fmt.Sprintf("%s/%s", size, pixel), func(b *testing.B) {
				f := capture.Format{Pixel: pixel, Width: size.Width, Height: size.Height}.Packed()
				g, err := New(f, capture.Turn{}, [4]float64{}, nil)
				if err != nil {
					b.Fatal(err)
				}
				frames := make([][]byte, 16) // more than the cache holds
				for i := range frames {
					frames[i] = make([]byte, f.SizeImage)
				}
				b.ReportAllocs()
				for i := 0; b.Loop(); i++ {
					g.Moving(frames[i%len(frames)], time.Duration(i)*frameTime)
				}
			})
		}
	}
}
