package bestview

import (
	"bytes"
	"context"
	"image"
	"image/jpeg"
	"log/slog"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"vedette/capture"
	"vedette/capture/picture"
	"vedette/infer"
	"vedette/track"
)

const width, height = 64, 48

// grey gives a frame of one brightness, by which its picture is known.
func grey(v byte) Frame {
	format := capture.Format{Pixel: capture.Grey, Width: width, Height: height, Range: capture.Full}.Packed()
	return Frame{Pixels: bytes.Repeat([]byte{v}, width*height), Picture: picture.Options{Format: format}}
}

// brightness is that of a picture's middle.
func brightness(t *testing.T, p Picture) byte {
	t.Helper()
	img, err := jpeg.Decode(bytes.NewReader(p.JPEG))
	if err != nil {
		t.Fatal(err)
	}
	b := img.Bounds()
	return img.(*image.YCbCr).YCbCrAt(b.Dx()/2, b.Dy()/2).Y
}

// person is one of so much area at the picture's middle, whose quality grows with it.
func person(id string, side float32) track.Sighting {
	return track.Sighting{
		ID: id, Label: "person", Score: 1, Box: infer.Box{X1: 0.5 - side/2, Y1: 0.5 - side/2, X2: 0.5 + side/2, Y2: 0.5 + side/2},
	}
}

type bench struct {
	*Chooser
	got []Picture // by the end of the last wait
	all []Picture // guarded by the Chooser's lock
}

// run runs a Chooser in a bubble; wait lets it do what there is to do.
func run(t *testing.T, o Options, f func(b *bench)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b := &bench{}
		o.Every, o.Logger, o.Publish = 5*time.Second, slog.New(slog.DiscardHandler), func(p Picture) { b.all = append(b.all, p) }
		if o.MaxBytes == 0 {
			o.Width, o.MaxBytes = width, 100<<10
		}
		b.Chooser = New(o)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			b.Run(ctx)
		}()
		f(b)
		cancel()
		<-done
	})
}

func (b *bench) wait(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
	b.mu.Lock()
	defer b.mu.Unlock()
	b.got = slices.Clone(b.all)
}

// kept is how much the Chooser keeps.
func (b *bench) kept() (waiting, slots, cameras int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.waiting, b.slots, len(b.cameras)
}

func TestTheBestViewIsPublishedAtItsTurn(t *testing.T) {
	run(t, Options{}, func(b *bench) {
		yard := b.Camera("yard")
		yard.Offer(grey(10), nil)
		yard.Offer(grey(20), []track.Sighting{person("a", 0.1)})
		b.wait(time.Second)
		for i, side := range []float32{0.102, 0.2, 0.4, 0.3, 0.41} { // the best is the third
			yard.Offer(grey(byte(30+10*i)), []track.Sighting{person("a", side)})
			b.wait(100 * time.Millisecond)
		}
		if len(b.got) != 1 || brightness(t, b.got[0]) != 20 || b.got[0].Object != "a" || b.got[0].Camera != "yard" || b.got[0].Part != "person" {
			t.Fatalf("at first: %d pictures", len(b.got))
		}
		b.wait(5 * time.Second)
		if len(b.got) != 2 || brightness(t, b.got[1]) != 50 {
			t.Fatalf("after 5 s: %d pictures", len(b.got))
		}
		b.wait(time.Minute)
		if s := b.Stats(); len(b.got) != 2 || s.Published != 2 || s.Dropped[ByRate] != 1 {
			t.Errorf("%d pictures, %+v", len(b.got), s)
		}
	})
}

func TestWhoHasGoneMakesRoom(t *testing.T) {
	run(t, Options{}, func(b *bench) {
		yard := b.Camera("yard")
		yard.Offer(grey(20), []track.Sighting{person("a", 0.4), person("b", 0.1)})
		b.wait(10 * time.Second)
		hidden := person("a", 0.4)
		hidden.Predicted = true
		yard.Offer(grey(30), []track.Sighting{hidden, person("b", 0.1)}) // it is only out of sight
		b.wait(10 * time.Second)
		if len(b.got) != 1 || b.got[0].Object != "a" {
			t.Fatalf("while the first is there: %+v", len(b.got))
		}
		yard.Offer(grey(40), []track.Sighting{person("b", 0.1)})
		b.wait(time.Second)
		if len(b.got) != 2 || b.got[1].Object != "b" || brightness(t, b.got[1]) != 40 {
			t.Fatalf("when it has gone: %+v", len(b.got))
		}
		yard.Offer(grey(50), []track.Sighting{person("c", 0.3)}) // waits for its turn, and has gone by then
		yard.Offer(grey(60), []track.Sighting{person("d", 0.1)})
		b.wait(10 * time.Second)
		if len(b.got) != 3 || b.got[2].Object != "c" || brightness(t, b.got[2]) != 50 {
			t.Errorf("what waits for its turn gives way to a worse view: %+v", len(b.got))
		}
	})
}

func TestNothingComesOfACameraThatIsClosed(t *testing.T) {
	run(t, Options{}, func(b *bench) {
		yard := b.Camera("yard")
		yard.Offer(grey(20), []track.Sighting{person("a", 0.1)})
		b.wait(time.Second)
		yard.Offer(grey(30), []track.Sighting{person("a", 0.4)})
		yard.Close()
		yard.Offer(grey(40), []track.Sighting{person("a", 0.9)})
		b.wait(time.Minute)
		if waiting, slots, cameras := b.kept(); len(b.got) != 1 || waiting+slots+cameras != 0 {
			t.Errorf("%d pictures; %d wait, %d slots, %d cameras", len(b.got), waiting, slots, cameras)
		}
		again := b.Camera("yard")
		again.Offer(grey(50), []track.Sighting{person("z", 0.1)})
		b.wait(time.Second)
		if len(b.got) != 2 || brightness(t, b.got[1]) != 50 {
			t.Errorf("of the camera that came in its place: %d pictures", len(b.got))
		}
	})
}

// A picture that is being made when its camera is closed goes nowhere.
func TestAPictureThatIsBeingMadeIsTakenBack(t *testing.T) {
	c := New(Options{Width: width, MaxBytes: 1 << 20, Publish: func(Picture) { t.Error("it is published") }})
	yard := c.Camera("yard")
	yard.Offer(grey(20), []track.Sighting{person("a", 0.1)})
	cam, s, w, _ := c.next(time.Now())
	yard.Close()
	file, err := c.encode(w)
	if err != nil || file == nil {
		t.Fatal(err)
	}
	c.finish(cam, s, w, file, err)
}

func TestBounds(t *testing.T) {
	run(t, Options{}, func(b *bench) {
		yard := b.Camera("yard")
		var many []track.Sighting
		for i := range maxSlots + 3 {
			s := person(string(rune('a'+i)), 0.3)
			s.Label, s.Class = "", i // labels that only their number tells apart
			many = append(many, s)
		}
		for range 2 * maxSlots {
			yard.Offer(grey(20), many)
			if waiting, _, _ := b.kept(); waiting > maxWaiting {
				t.Fatalf("%d frames wait", waiting)
			}
			b.wait(5 * time.Second)
		}
		if _, slots, _ := b.kept(); slots != maxSlots || b.Stats().Dropped[ByMemory] == 0 {
			t.Errorf("%d slots, %+v", slots, b.Stats())
		}
	})
}

// noise gives a frame that no coder makes small.
func noise() Frame {
	format := capture.Format{Pixel: capture.Grey, Width: 640, Height: 480, Range: capture.Full}.Packed()
	pixels := make([]byte, 640*480)
	state := uint32(1)
	for i := range pixels {
		state = state*1664525 + 1013904223 // Numerical Recipes' generator
		pixels[i] = byte(state >> 24)
	}
	return Frame{Pixels: pixels, Picture: picture.Options{Format: format}}
}

func TestAPictureIsMadeSmallerUntilItFits(t *testing.T) {
	for most, want := range map[int]struct{ width, published int }{1 << 20: {640, 1}, 40 << 10: {320, 1}, 8 << 10: {160, 1}, 500: {0, 0}} {
		run(t, Options{Width: 640, MaxBytes: most}, func(b *bench) {
			b.Camera("yard").Offer(noise(), []track.Sighting{person("a", 0.5)})
			b.wait(time.Second)
			if len(b.got) != want.published || b.Stats().Dropped[BySize] != uint64(1-want.published) {
				t.Fatalf("within %d bytes: %d pictures, %+v", most, len(b.got), b.Stats())
			}
			if want.published == 0 {
				return
			}
			img, err := jpeg.DecodeConfig(bytes.NewReader(b.got[0].JPEG))
			if err != nil || img.Width != want.width || len(b.got[0].JPEG) > most {
				t.Errorf("within %d bytes: %d bytes, %d pixels across, %v", most, len(b.got[0].JPEG), img.Width, err)
			}
		})
	}
}

func TestWhatCannotBeMadeIsCounted(t *testing.T) {
	run(t, Options{}, func(b *bench) {
		f := grey(20)
		f.Pixels = f.Pixels[:10]
		b.Camera("yard").Offer(f, []track.Sighting{person("a", 0.5)})
		b.wait(time.Second)
		if len(b.got) != 0 || b.Stats().Dropped[ByFailed] != 1 {
			t.Errorf("%d pictures, %+v", len(b.got), b.Stats())
		}
	})
}

func TestCropAndBox(t *testing.T) {
	in := image.Rect(0, 0, 640, 480)
	for box, want := range map[image.Rectangle]image.Rectangle{
		image.Rect(200, 100, 400, 300): image.Rect(150, 50, 450, 350),
		image.Rect(300, 200, 310, 210): image.Rect(273, 173, 337, 237),
		image.Rect(0, 400, 100, 480):   image.Rect(0, 380, 125, 480),
	} {
		if got := around(box, in); got != want {
			t.Errorf("around %v: %v, want %v", box, got, want)
		}
	}
	run(t, Options{Box: true, Crop: true, Width: 640, MaxBytes: 1 << 20}, func(b *bench) {
		b.Camera("yard").Offer(noise(), []track.Sighting{person("a", 0.5)})
		b.wait(time.Second)
		img, err := jpeg.Decode(bytes.NewReader(b.got[0].JPEG))
		if err != nil || img.Bounds().Size() != image.Pt(480, 360) {
			t.Fatalf("%v, %v", img.Bounds(), err)
		}
		if r, g, _, _ := img.At(81, 180).RGBA(); g < r+60<<8 {
			t.Errorf("the box's left edge is not drawn: %d %d", r>>8, g>>8)
		}
	})
}

func TestNobodyWantsPictures(t *testing.T) {
	var c *Chooser
	cam := c.Camera("yard")
	cam.Offer(grey(1), []track.Sighting{person("a", 0.5)})
	cam.Close()
	if cam.Wants() || c.Stats().Published != 0 {
		t.Error("a Chooser that is none takes something")
	}
}

func BenchmarkOfferNothingBetter(b *testing.B) {
	c := New(Options{Every: time.Hour, Publish: func(Picture) {}})
	cam, frame := c.Camera("yard"), grey(1)
	var all []track.Sighting
	for i := range 20 {
		all = append(all, person(string(rune('a'+i)), 0.3))
	}
	cam.Offer(frame, all)
	b.ReportAllocs()
	for b.Loop() {
		cam.Offer(frame, all)
	}
}
