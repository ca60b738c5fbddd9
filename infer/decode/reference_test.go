package decode

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"

	"vedette/infer"
	"vedette/infer/manifest"
	"vedette/infer/onnx"
)

const opencvData = "/usr/share/doc/opencv-doc/examples/data"

// python runs a script of testdata under the system's Python, which has OpenCV where Debian's python3-opencv is
// installed; without it the test is skipped.
func python(t *testing.T, stdin []byte, args ...string) []byte {
	t.Helper()
	const interpreter = "/usr/bin/python3"
	if err := exec.Command(interpreter, "-c", "import cv2, numpy").Run(); err != nil {
		t.Skipf("the reference needs OpenCV for Python (Debian: python3-opencv): %v", err)
	}
	args[0] = filepath.Join("testdata", args[0])
	c := exec.Command(interpreter, args...)
	c.Stdin = bytes.NewReader(stdin)
	var stderr bytes.Buffer
	c.Stderr = &stderr
	out, err := c.Output()
	if err != nil {
		t.Fatalf("%v: %v\n%s", args, err, stderr.Bytes())
	}
	return out
}

// sample is a file that the machine may lack; the test is skipped then.
func sample(t *testing.T, path, where string) string {
	t.Helper()
	if _, err := os.Stat(path); err != nil {
		t.Skipf("there is no %s (%s)", path, where)
	}
	return path
}

func shared(t *testing.T, name string) string {
	t.Helper()
	folder := os.Getenv("VEDETTE_SHARED")
	if folder == "" {
		folder = filepath.Join("..", "..", "..", "shared")
	}
	return sample(t, filepath.Join(folder, name), "set VEDETTE_SHARED to the folder with the test models")
}

// required is a file that set-up makes; the test fails without it.
func required(t *testing.T, variable string, path ...string) string {
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

func session(t *testing.T, model string) (*onnx.Session, Family) {
	t.Helper()
	s, err := onnx.Open(onnx.Options{
		Runtime: required(t, onnx.EnvLibrary, "build", "onnxruntime", runtime.GOARCH, "libonnxruntime.so"), Model: model,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	f, err := Recognise(s.Signature(), manifest.Manifest{})
	if err != nil {
		t.Fatal(err)
	}
	return s, f
}

func readFloats(t *testing.T, path string) []float32 {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	floats := make([]float32, len(data)/4)
	for i := range floats {
		floats[i] = math.Float32frombits(binary.LittleEndian.Uint32(data[4*i:]))
	}
	return floats
}

type reference struct {
	Frame         int
	Scale         float32
	Width, Height float32
	Detections    []struct {
		Class int
		Score float32
		Box   [4]float32
	}
}

// agrees compares with the reference: the same classes in the same order of scores; each box within the given distance
// of the frame's size, each score within the given difference. It returns the worst of both.
func (r reference) agrees(t *testing.T, got []infer.Detection, box, score float32) (worstBox, worstScore float32) {
	t.Helper()
	if len(got) != len(r.Detections) {
		t.Fatalf("frame %d: %d detections: want the reference's %d\n%v\n%v",
			r.Frame, len(got), len(r.Detections), got, r.Detections)
	}
	distance := func(a, b float32) float32 { return float32(math.Abs(float64(a - b))) }
	for i, want := range r.Detections {
		d := got[i]
		worstScore = max(worstScore, distance(d.Score, want.Score))
		for j, v := range [4]float32{d.Box.X1, d.Box.Y1, d.Box.X2, d.Box.Y2} {
			worstBox = max(worstBox, distance(v, want.Box[j]))
		}
		if d.Class != want.Class || worstBox > box || worstScore > score {
			t.Errorf("frame %d, detection %d is %+v: want %+v", r.Frame, i, d, want)
		}
	}
	return worstBox, worstScore
}

// Real pedestrians: once decoding the very numbers that OpenCV's own network gave, once through our session.
func TestYOLOXAgainstOpenCV(t *testing.T) {
	model := shared(t, "models/yolox_nano.onnx")
	video := sample(t, opencvData+"/vtest.avi", "Debian: opencv-doc")
	folder := t.TempDir()
	args := []string{"yolox_reference.py", model, video, folder}
	for frame := 0; frame < 100; frame += 5 {
		args = append(args, fmt.Sprint(frame))
	}
	lines := bufio.NewScanner(bytes.NewReader(python(t, nil, args...)))

	s, f := session(t, model)
	if f.Name != "yolox" || len(f.Labels) != 80 || f.Labels[0] != "person" {
		t.Fatalf("recognised as %s with %d labels (%q)", f.Name, len(f.Labels), f.Evidence)
	}
	decoder := f.Decoder(infer.Thresholds{"default": 0.35})
	var frames, detections int
	var box, score float32
	for lines.Scan() {
		var want reference
		if err := json.Unmarshal(lines.Bytes(), &want); err != nil {
			t.Fatal(err)
		}
		file := func(kind string) []float32 {
			return readFloats(t, filepath.Join(folder, fmt.Sprintf("%d.%s.f32", want.Frame, kind)))
		}
		placement := infer.Placement{ScaleX: 1 / want.Scale / want.Width, ScaleY: 1 / want.Scale / want.Height}
		got, err := decoder.Decode([]Output{{Data: file("out")}}, placement, nil)
		if err != nil {
			t.Fatal(err)
		}
		want.agrees(t, got, 1e-5, 1e-6)

		copy(s.Input(), file("in"))
		if err := s.Run(); err != nil {
			t.Fatal(err)
		}
		data, shape := s.Output(0)
		if got, err = decoder.Decode([]Output{{data, shape}}, placement, got[:0]); err != nil {
			t.Fatal(err)
		}
		b, c := want.agrees(t, got, 0.002, 0.002)
		box, score = max(box, b), max(score, c)
		frames, detections = frames+1, detections+len(got)
	}
	if frames != 20 || detections < frames {
		t.Errorf("%d detections in %d frames: want 20 frames with people in them", detections, frames)
	}
	t.Logf("%d frames, %d detections; session and OpenCV differ by at most %.1e of the frame and %.1e in score",
		frames, detections, box, score)
}

// planes takes the three channels of pixels apart.
func planes(pixels []float32) []float32 {
	out := make([]float32, len(pixels))
	for i, v := range pixels {
		out[i%3*len(pixels)/3+i/3] = v
	}
	return out
}

// The figures are TensorFlow.js's for the model before its conversion, on the same pixels.
func TestCenterNetAgainstTensorFlowJS(t *testing.T) {
	s, f := session(t, required(t, "VEDETTE_MODEL", "build", "models", "coco.onnx"))
	if f.Name != "centernet" || f.Labels[0] != "person" || f.Input.Width != 512 || f.Input.Height != 512 {
		t.Skipf("VEDETTE_MODEL is not the default model, but %s (%q)", f.Name, f.Evidence)
	}
	cases := []struct {
		file, frame string
		want        [][6]float32 // x1 y1 x2 y2 in pixels of 512, score, class
	}{
		{"messi5.jpg", "", [][6]float32{
			{314.538, 429.464, 362.207, 504.640, 0.682, 32},
			{80.068, 92.501, 424.187, 507.984, 0.495, 0},
			{-0.174, 134.009, 51.036, 285.974, 0.425, 0},
			{2.829, 315.227, 51.104, 393.537, 0.337, 0},
		}},
		{"vtest.avi", "100", [][6]float32{
			{390.747, 140.654, 413.029, 209.403, 0.730, 0}, {230.360, 180.652, 252.981, 243.433, 0.603, 0},
		}},
	}
	decoder := f.Decoder(infer.Thresholds{"default": 0.3})
	for _, c := range cases {
		tensor := filepath.Join(t.TempDir(), "tensor.f32")
		args := []string{"picture_tensor.py", sample(t, filepath.Join(opencvData, c.file), "Debian: opencv-doc"), tensor}
		if c.frame != "" {
			args = append(args, c.frame)
		}
		python(t, nil, args...)
		pixels := readFloats(t, tensor)
		if f.Input.Layout == infer.NCHW {
			pixels = planes(pixels)
		}
		copy(s.Input(), pixels)
		if err := s.Run(); err != nil {
			t.Fatal(err)
		}
		data, shape := s.Output(0)
		got, err := decoder.Decode([]Output{{data, shape}}, infer.Placement{ScaleX: 1. / 512, ScaleY: 1. / 512}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if len(got) < len(c.want) {
			t.Fatalf("%s: %d detections: want at least %d", c.file, len(got), len(c.want))
		}
		want := reference{}
		for _, w := range c.want {
			b := infer.Box{X1: w[0] / 512, Y1: w[1] / 512, X2: w[2] / 512, Y2: w[3] / 512}.Clip()
			want.Detections = append(want.Detections, struct {
				Class int
				Score float32
				Box   [4]float32
			}{int(w[5]), w[4], [4]float32{b.X1, b.Y1, b.X2, b.Y2}})
		}
		box, score := want.agrees(t, got[:len(c.want)], 0.5/512, 0.002)
		t.Logf("%s: at most %.3f pixels of 512 and %.4f in score from the reference", c.file, box*512, score)
	}
}

func TestSuppressionAgainstOpenCV(t *testing.T) {
	type problem struct {
		Boxes    [][4]float32 `json:"boxes"`
		Scores   []float32    `json:"scores"`
		Classes  []int        `json:"classes"`
		IoU      float32      `json:"iou"`
		Agnostic bool         `json:"agnostic"`
	}
	random := rand.New(rand.NewPCG(1, 2))
	var problems []problem
	for n := 1; n <= 200; n += 7 {
		p := problem{IoU: 0.2 + 0.6*random.Float32(), Agnostic: n%2 == 0}
		for range n {
			p.Boxes = append(p.Boxes, [4]float32{
				random.Float32() * 100, random.Float32() * 100, 5 + random.Float32()*60, 5 + random.Float32()*60,
			})
			p.Scores = append(p.Scores, 0.01+0.99*random.Float32())
			p.Classes = append(p.Classes, random.IntN(3))
		}
		problems = append(problems, p)
	}
	stdin, err := json.Marshal(problems)
	if err != nil {
		t.Fatal(err)
	}
	var want [][]int
	if err := json.Unmarshal(python(t, stdin, "nms_reference.py"), &want); err != nil {
		t.Fatal(err)
	}
	for i, p := range problems {
		var all []candidate
		for j, b := range p.Boxes {
			all = append(all, candidate{
				box: infer.Box{X1: b[0], Y1: b[1], X2: b[0] + b[2], Y2: b[1] + b[3]}, score: p.Scores[j], class: p.Classes[j], index: j,
			})
		}
		rank(all)
		var got []int
		for _, c := range (suppression{iou: p.IoU, agnostic: p.Agnostic}).suppress(all, len(all)) {
			got = append(got, c.index)
		}
		if fmt.Sprint(got) != fmt.Sprint(want[i]) {
			t.Errorf("%d boxes at %.3f, agnostic %v: kept %v: want %v", len(p.Boxes), p.IoU, p.Agnostic, got, want[i])
		}
	}
}
