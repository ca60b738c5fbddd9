package capture_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"vedette/capture"
)

func TestPixelFormatNames(t *testing.T) {
	want := []string{"yuyv", "uyvy", "nv12", "nv21", "i420", "yv12", "grey", "rgb24", "bgr24", "mjpeg"}
	var got []string
	for _, p := range capture.PixelFormats() {
		got = append(got, p.String())
		parsed, err := capture.ParsePixelFormat(p.String())
		if err != nil || parsed != p {
			t.Errorf("%s is read as %s, %v", p, parsed, err)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("formats are %q", got)
	}
	for _, name := range []string{"", "YUYV", "h264", "RG10"} {
		if _, err := capture.ParsePixelFormat(name); err == nil || !strings.Contains(err.Error(), "use one of yuyv, uyvy") {
			t.Errorf("%q: error %v", name, err)
		}
	}
}

// The codes are those of linux/videodev2.h.
func TestFourCC(t *testing.T) {
	for code, want := range map[string]capture.PixelFormat{
		"YUYV": capture.YUYV, "UYVY": capture.UYVY, "NV12": capture.NV12, "NV21": capture.NV21, "YU12": capture.I420,
		"YV12": capture.YV12, "GREY": capture.Grey, "RGB3": capture.RGB24, "BGR3": capture.BGR24, "MJPG": capture.MJPEG,
		"": 0, "YUY": 0, "YUYVV": 0,
	} {
		if got := capture.FourCC(code); got != want {
			t.Errorf("%q is %#x, not %#x", code, uint32(got), uint32(want))
		}
	}
	if capture.YUYV != 0x56595559 {
		t.Errorf("yuyv is %#x", uint32(capture.YUYV))
	}
	for p, want := range map[capture.PixelFormat]string{
		capture.FourCC("RG10"): "RG10", capture.FourCC("Y16 "): "Y16 ", 0: "0x00000000", 0xff303147: "0xff303147",
	} {
		if p.String() != want {
			t.Errorf("%#x is written %q, not %q", uint32(p), p, want)
		}
	}
}

func TestPackedFormats(t *testing.T) {
	for p, want := range map[capture.PixelFormat][2]int{ // stride and bytes of 6x4 pixels
		capture.YUYV: {12, 48}, capture.UYVY: {12, 48}, capture.NV12: {6, 36}, capture.NV21: {6, 36}, capture.I420: {6, 36},
		capture.YV12: {6, 36}, capture.Grey: {6, 24}, capture.RGB24: {18, 72}, capture.BGR24: {18, 72}, capture.MJPEG: {0, 48},
	} {
		f := capture.Format{Pixel: p, Width: 6, Height: 4}.Packed()
		if f.Stride != want[0] || f.SizeImage != want[1] {
			t.Errorf("%s: stride %d, size %d, not %v", p, f.Stride, f.SizeImage, want)
		}
		if err := f.Validate(); err != nil {
			t.Errorf("%s: %v", p, err)
		}
		if whole := f.FrameBytes(); p != capture.MJPEG && whole != f.SizeImage || p == capture.MJPEG && whole != 0 {
			t.Errorf("%s: a frame has %d bytes", p, whole)
		}
	}
	padded := capture.Format{Pixel: capture.NV12, Width: 6, Height: 4, Stride: 64, SizeImage: 4096}
	if err := padded.Validate(); err != nil || padded.FrameBytes() != 64*4+64*2 {
		t.Errorf("padded lines: %d bytes, %v", padded.FrameBytes(), err)
	}
}

func TestFormatsThatNoFrameCanHave(t *testing.T) {
	yuyv := capture.Format{Pixel: capture.YUYV, Width: 1280, Height: 720}.Packed()
	nv12 := capture.Format{Pixel: capture.NV12, Width: 1280, Height: 720}.Packed()
	mjpeg := capture.Format{Pixel: capture.MJPEG, Width: 1280, Height: 720}.Packed()
	with := func(f capture.Format, change func(*capture.Format)) capture.Format { change(&f); return f }
	for want, f := range map[string]capture.Format{
		"unknown pixel format":              with(yuyv, func(f *capture.Format) { f.Pixel = capture.FourCC("RG10") }),
		"frame size 0x720":                  with(yuyv, func(f *capture.Format) { f.Width = 0 }),
		"frame size 1280x-1":                with(yuyv, func(f *capture.Format) { f.Height = -1 }),
		"frame size 16385x720":              with(mjpeg, func(f *capture.Format) { f.Width = 16385 }),
		"frame size 1280x16385":             with(mjpeg, func(f *capture.Format) { f.Height = 16385 }),
		"image size of 0 bytes":             with(mjpeg, func(f *capture.Format) { f.SizeImage = 0 }),
		"image size of 268435457 bytes":     with(mjpeg, func(f *capture.Format) { f.SizeImage = 256<<20 + 1 }),
		"needs an even width, not 1279":     with(yuyv, func(f *capture.Format) { f.Width = 1279 }),
		"width and height, not 1280x719":    with(nv12, func(f *capture.Format) { f.Height = 719 }),
		"width and height, not 1279x720":    with(nv12, func(f *capture.Format) { f.Width = 1279 }),
		"needs an even stride, not 1281":    with(nv12, func(f *capture.Format) { f.Stride = 1281 }),
		"stride of 2559 bytes does not fit": with(yuyv, func(f *capture.Format) { f.Stride = 2559 }),
		"stride of -2 bytes does not fit":   with(yuyv, func(f *capture.Format) { f.Stride = -2 }),
		"stride of 268435458 bytes":         with(yuyv, func(f *capture.Format) { f.Stride = 256<<20 + 2 }),
		"too small for 1280x720 yuyv":       with(yuyv, func(f *capture.Format) { f.SizeImage-- }),
		"too small for 1280x720 nv12":       with(nv12, func(f *capture.Format) { f.Stride += 2 }),
	} {
		if err := f.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: error %v does not say %q", f, err, want)
		}
	}
}

// Validate is what stands between a source's word and an allocation.
func FuzzFormatValidate(f *testing.F) {
	f.Add(uint32(capture.NV12), 1280, 720, 1280, 1382400)
	f.Add(uint32(capture.YUYV), 1, 1<<62, 1<<62, 1<<62)
	f.Fuzz(func(t *testing.T, pixel uint32, width, height, stride, size int) {
		format := capture.Format{Pixel: capture.PixelFormat(pixel), Width: width, Height: height, Stride: stride, SizeImage: size}
		if format.Validate() != nil {
			return
		}
		if n := format.FrameBytes(); n < 0 || n > size || size > capture.MaxSizeImage {
			t.Errorf("%+v is valid with %d bytes a frame", format, n)
		}
	})
}

func TestFormatTravelsAsJSON(t *testing.T) {
	want := capture.Format{Pixel: capture.YUYV, Width: 640, Height: 360, Matrix: capture.BT709, Range: capture.Full, Interval: 40 * time.Millisecond}.Packed()
	data, err := json.Marshal(want)
	if err != nil || !strings.Contains(string(data), `"pixel":"yuyv"`) {
		t.Fatalf("%s, %v", data, err)
	}
	var got capture.Format
	if err := json.Unmarshal(data, &got); err != nil || got != want {
		t.Errorf("%+v came back as %+v, %v", want, got, err)
	}
	if err := json.Unmarshal([]byte(`{"pixel":"h264"}`), &got); err == nil {
		t.Error("h264 was accepted")
	}
}

func TestSizeText(t *testing.T) {
	for text, want := range map[string]capture.Size{"1280x720": {1280, 720}, "1x16384": {1, 16384}, "": {}} {
		var s capture.Size
		if err := s.UnmarshalText([]byte(text)); err != nil || s != want {
			t.Errorf("%q is read as %v, %v", text, s, err)
		}
		if back, err := s.MarshalText(); err != nil || string(back) != text {
			t.Errorf("%v is written as %q, %v", s, back, err)
		}
	}
	for _, text := range []string{"1280", "1280x", "x720", "0x720", "-1x720", "1280x720x3", "16385x1", "1280 x 720", "1e3x720"} {
		var s capture.Size
		if err := s.UnmarshalText([]byte(text)); err == nil || !strings.Contains(err.Error(), "not of the form 1280x720") {
			t.Errorf("%q is read as %v, %v", text, s, err)
		}
	}
}

func TestFrameIsReleasedOnce(t *testing.T) {
	n := 0
	f := capture.NewFrame([]byte{1}, 7, time.Second, time.Time{}, func() { n++ })
	f.Release()
	f.Release()
	if n != 1 || f.Data != nil {
		t.Errorf("released %d times, data %v", n, f.Data)
	}
	capture.NewFrame(nil, 0, 0, time.Time{}, nil).Release()
}
