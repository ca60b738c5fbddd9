package onnxfile

import (
	"bytes"
	"os"
	"strings"
	"testing"
)

// double is a graph of one node.
func double(in, out string) Graph {
	shape := []int64{2}
	return Graph{
		Inputs:  []ValueInfo{{Name: in, Type: Float32, Shape: shape}},
		Outputs: []ValueInfo{{Name: out, Type: Float32, Shape: shape}},
		Nodes:   []Node{{Op: "Add", Name: "add/" + in, Inputs: []string{in, in}, Outputs: []string{out}}},
	}
}

func TestPrependErrors(t *testing.T) {
	plain := Model{Opset: 13, Graph: double("x", "y")}
	good, err := plain.Encode()
	if err != nil {
		t.Fatal(err)
	}
	plain.Opset = 6
	old, err := plain.Encode()
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		model []byte
		graph Graph
		want  string
	}{
		"no such input": {good, double("w", "z"), `no input "z"`},
		"cut short":     {good[:len(good)-3], double("w", "x"), "damaged or cut short"},
		"old":           {old, double("w", "x"), "operator set 6"},
		"two outputs":   {good, Graph{}, "one output"},
	} {
		if _, err := Prepend(c.model, c.graph); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v: want %q", name, err, c.want)
		}
	}
	whole, err := Prepend(good, double("w", "x"))
	if err != nil {
		t.Fatal(err)
	}
	o, err := ReadOutline(whole)
	if err != nil || !bytes.Contains(whole, []byte("add/w")) || len(o.NodeNames) != 2 || o.NodeNames[0] != "add/w" || o.Opset != 13 {
		t.Errorf("%+v, %v", o, err)
	}
}

func FuzzPrepend(f *testing.F) {
	model, err := Model{Opset: 13, Graph: double("x", "y")}.Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(model)
	if real, err := os.ReadFile("../onnx/testdata/free_batch.onnx"); err == nil {
		f.Add(real)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if whole, err := Prepend(data, double("w", "x")); err == nil && len(whole) > len(data)+500 {
			t.Errorf("%d bytes have become %d", len(data), len(whole))
		}
	})
}
