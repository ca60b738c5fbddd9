package v4l2

import (
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"vedette/capture"
)

func hd(f simFormat) simFormat { f.width, f.height = 1280, 720; return f }

func slow(f simFormat) simFormat { f.fastest = 200 * time.Millisecond; return f }

func TestNegotiation(t *testing.T) {
	size := capture.Size{Width: 1280, Height: 720}
	type formats = []capture.PixelFormat
	for name, c := range map[string]struct {
		has   []simFormat
		wish  formats
		want  capture.PixelFormat
		width int
	}{
		"the first that it has":               {[]simFormat{hd(yuyv()), hd(mjpeg())}, formats{capture.MJPEG, capture.YUYV}, capture.MJPEG, 1280},
		"order is the wish's":                 {[]simFormat{hd(yuyv()), hd(mjpeg())}, formats{capture.YUYV, capture.MJPEG}, capture.YUYV, 1280},
		"what it lacks is passed over":        {[]simFormat{hd(yuyv())}, formats{capture.NV12, capture.MJPEG, capture.YUYV}, capture.YUYV, 1280},
		"rate comes before order":             {[]simFormat{slow(hd(yuyv())), hd(mjpeg())}, formats{capture.YUYV, capture.MJPEG}, capture.MJPEG, 1280},
		"size comes before rate":              {[]simFormat{slow(hd(yuyv())), mjpeg()}, formats{capture.MJPEG, capture.YUYV}, capture.YUYV, 1280},
		"the nearest size, if none has it":    {[]simFormat{yuyv(), mjpeg()}, formats{capture.MJPEG, capture.YUYV}, capture.MJPEG, 640},
		"order, if none is fast enough":       {[]simFormat{slow(hd(yuyv())), slow(hd(mjpeg()))}, formats{capture.MJPEG, capture.YUYV}, capture.MJPEG, 1280},
		"raw sensor data beside what is read": {[]simFormat{hd(simFormat{pixel: capture.FourCC("RG10")}), hd(yuyv())}, formats{capture.MJPEG, capture.YUYV}, capture.YUYV, 1280},
	} {
		for kind, change := range map[string]func(*camera){
			"":             func(*camera) {},
			"multi-planar": func(c *camera) { c.asMulti() },
			"picky":        func(c *camera) { c.picky = true },
		} {
			in(t, name+" "+kind, func(t *testing.T) {
				cam := newCamera(t, c.has...)
				change(cam)
				s, err := cam.source(capture.V4L2Config{Formats: c.wish, Size: size, Rate: 30}).Open(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				defer s.Close()
				if f := s.Format(); f.Pixel != c.want || f.Width != c.width {
					t.Errorf("%+v", f)
				}
				if cam.current.pixel != c.want || int(cam.current.width) != c.width {
					t.Errorf("the driver is set to %s, %d wide", cam.current.pixel, cam.current.width)
				}
			})
		}
	}
}

// Every format that Vedette reads is taken with the driver's own stride and size.
func TestEveryFormatStreams(t *testing.T) {
	for _, pixel := range capture.PixelFormats() {
		for _, multi := range []bool{false, true} {
			in(t, pixel.String(), func(t *testing.T) {
				c := newCamera(t, simFormat{pixel: pixel, width: 322, height: 240})
				if multi {
					c.asMulti()
				}
				s, err := c.source(capture.V4L2Config{Formats: []capture.PixelFormat{pixel}, Size: capture.Size{Width: 322, Height: 240}}).
					Open(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				defer s.Close()
				f := s.Format()
				if f.Pixel == capture.MJPEG && f.Stride != 0 || f.Pixel != capture.MJPEG && f.Stride%128 != 0 ||
					f.SizeImage != int(c.current.sizeImage) || f.Interval != c.interval {
					t.Errorf("%+v", f)
				}
				frame := next(t, s)
				if n := f.FrameBytes(); n > 0 && len(frame.Data) != n {
					t.Errorf("a frame has %d bytes, not %d", len(frame.Data), n)
				}
				frame.Release()
			})
		}
	}
}

func TestNegotiationFails(t *testing.T) {
	raw := func(code string) simFormat { return hd(simFormat{pixel: capture.FourCC(code)}) }
	for name, c := range map[string]struct {
		camera func(*camera)
		has    []simFormat
		want   string
	}{
		"none": {
			func(*camera) {},
			[]simFormat{raw("H264")},
			"/dev/video0: the camera has none of the formats yuyv, mjpeg, but H264: name one that it has in formats",
		},
		"none, picky": {
			func(c *camera) { c.picky = true },
			[]simFormat{raw("H264")},
			"/dev/video0: the camera has none of the formats yuyv, mjpeg: name one that it has in formats",
		},
		"raw sensor": {
			func(*camera) {},
			[]simFormat{raw("RG10"), raw("pRAA")},
			"raw Bayer frames (RG10), which need an image processor: use a command source instead of v4l2, " +
				"on a Jetson with gst-launch-1.0 and nvarguscamerasrc",
		},
		"planes apart": {
			func(c *camera) { c.asMulti().spread = true },
			[]simFormat{yuyv()},
			"spreads yuyv over 2 buffers (multi-planar)",
		},
		"fields apart": {
			func(*camera) {},
			[]simFormat{{pixel: capture.YUYV, width: 640, height: 360, field: 7}},
			"fields of a picture one by one (v4l2_field 7)",
		},
		"no size": {
			func(*camera) {},
			[]simFormat{{pixel: capture.YUYV, stride: 2, sizeImage: 2}},
			"the driver offers what cannot be read: frame size 0x0",
		},
		"huge": {
			func(*camera) {},
			[]simFormat{{pixel: capture.YUYV, width: 640, height: 360, stride: 1 << 31, sizeImage: 1 << 31}},
			"the driver offers what cannot be read: image size",
		},
		"stride too short": {
			func(*camera) {},
			[]simFormat{{pixel: capture.YUYV, width: 640, height: 360, stride: 1279}},
			"the driver offers what cannot be read: stride of 1279",
		},
		"image too small": {
			func(*camera) {},
			[]simFormat{{pixel: capture.YUYV, width: 640, height: 360, sizeImage: 4096}},
			"the driver offers what cannot be read: image size of 4096 bytes is too small",
		},
		"no camera":    {func(c *camera) { c.caps = 0x04800000 }, []simFormat{yuyv()}, "it does not capture video"},
		"no streaming": {func(c *camera) { c.caps = capVideoCapture }, []simFormat{yuyv()}, "cannot stream into buffers"},
	} {
		in(t, name, func(t *testing.T) {
			cam := newCamera(t, c.has...)
			c.camera(cam)
			_, err := cam.source(vga).Open(t.Context())
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v", err)
			}
			cam.checkClosed()
		})
	}
	in(t, "the catalogue knows what it has", func(t *testing.T) {
		source := newCamera(t, raw("H264")).source(vga)
		book := &fakeCatalogue{offers: []PixelOffer{{Pixel: capture.FourCC("HEVC")}, {Pixel: capture.NV12}}}
		source.host.openCatalogue = func(string) (catalogue, error) { return book, nil }
		_, err := source.Open(t.Context())
		if err == nil || !strings.Contains(err.Error(), "but HEVC, nv12: name one") || !book.closed {
			t.Errorf("error %v, closed %t", err, book.closed)
		}
	})
}

func TestRates(t *testing.T) {
	for name, c := range map[string]struct {
		rate    float64
		fastest time.Duration
		noRates bool
		want    time.Duration
	}{
		"granted":           {25, 0, false, 40 * time.Millisecond},
		"a fraction":        {7.5, 0, false, 133333 * time.Microsecond},
		"as fast as it can": {30, 100 * time.Millisecond, false, 100 * time.Millisecond},
		"the driver's own":  {0, 0, false, 40 * time.Millisecond},
		"unknown":           {30, 0, true, 0},
	} {
		in(t, name, func(t *testing.T) {
			f := yuyv()
			f.fastest = c.fastest
			cam := newCamera(t, f)
			cam.noRates = c.noRates
			cfg := vga
			cfg.Rate = c.rate
			s, err := cam.source(cfg).Open(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			if got := s.Format().Interval; got != c.want {
				t.Errorf("a frame each %v, not each %v", got, c.want)
			}
		})
	}
}

// What the driver says beats the defaults; with a mute driver the defaults of the header apply (see kernel_test.go).
func TestColourOfStreams(t *testing.T) {
	for name, c := range map[string]struct {
		format simFormat
		matrix capture.Matrix
		values capture.Range
	}{
		"webcam": {simFormat{pixel: capture.YUYV, colorspace: 8}, capture.BT601, capture.Limited},
		"hdtv":   {simFormat{pixel: capture.NV12, colorspace: 3}, capture.BT709, capture.Limited},
		"said":   {simFormat{pixel: capture.NV12, colorspace: 8, encoding: 2, quantization: 1}, capture.BT709, capture.Full},
		"limits": {simFormat{pixel: capture.BGR24, colorspace: 7, encoding: 1, quantization: 2}, capture.BT601, capture.Limited},
		"jpeg":   {simFormat{pixel: capture.MJPEG, colorspace: 3, encoding: 2, quantization: 2}, capture.BT601, capture.Full},
		"rgb":    {simFormat{pixel: capture.RGB24, colorspace: 8}, capture.BT601, capture.Full},
	} {
		for _, multi := range []bool{false, true} {
			in(t, name, func(t *testing.T) {
				c.format.width, c.format.height = 320, 240
				cam := newCamera(t, c.format)
				if multi {
					cam.asMulti()
				}
				s, err := cam.source(capture.V4L2Config{Formats: []capture.PixelFormat{c.format.pixel}}).Open(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				defer s.Close()
				if f := s.Format(); f.Matrix != c.matrix || f.Range != c.values {
					t.Errorf("matrix %d, range %d", f.Matrix, f.Range)
				}
			})
		}
	}
}

func TestControls(t *testing.T) {
	controls := []Control{
		{ID: 1, Name: "brightness", Kind: ControlInteger, Min: -64, Max: 64},
		{ID: 2, Name: "exposure_time_absolute", Kind: ControlInteger, Min: 3, Max: 2047},
		{ID: 3, Name: "power_line_frequency", Kind: ControlMenu, Min: 0, Max: 2},
		{ID: 4, Name: "zoom_lock", Kind: ControlBoolean, Min: 0, Max: 1},
	}
	for name, c := range map[string]struct {
		set    map[string]int64
		want   string
		called []uint32
	}{
		"set, what unlocks first": {
			map[string]int64{"brightness": -64, "power_line_frequency": 2, "exposure_time_absolute": 3, "zoom_lock": 1},
			"",
			[]uint32{3, 4, 1, 2},
		},
		"unknown": {
			map[string]int64{"brightness": 1, "gain": 1},
			"the camera has no control gain, but brightness, exposure_time_absolute, power_line_frequency, zoom_lock", nil,
		},
		"too much":   {map[string]int64{"brightness": 65}, "control brightness: 65 is outside -64 to 64", nil},
		"far beyond": {map[string]int64{"brightness": 1 << 32}, "control brightness: 4294967296 is outside -64 to 64", nil},
		"refused":    {map[string]int64{"zoom_lock": 0}, "cannot set control zoom_lock to 0: permission denied", []uint32{4}},
	} {
		in(t, name, func(t *testing.T) {
			cam := newCamera(t, yuyv())
			cfg := vga
			cfg.Controls = c.set
			source := cam.source(cfg)
			book := &fakeCatalogue{known: controls}
			source.host.openCatalogue = func(string) (catalogue, error) { return book, nil }
			s, err := source.Open(t.Context())
			if err == nil {
				s.Close()
			}
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("error %v", err)
			}
			if len(book.called) != len(c.called) {
				t.Fatalf("set %v", book.called)
			}
			for i, call := range book.called {
				if call.id != c.called[i] || int64(call.value) != c.set[controls[call.id-1].Name] {
					t.Errorf("set %v", book.called)
				}
			}
			if !book.closed {
				t.Error("the catalogue was left open")
			}
			cam.checkClosed()
		})
	}
}

// fakeCatalogue refuses the value 0 for its last control, as if that were locked.
type fakeCatalogue struct {
	offers []PixelOffer
	known  []Control
	called []setting
	closed bool
}

type setting struct {
	id    uint32
	value int32
}

func (f *fakeCatalogue) formats() []PixelOffer { return f.offers }
func (f *fakeCatalogue) controls() []Control   { return f.known }
func (f *fakeCatalogue) close() error          { f.closed = true; return nil }

func (f *fakeCatalogue) setControl(id uint32, value int32) error {
	f.called = append(f.called, setting{id, value})
	if value == 0 {
		return unix.EACCES
	}
	return nil
}

func TestControlNames(t *testing.T) {
	for name, want := range map[string]string{
		"Brightness": "brightness", "White Balance, Automatic": "white_balance_automatic",
		"Exposure Time, Absolute": "exposure_time_absolute", "  LED1 Mode ": "led1_mode", "": "",
	} {
		if got := controlName(name); got != want {
			t.Errorf("%q is %q, not %q", name, got, want)
		}
	}
}
