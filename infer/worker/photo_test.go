package worker

import (
	"bytes"
	"image"
	"image/color"
	"image/jpeg"
	"os"
	"testing"

	"vedette/capture"
	"vedette/infer"
	"vedette/infer/ring"
)

// photo is OpenCV's sample of a footballer, in which the default model's reference run sees a ball and a person.
type photo struct {
	jpeg    []byte
	picture image.Image
}

func photograph(t testing.TB) photo {
	t.Helper()
	const path = "/usr/share/doc/opencv-doc/examples/data/messi5.jpg"
	data, err := os.ReadFile(path)
	if err != nil {
		t.Skipf("there is no photograph (Debian: opencv-doc): %v", err)
	}
	picture, err := jpeg.Decode(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	return photo{data, picture}
}

func (p photo) format() capture.Format {
	size := p.picture.Bounds().Size()
	return capture.Format{Pixel: capture.YUYV, Width: size.X, Height: size.Y, Range: capture.Full}.Packed()
}

func (p photo) jpegFormat() capture.Format {
	f := p.format()
	f.Pixel = capture.MJPEG
	return f.Packed()
}

func (p photo) yuyv() []byte {
	f := p.format()
	data := make([]byte, 0, f.SizeImage)
	at := func(x, y int) color.YCbCr { return color.YCbCrModel.Convert(p.picture.At(x, y)).(color.YCbCr) }
	for y := range f.Height {
		for x := 0; x < f.Width; x += 2 {
			a, b := at(x, y), at(x+1, y)
			data = append(data, a.Y, uint8((int(a.Cb)+int(b.Cb))/2), b.Y, uint8((int(a.Cr)+int(b.Cr))/2))
		}
	}
	return data
}

// ring holds data in its first slot.
func (p photo) ring(t testing.TB, data []byte) *ring.Ring {
	t.Helper()
	r, err := ring.New("test", 2, len(data))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	slot, _ := r.Acquire()
	copy(slot.Bytes(), data)
	slot.Release()
	return r
}

// check holds detections to the reference run's, which saw the picture resized by OpenCV.
func (p photo) check(t testing.TB, got []infer.Detection) {
	t.Helper()
	want := []infer.Detection{
		{Class: 32, Score: 0.682, Box: infer.Box{X1: 314.538 / 512, Y1: 429.464 / 512, X2: 362.207 / 512, Y2: 504.640 / 512}},
		{Class: 0, Score: 0.495, Box: infer.Box{X1: 80.068 / 512, Y1: 92.501 / 512, X2: 424.187 / 512, Y2: 507.984 / 512}},
	}
	if len(got) < len(want) {
		t.Errorf("detections %+v: want %+v", got, want)
		return
	}
	for i, w := range want {
		if d := got[i]; d.Class != w.Class || d.Score < w.Score-0.05 || d.Score > w.Score+0.05 || d.Box.IoU(w.Box) < 0.9 {
			t.Errorf("detection %d is %+v (IoU %.3f): want about %+v", i, d, d.Box.IoU(w.Box), w)
		}
	}
}
