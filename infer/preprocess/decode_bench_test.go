package preprocess

import (
	"bytes"
	"image/jpeg"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"vedette/capture"
	"vedette/capture/scene"
	"vedette/infer"
)

// scenePicture is what a camera would send of the demonstration's photographs.
func scenePicture(b *testing.B, size capture.Size) []byte {
	s, err := scene.New(capture.SceneConfig{Size: size, Format: capture.MJPEG})
	if err != nil {
		b.Fatal(err)
	}
	stream, err := s.Open(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	defer stream.Close()
	frame, err := stream.Next(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	defer frame.Release()
	return bytes.Clone(frame.Data)
}

// BenchmarkDecode is one 1920x1080 picture, decoded to RGB at its full size by us, by Go's own decoder, which stops at the
// planes, and by OpenCV, on one thread each; and by us at half the size, which is what a model of 416 to 960 pixels gets.
func BenchmarkDecode(b *testing.B) {
	src := scenePicture(b, capture.Size{Width: 1920, Height: 1080})
	for _, in := range []struct {
		name          string
		width, height int
	}{{"ours", 1920, 1080}, {"ours-half", 960, 540}} {
		b.Run(in.name, func(b *testing.B) {
			stream := jpegStream(1920, 1080)
			g, err := newGeometry(infer.InputSpec{Width: in.width, Height: in.height, Fit: infer.Stretch}, stream)
			if err != nil {
				b.Fatal(err)
			}
			d, err := newDecoder(stream, g)
			if err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				if _, err := d.decode(src); err != nil {
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
	for name, flag := range map[string]string{"opencv": "IMREAD_COLOR", "opencv-half": "IMREAD_REDUCED_COLOR_2"} {
		b.Run(name, func(b *testing.B) {
			b.ReportMetric(openCVDecode(b, src, flag), "ns/op")
		})
	}
}

// openCVDecode is how many nanoseconds OpenCV takes, the median of 40.
func openCVDecode(b *testing.B, src []byte, flag string) float64 {
	const program = `
import sys, time, cv2, numpy
cv2.setNumThreads(1)
data, taken = numpy.fromfile(sys.argv[1], numpy.uint8), []
for i in range(45):
    start = time.perf_counter_ns()
    cv2.imdecode(data, getattr(cv2, sys.argv[2]))
    taken.append(time.perf_counter_ns() - start)
print(numpy.median(taken[5:]))`
	file := filepath.Join(b.TempDir(), "picture.jpg")
	if err := os.WriteFile(file, src, 0o600); err != nil {
		b.Fatal(err)
	}
	out, err := exec.Command("/usr/bin/python3", "-c", program, file, flag).Output()
	if err != nil {
		b.Skipf("skipped: there is no OpenCV here to compare with (python3-opencv): %v", err)
	}
	ns, err := strconv.ParseFloat(strings.TrimSpace(string(out)), 64)
	if err != nil {
		b.Fatal(err)
	}
	return ns
}
