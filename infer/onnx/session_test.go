package onnx

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"vedette/infer/half"
)

// library is the ONNX Runtime that these tests run.
func library(t testing.TB) string {
	t.Helper()
	path := os.Getenv(EnvLibrary)
	if path == "" {
		path = filepath.Join("..", "..", "build", "onnxruntime", runtime.GOARCH, "libonnxruntime.so")
	}
	path, err := filepath.Abs(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("there is no ONNX Runtime at %s: run make setup, or set %s", path, EnvLibrary)
	}
	return path
}

func open(t testing.TB, o Options) *Session {
	t.Helper()
	o.Runtime = library(t)
	s, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func TestRun(t *testing.T) {
	s := open(t, Options{Model: "testdata/free_batch.onnx", Threads: 1})
	if in := s.Inputs(); len(in) != 1 || in[0].Name != "x" || in[0].Type != "float32" || !slices.Equal(in[0].Shape, []int64{1, 3}) {
		t.Errorf("inputs %+v: want x, float32, with its free batch bound to 1", in)
	}
	if m := s.Signature().Metadata; m["family"] != "plus-one" || m["names"] != `["a", "b"]` || len(m) != 2 {
		t.Errorf("metadata %v", m)
	}
	if s.Provider() != CPU || s.Degraded() != "" || !plausible(s.RuntimeVersion()) {
		t.Errorf("provider %q, degraded %q, runtime %q", s.Provider(), s.Degraded(), s.RuntimeVersion())
	}
	for run := range 3 {
		for i := range s.Input() {
			s.Input()[i] = float32(10*run + i)
		}
		if err := s.Run(); err != nil {
			t.Fatal(err)
		}
		out, shape := s.Output(0)
		if len(shape) != 2 || len(out) != 3 {
			t.Fatalf("output %v of shape %v", out, shape)
		}
		for i, v := range out {
			if v != float32(10*run+i+1) {
				t.Errorf("run %d: output %v is not the input plus one", run, out)
			}
		}
	}
	s.Close()
	if err := s.Run(); err == nil {
		t.Error("a closed session runs")
	}
}

func TestBytesInput(t *testing.T) {
	s := open(t, Options{Model: "testdata/bytes.onnx"})
	if s.Input() != nil {
		t.Error("a uint8 input shows as float32")
	}
	copy(s.InputBytes(0), []byte{0, 1, 127, 255})
	if err := s.Run(); err != nil {
		t.Fatal(err)
	}
	if out, _ := s.Output(0); out[1] != 1 || out[3] != 255 {
		t.Errorf("output %v", out)
	}
}

// Outputs show as float32 whatever they are; inputs are given as what they are.
func TestTypesOfTensors(t *testing.T) {
	for _, name := range []string{"float16", "int64", "int32", "uint8", "bool"} {
		s := open(t, Options{Model: "testdata/" + name + ".onnx"})
		copy(s.Input(), []float32{0, 1, 1})
		if err := s.Run(); err != nil {
			t.Fatal(err)
		}
		if out, _ := s.Output(0); !slices.Equal(out, []float32{0, 1, 1}) {
			t.Errorf("%s: output %v", name, out)
		}
	}
	s := open(t, Options{Model: "testdata/float16_in.onnx"})
	if s.Input() != nil {
		t.Error("a float16 input shows as float32")
	}
	half.Encode(s.InputFloat16s(0), []float32{0.5, -2, 1000})
	if err := s.Run(); err != nil {
		t.Fatal(err)
	}
	if out, _ := s.Output(0); !slices.Equal(out, []float32{0.5, -2, 1000}) {
		t.Errorf("output %v", out)
	}
}

func TestFreeSizes(t *testing.T) {
	f, err := Read(Options{Runtime: library(t), Model: "testdata/free_size.onnx"})
	if err != nil {
		t.Fatal(err)
	}
	if in := f.Signature().Inputs[0].Shape; !slices.Equal(in, []int64{-1, 3, -1, -1}) {
		t.Errorf("the file's input is %v", in)
	}
	s, err := f.Open(map[string][]int64{"x": {2, 3, 4, 6}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.Run(); err != nil {
		t.Fatal(err)
	}
	if out, shape := s.Output(0); !slices.Equal(shape, []int64{2, 3, 24}) || len(out) != 144 {
		t.Errorf("output %v with %d elements", shape, len(out))
	}
	if _, err := f.Open(map[string][]int64{"x": {2, 4, 4, 6}}); err == nil || !strings.Contains(err.Error(), "cannot be [2 4 4 6]") {
		t.Errorf("a shape that does not fit gives %v", err)
	}
}

func TestRunFails(t *testing.T) {
	s := open(t, Options{Model: "testdata/pick.onnx"})
	index := s.InputBytes(1)
	binary.NativeEndian.PutUint64(index, 99)
	err := s.Run()
	if err == nil || strings.Contains(err.Error(), "\n") || errors.Is(err, ErrDeviceLost) {
		t.Errorf("an index out of bounds answers %v: want one line, and not a lost device", err)
	}
	binary.NativeEndian.PutUint64(index, 2)
	s.Input()[2] = 7
	if err := s.Run(); err != nil {
		t.Errorf("a session is lost after one failed run: %v", err)
	}
	if out, _ := s.Output(0); out[0] != 7 {
		t.Errorf("output %v", out)
	}
}

func TestRunAllocatesNothing(t *testing.T) {
	s := open(t, Options{Model: "testdata/free_batch.onnx", Threads: 1})
	if n := testing.AllocsPerRun(100, func() {
		if err := s.Run(); err != nil {
			t.Fatal(err)
		}
		s.Output(0)
	}); n != 0 {
		t.Errorf("%v allocations a run", n)
	}
}

func TestCloseFreesMemory(t *testing.T) {
	mapped := func() (mib int) {
		text, err := os.ReadFile("/proc/self/statm")
		if err != nil {
			t.Fatal(err)
		}
		var pages int
		if _, err := fmt.Sscan(string(text), &pages); err != nil {
			t.Fatal(err)
		}
		return pages * os.Getpagesize() >> 20
	}
	cycle := func() { // with 8 MiB of tensors
		s, err := Open(Options{Runtime: library(t), Model: "testdata/large.onnx", Threads: 1})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Run(); err != nil {
			t.Fatal(err)
		}
		s.Close()
		s.Close()
	}
	for range 5 {
		cycle()
	}
	before := mapped()
	for range 50 {
		cycle()
	}
	if after := mapped(); after > before+100 {
		t.Errorf("50 sessions left %d MiB behind", after-before)
	}
}

func TestOpenErrors(t *testing.T) {
	folder := t.TempDir()
	whole, err := os.ReadFile("testdata/free_batch.onnx")
	if err != nil {
		t.Fatal(err)
	}
	write := func(name string, data []byte) string {
		path := filepath.Join(folder, name)
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	cases := map[string]struct {
		options Options
		want    string
	}{
		"no model":         {Options{}, "no path is given"},
		"missing model":    {Options{Model: folder + "/none.onnx"}, "there is no such file"},
		"folder":           {Options{Model: folder}, "is not a file"},
		"empty file":       {Options{Model: write("empty.onnx", nil)}, "not an ONNX model"},
		"text":             {Options{Model: write("text.onnx", []byte("hello, world\n"))}, "not an ONNX model"},
		"cut short":        {Options{Model: write("short.onnx", whole[:len(whole)/2])}, "not an ONNX model"},
		"newer opset":      {Options{Model: "testdata/opset99.onnx"}, "Opset 99"},
		"newer IR":         {Options{Model: "testdata/ir99.onnx"}, "IR version: 99"},
		"unknown operator": {Options{Model: "testdata/unknown_op.onnx"}, "Nonsense"},
		"free width":       {Options{Model: "testdata/free_width.onnx"}, "leaves dimension 1 free"},
		"huge":             {Options{Model: "testdata/huge.onnx"}, "more than 1024 MiB"},
		"text tensor":      {Options{Model: "testdata/text.onnx"}, `output "y" is string`},
		"threads":          {Options{Model: "testdata/bytes.onnx", Threads: -1}, "threads -1"},
		"unknown provider": {Options{Model: "testdata/bytes.onnx", Providers: []string{"rocm"}}, `unknown provider "rocm"`},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			c.options.Runtime = library(t)
			s, err := Open(c.options)
			if err == nil {
				s.Close()
				t.Fatal("Open succeeds")
			}
			if !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("error %q: want one line with %q", err, c.want)
			}
			if c.options.Model != "" && c.options.Threads == 0 && c.options.Providers == nil &&
				!strings.Contains(err.Error(), c.options.Model) {
				t.Errorf("error %q does not name the model", err)
			}
		})
	}
}

func TestRunErrorsAreClassified(t *testing.T) {
	cases := map[string]bool{
		"CUDA failure 700: an illegal memory access was encountered ; GPU=0 ; hostname=board":   true,
		"Non-zero status code returned while running Conv node. Status Message: CUDA error 719": true,
		"CUDA error cudaErrorIllegalAddress:an illegal memory access was encountered":           true,
		"CUDA failure 2: out of memory ; GPU=0":                                                 false,
		"CUDA failure 7000: no such error":                                                      false,
		"Gather node index 700 is out of bounds":                                                false,
	}
	for text, lost := range cases {
		err := runError(errors.New("Error running network: " + text))
		if errors.Is(err, ErrDeviceLost) != lost || !strings.Contains(err.Error(), text) {
			t.Errorf("%q becomes %q, lost device %v: want %v", text, err, !lost, lost)
		}
	}
}
