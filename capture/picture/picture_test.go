package picture

import (
	"bytes"
	"image"
	"image/color"
	"image/jpeg"
	"math"
	"testing"

	"vedette/capture"
	"vedette/capture/scene"
)

// shot gives a scene's first frame.
func shot(t testing.TB, pixel capture.PixelFormat, width, height int) (capture.Format, []byte) {
	t.Helper()
	s, err := scene.New(capture.SceneConfig{Size: capture.Size{Width: width, Height: height}, Format: pixel, Rate: 0})
	if err != nil {
		t.Fatal(err)
	}
	stream, err := s.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close()
	f, err := stream.Next(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return stream.Format(), bytes.Clone(f.Data)
}

func made(t testing.TB, frame []byte, o Options) image.Image {
	t.Helper()
	file, err := new(Encoder).Encode(frame, o)
	if err != nil {
		t.Fatal(err)
	}
	img, err := jpeg.Decode(bytes.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	return img
}

// difference is the mean over all pixels and channels, of 255.
func difference(a, b image.Image) float64 {
	var sum, n float64
	from := b.Bounds().Min
	for y := range a.Bounds().Dy() {
		for x := range a.Bounds().Dx() {
			r1, g1, b1, _ := a.At(x, y).RGBA()
			r2, g2, b2, _ := b.At(from.X+x, from.Y+y).RGBA()
			for _, d := range []float64{float64(r1) - float64(r2), float64(g1) - float64(g2), float64(b1) - float64(b2)} {
				sum += math.Abs(d) / 257
				n++
			}
		}
	}
	return sum / n
}

// TestEveryFormatLooksTheSame compares each format with RGB, which has neither a range nor chroma to get wrong. The scene's own JPEG
// files have been coded before.
func TestEveryFormatLooksTheSame(t *testing.T) {
	for _, width := range []int{0, 160, 104} {
		format, frame := shot(t, capture.RGB24, 160, 90)
		reference := made(t, frame, Options{Format: format, Width: width, Quality: 95})
		for _, pixel := range capture.PixelFormats() {
			if pixel == capture.Grey {
				continue
			}
			most := 2.0
			if width == 104 { // chroma of two pixels is not cut where they are
				most = 4
			}
			o := Options{Width: width, Quality: 95}
			if pixel == capture.MJPEG {
				o.Paint = func([]byte, int, int) error { return nil } // or it is passed on as it is
				most = 6
			}
			o.Format, frame = shot(t, pixel, 160, 90)
			got := made(t, frame, o)
			if got.Bounds() != reference.Bounds() {
				t.Fatalf("%s: %v, want %v", pixel, got.Bounds(), reference.Bounds())
			}
			if d := difference(got, reference); d > most {
				t.Errorf("%s at width %d differs by %.1f of 255", pixel, width, d)
			}
		}
	}
}

func TestGreyHasNoColour(t *testing.T) {
	format, frame := shot(t, capture.Grey, 64, 36)
	img := made(t, frame, Options{Format: format})
	for x := range 64 {
		r, g, b, _ := img.At(x, 18).RGBA()
		if max(r, g, b)-min(r, g, b) > 3*257 {
			t.Fatalf("pixel %d: %d %d %d", x, r>>8, g>>8, b>>8)
		}
	}
}

// TestTurns compares with pixels that are turned one by one: a clockwise quarter turn brings the left side to the top.
func TestTurns(t *testing.T) {
	const w, h = 16, 8
	frame := make([]byte, w*h)
	for y := range h {
		for x := range w {
			frame[y*w+x] = byte(16 + x*8 + y*8)
		}
	}
	format := capture.Format{Pixel: capture.Grey, Width: w, Height: h, Range: capture.Full}.Packed()
	for turn, where := range map[capture.Turn]func(x, y int) (int, int){
		{}:                             func(x, y int) (int, int) { return x, y },
		{Rotate: 90}:                   func(x, y int) (int, int) { return y, h - 1 - x },
		{Rotate: 180}:                  func(x, y int) (int, int) { return w - 1 - x, h - 1 - y },
		{Rotate: 270}:                  func(x, y int) (int, int) { return w - 1 - y, x },
		{Flip: capture.FlipHorizontal}: func(x, y int) (int, int) { return w - 1 - x, y },
		{Flip: capture.FlipVertical}:   func(x, y int) (int, int) { return x, h - 1 - y },
		{Rotate: 90, Flip: capture.FlipHorizontal}: func(x, y int) (int, int) { return y, x },
		{Rotate: 270, Flip: capture.FlipVertical}:  func(x, y int) (int, int) { return y, x },
		{Rotate: 180, Flip: capture.FlipVertical}:  func(x, y int) (int, int) { return w - 1 - x, y },
	} {
		img := made(t, frame, Options{Format: format, Turn: turn, Quality: 100})
		for y := range img.Bounds().Dy() {
			for x := range img.Bounds().Dx() {
				sx, sy := where(x, y)
				got := int(color.GrayModel.Convert(img.At(x, y)).(color.Gray).Y)
				if want := int(frame[sy*w+sx]); max(got-want, want-got) > 6 {
					t.Fatalf("by %+v: pixel %d,%d is %d, want %d", turn, x, y, got, want)
				}
			}
		}
	}
}

// The matrix from BT.709 to BT.601, derived anew from their luma coefficients.
func TestToBT601(t *testing.T) {
	type row = [3]float64
	encode := func(kr, kb float64, c row) row {
		y := kr*c[0] + (1-kr-kb)*c[1] + kb*c[2]
		return row{y, (c[2] - y) / (2 * (1 - kb)), (c[0] - y) / (2 * (1 - kr))}
	}
	for _, c := range []row{{200, 40, 40}, {40, 200, 40}, {40, 40, 200}, {128, 128, 128}, {220, 180, 30}} {
		from, want := encode(0.2126, 0.0722, c), encode(0.299, 0.114, c)
		memory := []byte(nil)
		p := newI420(&memory, 2, 2)
		fill(p.Y, byte(math.Round(from[0])))
		p.Cb[0], p.Cr[0] = byte(math.Round(from[1]+128)), byte(math.Round(from[2]+128))
		toBT601(p)
		for i, got := range []byte{p.Y[3], p.Cb[0], p.Cr[0]} {
			w := want[i]
			if i > 0 {
				w += 128
			}
			if math.Abs(float64(got)-w) > 2 {
				t.Errorf("%v: component %d is %d, want %.1f", c, i, got, w)
			}
		}
	}
}

func TestLimitedRangeIsExpanded(t *testing.T) {
	memory := []byte(nil)
	p := newI420(&memory, 4, 2)
	copy(p.Y, []byte{0, 16, 126, 235, 255})
	copy(p.Cb, []byte{16, 128})
	copy(p.Cr, []byte{240, 255})
	expand(p)
	for i, want := range []byte{0, 0, 128, 255, 255} {
		if p.Y[i] != want {
			t.Errorf("luma %d is %d, want %d", i, p.Y[i], want)
		}
	}
	if p.Cb[0] != 0 || p.Cb[1] != 128 || p.Cr[0] != 255 || p.Cr[1] != 255 {
		t.Errorf("chroma %v %v", p.Cb, p.Cr)
	}
}

// withoutTables takes the Huffman tables out, as USB cameras do.
func withoutTables(file []byte) []byte {
	out := bytes.Clone(file[:2])
	for at := 2; ; {
		end := at + 2 + int(file[at+2])<<8 + int(file[at+3])
		if file[at+1] == markerSOS {
			return append(out, file[at:]...)
		}
		if file[at+1] != markerDHT {
			out = append(out, file[at:end]...)
		}
		at = end
	}
}

func TestMJPEG(t *testing.T) {
	format, file := shot(t, capture.MJPEG, 320, 180)
	passed, err := new(Encoder).Encode(file, Options{Format: format, Width: 160})
	if err != nil || !bytes.Equal(passed, file) {
		t.Errorf("it is not passed on as it came: %v", err)
	}
	bare := withoutTables(file)
	if _, err := jpeg.Decode(bytes.NewReader(bare)); err == nil {
		t.Fatal("the test takes no tables out")
	}
	painted := false
	img := made(t, bare, Options{Format: format, Turn: capture.Turn{Rotate: 90}, Width: 90, Paint: func(i420 []byte, w, h int) error {
		painted = w == 180 && h == 320 && len(i420) == 180*320*3/2
		for i := range w * h / 2 {
			i420[i] = 0
		}
		for i := w * h; i < len(i420); i++ {
			i420[i] = 128
		}
		return nil
	}})
	if !painted || img.Bounds().Dx() != 90 || img.Bounds().Dy() != 160 {
		t.Fatalf("painted: %v, %v", painted, img.Bounds())
	}
	for y := range 78 {
		for x := range 90 {
			if got := color.GrayModel.Convert(img.At(x, y)).(color.Gray).Y; got > 12 {
				t.Fatalf("pixel %d,%d of what is hidden is %d", x, y, got)
			}
		}
	}
}

func TestWhatIsNoPictureIsAnError(t *testing.T) {
	format, file := shot(t, capture.MJPEG, 320, 180)
	hide := func([]byte, int, int) error { return nil }
	other := format
	other.Width = 640
	yuyv := capture.Format{Pixel: capture.YUYV, Width: 64, Height: 36}.Packed()
	for name, c := range map[string]struct {
		frame []byte
		o     Options
	}{
		"another size":  {file, Options{Format: other, Paint: hide}},
		"cut short":     {file[:len(file)/2], Options{Format: format, Paint: hide}},
		"nothing":       {nil, Options{Format: format, Paint: hide}},
		"too short":     {make([]byte, 100), Options{Format: yuyv}},
		"an odd turn":   {make([]byte, yuyv.SizeImage), Options{Format: yuyv, Turn: capture.Turn{Rotate: 45}}},
		"an odd flip":   {make([]byte, yuyv.SizeImage), Options{Format: yuyv, Turn: capture.Turn{Flip: "both"}}},
		"a bad painter": {file, Options{Format: format, Paint: func([]byte, int, int) error { return image.ErrFormat }}},
	} {
		if _, err := new(Encoder).Encode(c.frame, c.o); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
}

// FuzzMJPEG decodes what a camera may send.
func FuzzMJPEG(f *testing.F) {
	format, file := shot(f, capture.MJPEG, 64, 36)
	f.Add(file, 0)
	f.Add(withoutTables(file), 90)
	f.Add(file[:200], 180)
	f.Add([]byte{0xff, markerSOI, 0xff, 0xff, 0xff, markerSOS}, 270)
	f.Fuzz(func(t *testing.T, frame []byte, rotate int) {
		out, err := new(Encoder).Encode(frame, Options{Format: format, Turn: capture.Turn{Rotate: rotate, Flip: capture.FlipHorizontal}, Width: 32, Paint: func([]byte, int, int) error { return nil }})
		if err != nil {
			return
		}
		if _, err := jpeg.DecodeConfig(bytes.NewReader(out)); err != nil {
			t.Errorf("what comes out is no JPEG file: %v", err)
		}
	})
}

func BenchmarkEncode(b *testing.B) {
	for _, pixel := range []capture.PixelFormat{capture.YUYV, capture.NV12} {
		format, frame := shot(b, pixel, 1280, 720)
		for _, width := range []int{640, 1280} {
			b.Run(pixel.String()+"/"+capture.Size{Width: width, Height: width * 9 / 16}.String(), func(b *testing.B) {
				var e Encoder
				for b.Loop() {
					if _, err := e.Encode(frame, Options{Format: format, Width: width}); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

// TestACropIsAPartOfTheWhole compares each format and turn with the same part of the whole picture.
func TestACropIsAPartOfTheWhole(t *testing.T) {
	for _, pixel := range capture.PixelFormats() {
		format, frame := shot(t, pixel, 160, 90)
		for _, turn := range []capture.Turn{{}, {Rotate: 180}, {Rotate: 90, Flip: capture.FlipHorizontal}} {
			o := Options{Format: format, Turn: turn, Quality: 100, Coded: true}
			whole := made(t, frame, o)
			for asked, want := range map[image.Rectangle]image.Rectangle{
				image.Rect(21, 13, 60, 50):     image.Rect(20, 12, 60, 50),
				image.Rect(70, 60, 500, 500):   image.Rect(70, 60, whole.Bounds().Dx(), whole.Bounds().Dy()),
				image.Rect(-9, -9, 30, 31):     image.Rect(0, 0, 30, 32),
				image.Rect(900, 900, 910, 910): whole.Bounds(),
			} {
				o.Crop = &asked
				got := made(t, frame, o)
				if got.Bounds().Size() != want.Size() {
					t.Fatalf("%s by %v: %v of %v, want %v", pixel, turn, got.Bounds(), asked, want)
				}
				if d := difference(got, whole.(*image.YCbCr).SubImage(want)); d > 1.5 {
					t.Errorf("%s by %v: %v differs by %.1f of 255 from that part of the whole", pixel, turn, asked, d)
				}
			}
		}
	}
}

// TestAnOutlineIsDrawn looks at the colour along the edges of a box, in a picture that is cropped and scaled.
func TestAnOutlineIsDrawn(t *testing.T) {
	format, frame := shot(t, capture.Grey, 640, 360)
	crop, box := image.Rect(200, 100, 600, 300), image.Rect(300, 140, 500, 260)
	img := made(t, frame, Options{Format: format, Width: 200, Crop: &crop, Frame: &box})
	green := func(x, y int) bool {
		r, g, b, _ := img.At(x, y).RGBA()
		return g > r+80<<8 && g > b+80<<8
	}
	between := func(p image.Point, outer, inner image.Rectangle) bool { return p.In(outer) && !p.In(inner) }
	for x := 1; x < 199; x++ {
		for y := 1; y < 99; y++ {
			edge := between(image.Pt(x, y), image.Rect(50, 20, 150, 80), image.Rect(52, 22, 148, 78))
			near := between(image.Pt(x, y), image.Rect(44, 14, 156, 86), image.Rect(58, 28, 142, 72))
			if edge && !green(x, y) || !near && green(x, y) {
				t.Fatalf("pixel %d,%d: green %v, on the edge %v", x, y, green(x, y), edge)
			}
		}
	}
	o := Options{Format: format, Width: 200, Frame: &image.Rectangle{Max: image.Pt(3000, 3)}}
	made(t, frame, o) // beyond the picture, and thinner than its own edges
}
