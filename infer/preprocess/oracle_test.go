package preprocess

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"vedette/capture"
	"vedette/infer"
)

const photographs = "/usr/share/doc/opencv-doc/examples/data"

// oracleCase is one question to testdata/opencv.py.
type oracleCase struct {
	Photograph string `json:"photograph"`
	Pixel      string `json:"pixel"`
	Width      int    `json:"width"`
	Height     int    `json:"height"`
	Rotate     int    `json:"rotate"`
	Region     [4]int `json:"region"` // pixels of the upright frame
	Size       int    `json:"size"`   // of the input, square
	Target     [4]int `json:"target"` // pixels of the input
	Divisor    int    `json:"divisor"`
	Frame      string `json:"frame"`
	Answer     string `json:"answer"`
	fit        infer.Fit
}

func (c oracleCase) name() string {
	return fmt.Sprintf("%s/%s-%dx%d-rotate%d-%v-to-%d", filepath.Base(c.Photograph), c.Pixel, c.Width, c.Height,
		c.Rotate, c.Region, c.Size)
}

// oracleCases has the targets worked out by hand.
func oracleCases() []oracleCase {
	var cases []oracleCase
	for _, photograph := range []string{"messi5.jpg", "baboon.jpg", "home.jpg"} {
		for _, pixel := range capture.PixelFormats() {
			whole, upright := [4]int{0, 0, 1280, 720}, [4]int{0, 0, 720, 1280}
			for _, c := range []oracleCase{
				{Size: 416, Region: whole, Target: [4]int{0, 91, 416, 325}, Divisor: 2, fit: infer.Letterbox},
				{Size: 512, Region: whole, Target: [4]int{0, 0, 512, 512}, Divisor: 1, fit: infer.Stretch},
				{Size: 640, Region: whole, Target: [4]int{0, 0, 640, 360}, Divisor: 2, fit: infer.LetterboxTopLeft},
				{Size: 416, Region: upright, Target: [4]int{91, 0, 325, 416}, Divisor: 2, Rotate: 90, fit: infer.Letterbox},
				{
					Size: 320, Region: [4]int{320, 160, 960, 480}, Target: [4]int{0, 80, 320, 240}, Divisor: 2, Rotate: 180,
					fit: infer.Letterbox,
				},
				{
					Size: 300, Region: [4]int{120, 320, 600, 800}, Target: [4]int{0, 0, 300, 300}, Divisor: 1, Rotate: 270,
					fit: infer.Stretch,
				},
			} {
				c.Photograph, c.Pixel, c.Width, c.Height = filepath.Join(photographs, photograph), pixel.String(), 1280, 720
				if pixel != capture.MJPEG {
					c.Divisor = 1
				}
				cases = append(cases, c)
			}
		}
	}
	return cases
}

func TestAgreesWithOpenCV(t *testing.T) {
	const python = "/usr/bin/python3"
	if err := exec.Command(python, "-c", "import cv2").Run(); err != nil {
		t.Skip("skipped: there is no OpenCV here to compare with (python3-opencv)")
	}
	cases := oracleCases()
	if _, err := os.Stat(cases[0].Photograph); err != nil {
		t.Skip("skipped: there are no photographs here to compare with (opencv-doc)")
	}
	dir := t.TempDir()
	for i := range cases {
		cases[i].Frame = filepath.Join(dir, fmt.Sprintf("%d.frame", i))
		cases[i].Answer = filepath.Join(dir, fmt.Sprintf("%d.rgb", i))
	}
	question, err := json.Marshal(cases)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(python, "testdata/opencv.py")
	cmd.Stdin = bytes.NewReader(question)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}

	const limit = 0.5 // OpenCV rounds to whole grey levels, twice
	worst := 0.0
	for _, c := range cases {
		t.Run(c.name(), func(t *testing.T) {
			mean := compareWithAnswer(t, c)
			worst = max(worst, mean)
			if !(mean <= limit) {
				t.Errorf("differs from OpenCV by %.3f grey levels in the mean, want at most %.1f", mean, limit)
			}
		})
	}
	t.Logf("mean absolute difference from OpenCV, worst picture: %.3f grey levels", worst)
}

func compareWithAnswer(t *testing.T, c oracleCase) float64 {
	t.Helper()
	frame, err := os.ReadFile(c.Frame)
	if err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile(c.Answer)
	if err != nil {
		t.Fatal(err)
	}
	pixel, err := capture.ParsePixelFormat(c.Pixel)
	if err != nil {
		t.Fatal(err)
	}
	w, h := float64(c.Width), float64(c.Height)
	if c.Rotate%180 != 0 {
		w, h = h, w
	}
	p, err := New(
		infer.InputSpec{
			Width: c.Size, Height: c.Size, Layout: infer.NHWC, Fit: c.fit, Pad: 114, Scale: [3]float32{1, 1, 1},
		},
		Stream{
			Format: capture.Format{Pixel: pixel, Width: c.Width, Height: c.Height}.Packed(),
			Region: [4]float64{
				float64(c.Region[0]) / w, float64(c.Region[1]) / h, float64(c.Region[2]) / w, float64(c.Region[3]) / h,
			},
			Turn: capture.Turn{Rotate: c.Rotate},
		})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	got := make([]float32, len(want))
	if err := p.Run(frame, got); err != nil {
		t.Fatal(err)
	}
	sum, n := 0.0, 0
	for y := c.Target[1]; y < c.Target[3]; y++ {
		for i := (y*c.Size + c.Target[0]) * 3; i < (y*c.Size+c.Target[2])*3; i++ {
			sum += math.Abs(float64(got[i]) - float64(want[i]))
			n++
		}
	}
	for i := range want {
		x, y := i/3%c.Size, i/3/c.Size
		inside := x >= c.Target[0] && x < c.Target[2] && y >= c.Target[1] && y < c.Target[3]
		if !inside && got[i] != float32(want[i]) {
			t.Fatalf("padding at %d, %d is %v, want %d", x, y, got[i], want[i])
		}
	}
	return sum / float64(n)
}
