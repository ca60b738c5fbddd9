package scene

import (
	"bytes"
	"context"
	"errors"
	"image/jpeg"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"vedette/capture"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func config(pixel capture.PixelFormat, width, height int, rate float64) capture.SceneConfig {
	return capture.SceneConfig{Size: capture.Size{Width: width, Height: height}, Rate: rate, Format: pixel}
}

// frames gives the first n frames of a scene.
func frames(t *testing.T, c capture.SceneConfig, n int, options ...Option) (*Scene, [][]byte) {
	t.Helper()
	s, err := New(c, options...)
	if err != nil {
		t.Fatal(err)
	}
	stream, err := s.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close()
	var out [][]byte
	for range n {
		frame, err := stream.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, bytes.Clone(frame.Data))
		frame.Release()
	}
	return s, out
}

func TestSameFrameSameBytes(t *testing.T) {
	_, first := frames(t, config(capture.YUYV, 640, 360, 0), 3)
	_, second := frames(t, config(capture.YUYV, 640, 360, 0), 3)
	_, loop := frames(t, config(capture.YUYV, 640, 360, 0), 5, Prerendered(3))
	for i := range first {
		if !bytes.Equal(first[i], second[i]) || !bytes.Equal(first[i], loop[i]) {
			t.Errorf("frame %d differs from time to time", i)
		}
	}
	if bytes.Equal(first[0], first[1]) && bytes.Equal(first[1], first[2]) {
		t.Error("nothing moves")
	}
	if !bytes.Equal(loop[3], loop[0]) {
		t.Error("a loop of 3 does not begin again with frame 3")
	}
}

// luma gives the luma of a frame at x, y.
func luma(f capture.Format, frame []byte, x, y int) int {
	switch f.Pixel {
	case capture.YUYV:
		return int(frame[y*f.Stride+2*x])
	case capture.UYVY:
		return int(frame[y*f.Stride+2*x+1])
	case capture.RGB24:
		p := frame[y*f.Stride+3*x:]
		return int(lumaOf(int(p[0]), int(p[1]), int(p[2])))
	case capture.BGR24:
		p := frame[y*f.Stride+3*x:]
		return int(lumaOf(int(p[2]), int(p[1]), int(p[0])))
	}
	return int(frame[y*f.Stride+x])
}

func TestEveryFormatShowsTheSamePicture(t *testing.T) {
	reference := capture.Format{Pixel: capture.YUYV, Width: 320, Height: 180}.Packed()
	_, want := frames(t, config(capture.YUYV, 320, 180, 0), 1)
	for _, pixel := range capture.PixelFormats() {
		if pixel == capture.MJPEG {
			continue
		}
		s, got := frames(t, config(pixel, 320, 180, 0), 1)
		if len(got[0]) != s.format.FrameBytes() {
			t.Fatalf("%s: %d bytes, want %d", pixel, len(got[0]), s.format.FrameBytes())
		}
		for y := 0; y < 180; y += 7 {
			for x := 0; x < 320; x += 7 {
				a, b := luma(reference, want[0], x, y), luma(s.format, got[0], x, y)
				if max(a-b, b-a) > 1 {
					t.Fatalf("%s: luma %d at %d,%d, in yuyv %d", pixel, b, x, y, a)
				}
			}
		}
	}
}

func TestMJPEGFramesArePictures(t *testing.T) {
	_, got := frames(t, config(capture.MJPEG, 160, 90, 0), 2)
	img, err := jpeg.Decode(bytes.NewReader(got[1]))
	if err != nil || img.Bounds().Dx() != 160 || img.Bounds().Dy() != 90 {
		t.Errorf("%v, %v", err, img)
	}
}

// TestTruthIsWhereThePictureIs compares a frame with the bare backdrop: what differs are the photographs, which the objects fill.
func TestTruthIsWhereThePictureIs(t *testing.T) {
	s, got := frames(t, config(capture.Grey, 640, 360, 0), 50)
	for _, sequence := range []uint32{0, 49} {
		for _, object := range s.Truth(sequence) {
			inside, changed := 0, 0
			for y := int(object.Y1 * 360); y < int(object.Y2*360); y++ {
				for x := int(object.X1 * 640); x < int(object.X2*640); x++ {
					inside++
					if at := y*640 + x; got[sequence][at] != s.background[at] {
						changed++
					}
				}
			}
			if inside == 0 || float64(changed) < 0.9*float64(inside) {
				t.Errorf("frame %d: %d of %d pixels of the %s differ from the backdrop", sequence, changed, inside, object.Label)
			}
		}
	}
	if len(s.Truth(0)) != 2 {
		t.Errorf("%d objects", len(s.Truth(0)))
	}
}

func TestImpossibleScenesAreRefused(t *testing.T) {
	for _, c := range []struct {
		config capture.SceneConfig
		says   string
	}{
		{config(capture.NV12, 641, 360, 25), "even"},
		{config(capture.YUYV, 0, 0, 25), "outside 1x1"},
		{config(capture.YUYV, 640, 360, -1), "frames a second"},
		{config(capture.YUYV, 64, 720, 25), "too narrow"},
		{config(capture.PixelFormat(1), 640, 360, 25), "unknown pixel format"},
	} {
		if _, err := New(c.config); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%+v: error %v does not say %q", c.config, err, c.says)
		}
	}
}

func TestNextHeedsItsContext(t *testing.T) {
	s, err := New(config(capture.Grey, 64, 36, 0.1))
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		stream, err := s.Open(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := stream.Next(t.Context()); err != nil { // frame 0 is due at once
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := stream.Next(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v", err)
		}
	})
}

func BenchmarkRender(b *testing.B) {
	s, err := New(config(capture.YUYV, 1280, 720, 0))
	if err != nil {
		b.Fatal(err)
	}
	frame := make([]byte, s.format.SizeImage)
	for i := 0; b.Loop(); i++ {
		if _, err := s.render(uint32(i), frame); err != nil {
			b.Fatal(err)
		}
	}
}
