package preprocess

import (
	"bytes"
	"encoding/binary"
	"errors"
	"image"
	"image/color"
	"image/jpeg"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"vedette/capture"
	"vedette/infer"
)

// readJPEG reads one of testdata/jpeg, all 64x48.
func readJPEG(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", "jpeg", name+".jpg"))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func jpegStream(width, height int) Stream {
	return Stream{Format: capture.Format{Pixel: capture.MJPEG, Width: width, Height: height}.Packed()}
}

// withoutTables leaves out the Huffman tables (DHT), as UVC cameras do.
func withoutTables(t testing.TB, b []byte) []byte {
	t.Helper()
	out, cut := slices.Clone(b[:2]), 0
	for i := 2; i+4 <= len(b); {
		if b[i] != 0xff {
			t.Fatalf("no marker at byte %d", i)
		}
		next := i + 2 + int(binary.BigEndian.Uint16(b[i+2:]))
		switch b[i+1] {
		case 0xda:
			if cut == 0 {
				t.Fatal("there were no Huffman tables")
			}
			return append(out, b[i:]...)
		case 0xc4:
			cut++
		default:
			out = append(out, b[i:next]...)
		}
		i = next
	}
	t.Fatal("no scan")
	return nil
}

func run(t *testing.T, spec infer.InputSpec, s Stream, src []byte) []float32 {
	t.Helper()
	out := make([]float32, 3*spec.Width*spec.Height)
	if err := mustNew(t, spec, s).Run(src, out); err != nil {
		t.Fatal(err)
	}
	return out
}

// original is the picture that testdata/jpegs.py draws.
func original() picture {
	p := newPicture(64, 48)
	for y := range 48 {
		for x := range 64 {
			fx, fy := float64(x), float64(y)
			p.pix[y*64+x] = [3]float64{60 + 2*fx, 40 + 3*fy, 128 + 60*math.Sin((fx+fy)/9)}
		}
	}
	return p
}

func TestEveryKindOfJPEG(t *testing.T) {
	want := original().tensor(plain(64, 48, infer.Stretch), 0, 0)
	for _, name := range []string{
		"444", "422", "420", "440", "411", "rgb", "restart", "optimised", "grey",
	} {
		got := run(t, plain(64, 48, infer.Stretch), jpegStream(64, 48), readJPEG(t, name))
		sum := 0.0
		for i := range got {
			w := want[i]
			if name == "grey" {
				n := i % (64 * 48)
				w = 0.299*want[n] + 0.587*want[n+64*48] + 0.114*want[n+2*64*48]
			}
			sum += math.Abs(float64(got[i]) - w)
		}
		if mean := sum / float64(len(got)); mean > 2.5 {
			t.Errorf("%s: differs by %.2f grey levels in the mean from what was drawn", name, mean)
		}
	}
}

func TestJPEGWithoutHuffmanTables(t *testing.T) {
	for _, name := range []string{"444", "422", "420", "440", "411", "grey", "restart"} {
		whole := readJPEG(t, name)
		spec := plain(64, 48, infer.Stretch)
		want := run(t, spec, jpegStream(64, 48), whole)
		got := run(t, spec, jpegStream(64, 48), withoutTables(t, whole))
		if !slices.Equal(got, want) {
			t.Errorf("%s: another picture without its Huffman tables", name)
		}
	}
}

// TestTablesDoNotOutliveTheirPicture: a picture without tables has the standard ones, whatever came before.
func TestTablesDoNotOutliveTheirPicture(t *testing.T) {
	spec := plain(64, 48, infer.Stretch)
	bare := withoutTables(t, readJPEG(t, "420"))
	want := run(t, spec, jpegStream(64, 48), bare)
	p, got := mustNew(t, spec, jpegStream(64, 48)), make([]float32, 3*64*48)
	optimised := readJPEG(t, "optimised")
	if err := p.Run(optimised[:len(optimised)-20], got); !errors.Is(err, ErrDamaged) {
		t.Fatalf("cut picture: %v", err)
	}
	for _, src := range [][]byte{optimised, bare} {
		if err := p.Run(src, got); err != nil {
			t.Fatal(err)
		}
	}
	if !slices.Equal(got, want) {
		t.Error("the picture depends on the one before it")
	}
}

func TestTruncatedJPEGIsNoPicture(t *testing.T) {
	for _, name := range []string{"444", "422", "420", "440", "411", "grey", "rgb", "restart", "optimised"} {
		whole := readJPEG(t, name)
		p := mustNew(t, plain(32, 32, infer.Letterbox), jpegStream(64, 48))
		dst := make([]float32, 3*32*32)
		dst[5] = 42
		for n := range whole {
			cut := whole[:n]
			if err := p.Run(cut, dst); !errors.Is(err, ErrDamaged) {
				t.Fatalf("%s: the first %d of %d bytes: %v, want ErrDamaged", name, n, len(whole), err)
			}
			// The same with an end, as some cameras put behind half a picture. Without part of the end a picture may have
			// every pixel.
			if n >= len(whole)-3 {
				continue
			}
			if err := p.Run(append(slices.Clip(cut), 0xff, 0xd9), dst); !errors.Is(err, ErrDamaged) {
				t.Fatalf("%s: the first %d of %d bytes, then an end: %v, want ErrDamaged", name, n, len(whole), err)
			}
		}
		if dst[5] != 42 || dst[6] != 0 {
			t.Errorf("%s: a damaged picture changed the tensor", name)
		}
		if err := p.Run(whole, dst); err != nil {
			t.Errorf("%s: whole, after damaged ones: %v", name, err)
		}
		if err := p.Run(append(slices.Clip(whole), make([]byte, 500)...), dst); err != nil {
			t.Errorf("%s: with zeros behind it, as drivers deliver: %v", name, err)
		}
	}
}

func TestUnfitJPEG(t *testing.T) {
	dst := make([]float32, 3*32*32)
	for name, s := range map[string]Stream{
		"wider": jpegStream(63, 48), "higher": jpegStream(64, 47), "turned": jpegStream(48, 64),
	} {
		if err := mustNew(t, plain(32, 32, infer.Stretch), s).Run(readJPEG(t, "420"), dst); !errors.Is(err, ErrDamaged) {
			t.Errorf("%s than the stream says: %v, want ErrDamaged", name, err)
		}
	}
	p := mustNew(t, plain(32, 32, infer.Stretch), jpegStream(64, 48))
	for name, src := range map[string][]byte{
		"CMYK": readJPEG(t, "cmyk"), "progressive": readJPEG(t, "progressive"), "arithmetic": readJPEG(t, "arithmetic"),
		"scans": readJPEG(t, "scans"), "nothing": nil, "zeros": make([]byte, 4096), "text": []byte("not a picture"),
	} {
		if err := p.Run(src, dst); !errors.Is(err, ErrDamaged) {
			t.Errorf("%s: %v, want ErrDamaged", name, err)
		}
	}
}

// encode makes a JPEG of a picture that changes slowly, by Go's encoder.
func encode(t testing.TB, width, height int) ([]byte, image.Image) {
	t.Helper()
	m := image.NewRGBA(image.Rect(0, 0, width, height))
	for y := range height {
		for x := range width {
			fx, fy := float64(x), float64(y)
			m.Set(x, y, color.RGBA{
				uint8(128 + 70*math.Sin(fx/50)), uint8(128 + 70*math.Cos(fy/40)), uint8(128 + 70*math.Sin((fx-fy)/60)), 255,
			})
		}
	}
	var b bytes.Buffer
	if err := jpeg.Encode(&b, m, &jpeg.Options{Quality: 92}); err != nil {
		t.Fatal(err)
	}
	return b.Bytes(), m
}

// TestSmallerJPEG: decoding at a fraction of the size moves nothing, whatever the size, region and rotation.
func TestSmallerJPEG(t *testing.T) {
	for _, c := range []struct {
		width, height, divisor int
		spec                   infer.InputSpec
		region                 [4]float64
		rotate                 int
	}{
		{640, 480, 1, plain(416, 416, infer.Letterbox), [4]float64{}, 0},
		{640, 480, 2, plain(240, 320, infer.Stretch), [4]float64{}, 90},
		{638, 479, 2, plain(200, 200, infer.Letterbox), [4]float64{0.1, 0.2, 0.9, 1}, 0},
		{641, 483, 4, plain(100, 100, infer.LetterboxTopLeft), [4]float64{}, 270},
		{645, 485, 8, plain(40, 40, infer.Stretch), [4]float64{0.05, 0.05, 0.97, 0.99}, 180},
	} {
		src, m := encode(t, c.width, c.height)
		s := jpegStream(c.width, c.height)
		s.Region, s.Turn.Rotate = c.region, c.rotate
		p := mustNew(t, c.spec, s)
		if p.decoder.divisor != c.divisor {
			t.Errorf("%dx%d for %dx%d: decoded at 1/%d, want 1/%d",
				c.width, c.height, c.spec.Width, c.spec.Height, p.decoder.divisor, c.divisor)
		}
		got := run(t, c.spec, s, src)

		// The same picture as a raw frame, which other tests hold against the reference.
		raw := capture.Format{Pixel: capture.RGB24, Width: c.width, Height: c.height}.Packed()
		pixels := make([]byte, 0, raw.FrameBytes())
		for y := range c.height {
			for x := range c.width {
				px := color.RGBAModel.Convert(m.At(x, y)).(color.RGBA)
				pixels = append(pixels, px.R, px.G, px.B)
			}
		}
		want := run(t, c.spec, Stream{Format: raw, Region: c.region, Turn: capture.Turn{Rotate: c.rotate}}, pixels)
		sum := 0.0
		for i := range got {
			sum += math.Abs(float64(got[i] - want[i]))
		}
		if mean := sum / float64(len(got)); mean > 1.2 {
			t.Errorf("%dx%d at 1/%d: differs from the raw picture by %.2f grey levels in the mean",
				c.width, c.height, c.divisor, mean)
		}
	}
}

// TestMaskedJPEG: nothing of a masked region reaches the tensor, and what is well outside is as it was.
func TestMaskedJPEG(t *testing.T) {
	src, _ := encode(t, 640, 480)
	for _, size := range []int{480, 160, 50} {
		for _, turn := range turns() {
			spec := plain(size, size, infer.Stretch)
			s := jpegStream(640, 480)
			s.Turn = turn
			plainly := run(t, spec, s, src)
			// The upright frame's right half, and a triangle at its top left.
			s.Masks = [][]capture.Point{{{0.5, 0}, {1, 0}, {1, 1}, {0.5, 1}}, {{0, 0}, {0.2, 0}, {0, 0.2}}}
			masked := run(t, spec, s, src)
			for i := range masked {
				x, y := (float64(i%size)+0.5)/float64(size), (float64(i/size%size)+0.5)/float64(size)
				edge := 3.0 / float64(size)
				switch {
				case x > 0.5+edge || x+y < 0.2-2*edge:
					if masked[i] != 0 {
						t.Fatalf("at %.3f, %.3f, turned by %+v: %v, want black", x, y, turn, masked[i])
					}
				case x < 0.5-2*edge && x+y > 0.2+3*edge:
					if masked[i] != plainly[i] {
						t.Fatalf("at %.3f, %.3f, turned by %+v: %v, without masks %v", x, y, turn, masked[i], plainly[i])
					}
				}
			}
		}
	}
}
