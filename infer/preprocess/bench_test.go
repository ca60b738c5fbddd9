package preprocess

import (
	"bytes"
	"image/jpeg"
	"math/rand/v2"
	"testing"

	"vedette/capture"
	"vedette/infer"
)

func unitSpec(size int, layout infer.Layout, fit infer.Fit) infer.InputSpec {
	const s = 1.0 / 255
	return infer.InputSpec{
		Width: size, Height: size, Layout: layout, Fit: fit, Pad: 114, Scale: [3]float32{s, s, s},
	}
}

// BenchmarkRun is 1280x720 in every format; testdata/bench.py does the same with OpenCV.
func BenchmarkRun(b *testing.B) {
	for _, pixel := range capture.PixelFormats() {
		f := capture.Format{Pixel: pixel, Width: 1280, Height: 720}.Packed()
		src := make([]byte, f.SizeImage)
		for i := range src {
			src[i] = byte(rand.Uint32())
		}
		if pixel == capture.MJPEG {
			src, _ = encode(b, f.Width, f.Height)
		}
		for _, in := range []struct {
			name   string
			spec   infer.InputSpec
			rotate int
		}{
			{"416-letterbox-nchw", unitSpec(416, infer.NCHW, infer.Letterbox), 0},
			{"416-letterbox-nchw-turned", unitSpec(416, infer.NCHW, infer.Letterbox), 90},
			{"512-stretch-nchw", unitSpec(512, infer.NCHW, infer.Stretch), 0},
			{"512-stretch-nhwc", unitSpec(512, infer.NHWC, infer.Stretch), 0},
			{"640-letterbox-nchw", unitSpec(640, infer.NCHW, infer.Letterbox), 0},
		} {
			b.Run(pixel.String()+"/"+in.name, func(b *testing.B) {
				p := mustNew(b, in.spec, Stream{Format: f, Turn: capture.Turn{Rotate: in.rotate}})
				dst := make([]float32, 3*in.spec.Width*in.spec.Height)
				for b.Loop() {
					if err := p.Run(src, dst); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

// BenchmarkJPEG is one 1920x1080 picture through the whole of Run, and decoded only by Go's own decoder.
func BenchmarkJPEG(b *testing.B) {
	src, _ := encode(b, 1920, 1080)
	for _, in := range []struct {
		name string
		spec infer.InputSpec
	}{
		{"run-416", unitSpec(416, infer.NCHW, infer.Letterbox)},
		{"run-640", unitSpec(640, infer.NCHW, infer.Letterbox)},
		{"run-1280", unitSpec(1280, infer.NCHW, infer.Letterbox)},
	} {
		b.Run(in.name, func(b *testing.B) {
			p := mustNew(b, in.spec, jpegStream(1920, 1080))
			dst := make([]float32, 3*in.spec.Width*in.spec.Height)
			for b.Loop() {
				if err := p.Run(src, dst); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("image-jpeg", func(b *testing.B) {
		for b.Loop() {
			if _, err := jpeg.Decode(bytes.NewReader(src)); err != nil {
				b.Fatal(err)
			}
		}
	})
}
