package onnxfile

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// example has every kind of attribute, tensor and dimension that the package writes.
func example() Model {
	return Model{
		Producer: "vedette", ProducerVersion: "1.2.3", Opset: 13,
		Metadata: []Property{{"family", "example"}, {"empty", ""}},
		Graph: Graph{
			Name:    "example",
			Inputs:  []ValueInfo{{"x", Float32, []int64{1, 3, -1, 4}}, {"n", Int64, nil}},
			Outputs: []ValueInfo{{"y", Float32, []int64{1, 3, -1, 2}}, {"b", Bool, []int64{1}}},
			Initializers: []Tensor{
				Float32s("w", []int64{3, 3, 1, 1}, []float32{1, 0, 0, 0, -2, 0, 0, 0, 0.5}),
				Float32s("low", nil, []float32{-1}), Int64s("first", 0), Int64s("end", 2), Int64s("axis", -1),
				Int32s("i", []int64{2}, []int32{-7, 1 << 30}),
			},
			Nodes: []Node{
				{"Conv", "conv", []string{"x", "w"}, []string{"c"}, []Attribute{
					String("auto_pad", "SAME_UPPER"), Ints("kernel_shape", 1, 1), Ints("strides", 1, 1), Int("group", 1),
				}},
				{"Clip", "clip", []string{"c", "", "low"}, []string{"d"}, nil},
				{"LeakyRelu", "leaky", []string{"d"}, []string{"e"}, []Attribute{Float("alpha", -0.25)}},
				{"Slice", "slice", []string{"e", "first", "end", "axis"}, []string{"y"}, nil},
				{"Cast", "cast", []string{"i"}, []string{"i64"}, []Attribute{Int("to", int64(Int64))}},
				{"ReduceMin", "least", []string{"i64"}, []string{"m"}, []Attribute{Int("keepdims", 1)}},
				{"Equal", "equal", []string{"m", "n"}, []string{"b"}, nil},
			},
		},
	}
}

// The oracle is ONNX's own Python package: its checker, its shape inference, and what it reads back.
func TestONNXReadsIt(t *testing.T) {
	const interpreter = "/usr/bin/python3"
	if err := exec.Command(interpreter, "-c", "import onnx").Run(); err != nil {
		t.Skipf("the check needs ONNX for Python (Debian: python3-onnx): %v", err)
	}
	data, err := example().Encode()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "example.onnx")
	if err := WriteFile(path, data); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(interpreter, "testdata/describe.py", path).CombinedOutput()
	if err != nil {
		t.Fatalf("ONNX refuses the file: %v\n%s", err, out)
	}
	want, err := os.ReadFile("testdata/example.txt")
	if err != nil {
		t.Fatal(err)
	}
	if string(out) != string(want) {
		t.Errorf("ONNX reads\n%s\nwant\n%s", out, want)
	}
}

func TestSameBytesTwice(t *testing.T) {
	a, err := example().Encode()
	if err != nil {
		t.Fatal(err)
	}
	b, err := example().Encode()
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(a, b) {
		t.Error("the same model gives different bytes")
	}
}

func TestEncodeErrors(t *testing.T) {
	for want, spoil := range map[string]func(g *Graph){
		`takes tensor "nowhere"`:            func(g *Graph) { g.Nodes[0].Inputs[0] = "nowhere" },
		`takes tensor "e"`:                  func(g *Graph) { g.Nodes[0].Inputs[0] = "e" },
		`makes tensor "x"`:                  func(g *Graph) { g.Nodes[0].Outputs[0] = "x" },
		`nothing makes the output "z"`:      func(g *Graph) { g.Outputs[0].Name = "z" },
		`tensor "w": 36 bytes`:              func(g *Graph) { g.Initializers[0].Shape = []int64{3, 4} },
		`tensor "w": data type 99`:          func(g *Graph) { g.Initializers[0].Type = 99 },
		`tensor "w": shape [-1`:             func(g *Graph) { g.Initializers[0].Shape = []int64{-1} },
		`tensor "w": shape [2147483647 3 2`: func(g *Graph) { g.Initializers[0].Shape = []int64{1<<31 - 1, 3, 2} },
	} {
		m := example()
		spoil(&m.Graph)
		if _, err := m.Encode(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("the error is %v: want %q in it", err, want)
		}
	}
}

func TestWriteFile(t *testing.T) {
	folder := t.TempDir()
	path := filepath.Join(folder, "m.onnx")
	for _, content := range []string{"old", "new"} {
		if err := WriteFile(path, []byte(content)); err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(path); err != nil || string(got) != content {
			t.Errorf("the file holds %q, %v: want %q", got, err, content)
		}
	}
	if files, err := os.ReadDir(folder); err != nil || len(files) != 1 {
		t.Errorf("the folder holds %v, %v: want the model alone", files, err)
	}
	err := WriteFile(filepath.Join(folder, "none", "m.onnx"), nil)
	if err == nil || !strings.Contains(err.Error(), "none/m.onnx") {
		t.Errorf("the error is %v: want the path in it", err)
	}
}
