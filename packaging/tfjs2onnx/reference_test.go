package main

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"vedette/infer/decode"
	byhand "vedette/infer/manifest"
	"vedette/infer/onnx"
)

// required is a file that set-up makes; the test fails without it.
func required(t testing.TB, variable string, path ...string) string {
	t.Helper()
	file := os.Getenv(variable)
	if file == "" {
		file = filepath.Join(append([]string{"..", ".."}, path...)...)
	}
	if _, err := os.Stat(file); err != nil {
		t.Fatalf("there is no %s: run make setup, or set %s", file, variable)
	}
	return file
}

func tfjsFolder(t testing.TB) string { return required(t, "VEDETTE_TFJS", "build", "tfjs") }

// converted is a session with the default model, converted now.
func converted(t testing.TB, threads int) *onnx.Session {
	t.Helper()
	path := filepath.Join(t.TempDir(), "coco.onnx")
	if err := run(tfjsFolder(t), path); err != nil {
		t.Fatal(err)
	}
	return open(t, path, threads)
}

func open(t testing.TB, path string, threads int) *onnx.Session {
	t.Helper()
	s, err := onnx.Open(onnx.Options{
		Runtime: required(t, onnx.EnvLibrary, "build", "onnxruntime", runtime.GOARCH, "libonnxruntime.so"),
		Model:   path, Threads: threads,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// photograph is a picture as the model takes it; the test is skipped where the machine lacks it, or makes other pixels
// of it than those of the reference.
func photograph(t *testing.T, name, digest string) []float32 {
	t.Helper()
	const interpreter = "/usr/bin/python3"
	if err := exec.Command(interpreter, "-c", "import cv2, numpy").Run(); err != nil {
		t.Skipf("the photographs need OpenCV for Python (Debian: python3-opencv): %v", err)
	}
	path := filepath.Join(t.TempDir(), name)
	out, err := exec.Command(interpreter, "testdata/picture.py", name, path).CombinedOutput()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok && exit.ExitCode() == 77 {
		t.Skipf("%s (Debian: opencv-doc, python3-skimage)", strings.TrimSpace(string(out)))
	}
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	pixels, values := make([]byte, len(data)/4), make([]float32, len(data)/4)
	for i := range values {
		values[i] = math.Float32frombits(binary.LittleEndian.Uint32(data[4*i:]))
		pixels[i] = byte(values[i])
	}
	if sum := sha256.Sum256(pixels); hex.EncodeToString(sum[:]) != digest {
		t.Skipf("this machine's OpenCV makes other pixels of %s than the reference's did", name)
	}
	return values
}

// planar takes a picture from TensorFlow's order, RGB side by side, to the model's.
func planar(picture []float32) []float32 {
	out := make([]float32, 0, len(picture))
	for c := range 3 {
		for i := c; i < len(picture); i += 3 {
			out = append(out, picture[i])
		}
	}
	return out
}

type row [6]float64 // x1, y1, x2, y2, score, class

func (r row) matches(o row) bool {
	const pixels, score = 0.5, 0.002
	for i := range 4 {
		if math.Abs(r[i]-o[i]) > pixels {
			return false
		}
	}
	return math.Abs(r[4]-o[4]) <= score && r[5] == o[5]
}

// The oracle is TensorFlow.js, which ran the model before its conversion: testdata/reference.mjs.
func TestFindsWhatTensorFlowFinds(t *testing.T) {
	var reference struct {
		Pictures []struct {
			Picture, SHA256 string
			Rows            []row
		}
	}
	text, err := os.ReadFile("testdata/reference.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &reference); err != nil {
		t.Fatal(err)
	}
	if len(reference.Pictures) != 4 {
		t.Fatalf("%d pictures in reference.json: want 4", len(reference.Pictures))
	}
	s := converted(t, 0)
	for _, p := range reference.Pictures {
		t.Run(p.Picture, func(t *testing.T) {
			copy(s.Input(), planar(photograph(t, p.Picture, p.SHA256)))
			if err := s.Run(); err != nil {
				t.Fatal(err)
			}
			data, _ := s.Output(0)
			compare(t, data, p.Rows)
		})
	}
}

// compare pairs each row of the reference with one of the model's, and leaves none of those over that score enough to
// be in the reference for certain.
func compare(t *testing.T, data []float32, want []row) {
	t.Helper()
	const certain = 0.102
	var got []row
	for i := 0; i+6 <= len(data); i += 6 {
		var r row
		for j := range r {
			r[j] = float64(data[i+j])
		}
		got = append(got, r)
	}
	if len(want) == 0 {
		t.Fatal("the reference finds nothing in this picture")
	}
	paired := map[int]bool{}
next:
	for _, w := range want {
		for i, g := range got {
			if !paired[i] && g.matches(w) {
				paired[i] = true
				continue next
			}
		}
		t.Errorf("the model lacks what TensorFlow.js finds: %v", w)
	}
	for i, g := range got {
		if !paired[i] && g[4] >= certain {
			t.Errorf("the model finds what TensorFlow.js does not: %v", g)
		}
	}
}

func TestIsRecognised(t *testing.T) {
	s := converted(t, 0)
	f, err := decode.Recognise(s.Signature(), byhand.Manifest{})
	if err != nil {
		t.Fatal(err)
	}
	if f.Name != "centernet" || f.Input.Width != 512 || f.Input.Height != 512 {
		t.Errorf("the model is recognised as %s %dx%d: want centernet 512x512", f.Name, f.Input.Width, f.Input.Height)
	}
	if in, out := s.Inputs()[0].Name, s.Outputs()[0].Name; in != "images" || out != "detections" {
		t.Errorf("input %q, output %q: want images, detections", in, out)
	}
	if len(f.Labels) != 80 || f.Labels[0] != "person" || f.Labels[32] != "sports ball" || f.Labels[79] != "toothbrush" {
		t.Errorf("the labels are %q: want COCO's 80", f.Labels)
	}
	for _, key := range []string{"title", "source", "license"} {
		if s.Signature().Metadata[key] == "" {
			t.Errorf("the metadata has no %s", key)
		}
	}
}

// BenchmarkRun measures the model that was converted now, and that of VEDETTE_MODEL beside it.
func BenchmarkRun(b *testing.B) {
	for _, threads := range []struct {
		name  string
		count int
	}{{"threads=1", 1}, {"threads=2", 2}} {
		run := func(b *testing.B, s *onnx.Session) {
			for b.Loop() {
				if err := s.Run(); err != nil {
					b.Fatal(err)
				}
			}
		}
		b.Run("converted/"+threads.name, func(b *testing.B) { run(b, converted(b, threads.count)) })
		if other := os.Getenv("VEDETTE_MODEL"); other != "" {
			b.Run("other/"+threads.name, func(b *testing.B) { run(b, open(b, other, threads.count)) })
		}
	}
}
