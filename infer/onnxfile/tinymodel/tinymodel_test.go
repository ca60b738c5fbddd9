package tinymodel_test

import (
	"bytes"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"

	"vedette/infer"
	"vedette/infer/decode"
	"vedette/infer/manifest"
	"vedette/infer/onnx"
	"vedette/infer/onnxfile/tinymodel"
)

func open(t testing.TB, size int) *onnx.Session {
	t.Helper()
	var data bytes.Buffer
	if err := tinymodel.Write(&data, size); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "tiny.onnx")
	if err := os.WriteFile(path, data.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	library := os.Getenv(onnx.EnvLibrary)
	if library == "" {
		library = filepath.Join("..", "..", "..", "build", "onnxruntime", runtime.GOARCH, "libonnxruntime.so")
	}
	if _, err := os.Stat(library); err != nil {
		t.Fatalf("there is no %s: run make setup, or set %s", library, onnx.EnvLibrary)
	}
	s, err := onnx.Open(onnx.Options{Runtime: library, Model: path, Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// expected works the first row out pixel by pixel, as Write documents it.
func expected(pixels []float32, size int) (row [6]float32) {
	var total, count float64
	x1, y1, x2, y2 := size, size, 0, 0
	for y := range size {
		for x := range size {
			p := pixels[3*(y*size+x):][:3]
			redness := p[0] - max(p[1], p[2])
			if redness <= tinymodel.Threshold {
				continue
			}
			total, count = total+float64(redness), count+1
			x1, y1, x2, y2 = min(x1, x), min(y1, y), max(x2, x+1), max(y2, y+1)
		}
	}
	if count == 0 {
		return row
	}
	return [6]float32{float32(x1), float32(y1), float32(x2), float32(y2), float32(total / count / 255), 0}
}

type rectangle struct{ x1, y1, x2, y2 int }

func paint(pixels []float32, size int, r rectangle, red, green, blue float32) {
	for y := r.y1; y < r.y2; y++ {
		for x := r.x1; x < r.x2; x++ {
			copy(pixels[3*(y*size+x):], []float32{red, green, blue})
		}
	}
}

func TestFindsWhatIsRed(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for _, size := range []int{tinymodel.MinSize, 64, 100} {
		s := open(t, size)
		pictures := map[string]func(pixels []float32){
			"nothing":      func([]float32) {},
			"white":        func(p []float32) { paint(p, size, rectangle{0, 0, size, size}, 255, 255, 255) },
			"all red":      func(p []float32) { paint(p, size, rectangle{0, 0, size, size}, 255, 0, 0) },
			"last corner":  func(p []float32) { paint(p, size, rectangle{size - 1, size - 1, size, size}, 230, 30, 20) },
			"first corner": func(p []float32) { paint(p, size, rectangle{0, 0, 1, 1}, 200, 20, 30) },
			"just not":     func(p []float32) { paint(p, size, rectangle{1, 2, 3, 4}, 200, 100, 0) },
			"just so":      func(p []float32) { paint(p, size, rectangle{1, 2, 3, 5}, 201, 0, 100) },
			"two": func(p []float32) {
				paint(p, size, rectangle{1, 3, 2, 4}, 255, 0, 0)
				paint(p, size, rectangle{4, 1, 7, 2}, 155, 0, 0)
			},
			"noise": func(p []float32) {
				for i := range p {
					p[i] = float32(random.IntN(256))
				}
			},
		}
		for name, draw := range pictures {
			clear(s.Input())
			draw(s.Input())
			if err := s.Run(); err != nil {
				t.Fatal(err)
			}
			got, shape := s.Output(0)
			if !slices.Equal(shape, []int64{1, tinymodel.Rows, 6}) {
				t.Fatalf("the output's shape is %v", shape)
			}
			want := expected(s.Input(), size)
			for i, v := range got {
				wanted := float32(0)
				if i < len(want) {
					wanted = want[i]
				}
				if math.Abs(float64(v-wanted)) > 1e-5 {
					t.Errorf("size %d, %s: number %d is %v: want %v (first row %v)", size, name, i, v, wanted, want)
					break
				}
			}
		}
	}
}

// What a test of the whole pipeline sees: a person where the red rectangle is, through the default model's decoder.
func TestServesInTheDefaultModelsPlace(t *testing.T) {
	const size = 64
	s := open(t, size)
	f, err := decode.Recognise(s.Signature(), manifest.Manifest{})
	if err != nil {
		t.Fatal(err)
	}
	if f.Name != "centernet" || f.Input.Width != size || f.Input.Height != size ||
		!slices.Equal(f.Labels, []string{"person"}) {
		t.Fatalf("the model is recognised as %+v", f)
	}
	paint(s.Input(), size, rectangle{16, 8, 48, 32}, 255, 0, 0)
	if err := s.Run(); err != nil {
		t.Fatal(err)
	}
	data, shape := s.Output(0)
	got, err := f.Decoder(infer.Thresholds{"default": 0.4}).Decode(
		[]decode.Output{{Data: data, Shape: shape}}, infer.Placement{ScaleX: 1. / size, ScaleY: 1. / size}, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := []infer.Detection{{Class: 0, Score: 1, Box: infer.Box{X1: .25, Y1: .125, X2: .75, Y2: .5}}}
	if !slices.Equal(got, want) {
		t.Errorf("the detections are %+v: want %+v", got, want)
	}
}

func TestSameBytesTwiceAndBounds(t *testing.T) {
	var a, b bytes.Buffer
	if err := tinymodel.Write(&a, 64); err != nil {
		t.Fatal(err)
	}
	if err := tinymodel.Write(&b, 64); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(a.Bytes(), b.Bytes()) {
		t.Error("the same size gives different bytes")
	}
	for _, size := range []int{-1, 0, tinymodel.MinSize - 1, tinymodel.MaxSize + 1} {
		if tinymodel.Write(&a, size) == nil {
			t.Errorf("size %d is accepted", size)
		}
	}
}

func BenchmarkRun(b *testing.B) {
	s := open(b, 64)
	for b.Loop() {
		if err := s.Run(); err != nil {
			b.Fatal(err)
		}
	}
}
