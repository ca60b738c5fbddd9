package v4l2

import (
	"errors"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"vedette/capture"
)

// onBus makes the camera start only where its bus has room: a raw stream takes what its frames take, a compressed one an
// eighth of that. It writes down what was tried.
func (c *camera) onBus(bytesPerSecond float64) *[]string {
	var tried []string
	c.refuse = func(request uint32, _ int) error {
		if request != reqStreamOn {
			return nil
		}
		f := capture.Format{Pixel: c.current.pixel, Width: int(c.current.width), Height: int(c.current.height), Interval: c.interval}
		tried = append(tried, describe(f))
		need := 2 * float64(f.Width*f.Height) / c.interval.Seconds()
		if f.Pixel == capture.MJPEG {
			need /= 8
		}
		if need > bytesPerSecond {
			return unix.ENOSPC
		}
		return nil
	}
	return &tried
}

func TestLadder(t *testing.T) {
	sizes := []simFormat{
		{pixel: capture.YUYV, width: 640, height: 480},
		{pixel: capture.YUYV, width: 320, height: 240},
		{pixel: capture.YUYV, width: 160, height: 120},
		{pixel: capture.MJPEG, width: 640, height: 480},
		{pixel: capture.MJPEG, width: 320, height: 240},
	}
	both := []capture.PixelFormat{capture.YUYV, capture.MJPEG}
	for name, c := range map[string]struct {
		formats []capture.PixelFormat
		room    float64 // MB/s
		want    string  // what was tried, in order; the last one streams
	}{
		"room enough":        {both, 20, "yuyv 640x480 at 30/s"},
		"half the rate":      {both, 10, "yuyv 640x480 at 30/s, yuyv 640x480 at 15/s"},
		"compressed":         {both, 3, "yuyv 640x480 at 30/s, yuyv 640x480 at 15/s, yuyv 640x480 at 7.5/s, mjpeg 640x480 at 30/s"},
		"no jpeg wished for": {both[:1], 4.7, "yuyv 640x480 at 30/s, yuyv 640x480 at 15/s, yuyv 640x480 at 7.5/s"},
		"smaller": {
			both[:1], 2.4,
			"yuyv 640x480 at 30/s, yuyv 640x480 at 15/s, yuyv 640x480 at 7.5/s, yuyv 320x240 at 30/s, yuyv 320x240 at 15/s",
		},
	} {
		in(t, name, func(t *testing.T) {
			cam := newCamera(t, sizes...)
			tried := cam.onBus(c.room * 1e6)
			s, err := cam.source(capture.V4L2Config{Formats: c.formats, Size: capture.Size{Width: 640, Height: 480}, Rate: 30}).Open(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			if got := strings.Join(*tried, ", "); got != c.want {
				t.Errorf("tried %s", got)
			}
			said := s.(capture.Compromised).Compromise()
			if last := (*tried)[len(*tried)-1]; len(*tried) == 1 != (said == "") || said != "" && !strings.HasSuffix(said, last) {
				t.Errorf("says %q", said)
			}
			next(t, s).Release()
		})
	}
	in(t, "a camera without the jpeg that is wished for", func(t *testing.T) {
		cam := newCamera(t, sizes[:3]...)
		tried := cam.onBus(2.4e6)
		s, err := cam.source(capture.V4L2Config{Formats: both, Size: capture.Size{Width: 640, Height: 480}, Rate: 30}).Open(t.Context())
		if err != nil {
			t.Fatalf("%v, after %s", err, strings.Join(*tried, ", "))
		}
		defer s.Close()
		if got := (*tried)[len(*tried)-1]; got != "yuyv 320x240 at 15/s" {
			t.Errorf("it streams %s", got)
		}
	})
	in(t, "nothing fits", func(t *testing.T) {
		cam := newCamera(t, sizes...)
		tried := cam.onBus(1000)
		_, err := cam.source(capture.V4L2Config{Formats: both, Size: capture.Size{Width: 640, Height: 480}, Rate: 30}).Open(t.Context())
		if !errors.Is(err, ErrBandwidth) || capture.CauseOf(err) != capture.FailBandwidth || strings.Contains(err.Error(), "\n") {
			t.Errorf("error %v", err)
		}
		seen := map[string]bool{}
		for _, what := range *tried {
			if seen[what] {
				t.Errorf("%s was tried twice", what)
			}
			seen[what] = true
		}
		if len(*tried) < 8 || len(*tried) > 20 {
			t.Errorf("%d rungs: %q", len(*tried), *tried)
		}
		cam.checkClosed()
	})
	in(t, "the camera goes meanwhile", func(t *testing.T) {
		cam := newCamera(t, sizes...)
		cam.refuse = func(request uint32, call int) error {
			if request != reqStreamOn {
				return nil
			}
			if call == 2 {
				cam.gone = true
				return unix.ENODEV
			}
			return unix.ENOSPC
		}
		_, err := cam.source(vga).Open(t.Context())
		if !errors.Is(err, capture.ErrLost) {
			t.Errorf("error %v", err)
		}
		cam.checkClosed()
	})
	in(t, "a camera that knows one rate", func(t *testing.T) {
		cam := newCamera(t, simFormat{pixel: capture.YUYV, width: 640, height: 480})
		cam.noRates = true
		tried := cam.onBus(1000)
		_, err := cam.source(capture.V4L2Config{Formats: both, Size: capture.Size{Width: 640, Height: 480}}).Open(t.Context())
		if !errors.Is(err, ErrBandwidth) || len(*tried) != 1 {
			t.Errorf("error %v, tried %q", err, *tried)
		}
	})
}

// What becomes of a driver's answers, so that each trouble has its own count.
func TestCausesOfFailures(t *testing.T) {
	for name, c := range map[string]struct {
		request uint32
		call    int
		errno   error
		want    capture.FailureCause
	}{
		"gone":             {reqStreamOn, 1, unix.ENODEV, capture.FailLost},
		"busy":             {reqSetFormat, 1, unix.EBUSY, capture.FailBusy},
		"no buffers":       {reqBuffers, 1, unix.EINVAL, capture.FailBuffers},
		"buffer refused":   {reqQueue, 1, unix.EINVAL, capture.FailQueue},
		"does not start":   {reqStreamOn, 1, unix.EINVAL, capture.FailStart},
		"refused later":    {reqQueue, 5, unix.EINVAL, capture.FailQueue},
		"stopped":          {reqDequeue, 2, unix.EIO, capture.FailDriver},
		"gone later":       {reqDequeue, 2, unix.ENODEV, capture.FailLost},
		"cannot even tell": {reqQueryCap, 1, unix.EIO, capture.FailOther},
	} {
		in(t, name, func(t *testing.T) {
			cam := newCamera(t, yuyv())
			cam.refuse = func(request uint32, call int) error {
				if request == c.request && call == c.call {
					return c.errno
				}
				return nil
			}
			s, err := cam.source(vga).Open(t.Context())
			for deadline := time.Now().Add(time.Minute); err == nil && time.Now().Before(deadline); {
				var f *capture.Frame
				if f, err = s.Next(t.Context()); err == nil {
					f.Release()
				}
			}
			if s != nil {
				_ = s.Close()
			}
			if got := capture.CauseOf(err); got != c.want {
				t.Errorf("%q is %s, want %s", err, got, c.want)
			}
			cam.gone = errors.Is(c.errno, unix.ENODEV)
			cam.checkClosed()
		})
	}
	in(t, "nothing of what is asked for", func(t *testing.T) {
		cam := newCamera(t, simFormat{pixel: capture.FourCC("RG10"), width: 640, height: 480})
		_, err := cam.source(vga).Open(t.Context())
		if got := capture.CauseOf(err); got != capture.FailFormat {
			t.Errorf("%q is %s", err, got)
		}
	})
}
