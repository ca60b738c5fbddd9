package main

import (
	"bytes"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestSameBytesTwice(t *testing.T) {
	folder := tfjsFolder(t)
	var files [2][]byte
	for i := range files {
		path := filepath.Join(t.TempDir(), "coco.onnx")
		if err := run(folder, path); err != nil {
			t.Fatal(err)
		}
		var err error
		if files[i], err = os.ReadFile(path); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(files[0], files[1]) {
		t.Error("two conversions of one model differ")
	}
}

// small is a model whose two rows are the colours of its 2x2 input: red + 0.5, 2*green, max(0, 4*blue - 1).
const small = `{"format": "graph-model",
"signature": {"outputs": {"o": {"name": "out", "tensorShape": {"dim": [{"size": "1"}, {"size": "2"}, {"size": "6"}]}}}},
"modelTopology": {"node": [
 {"name": "in", "op": "Placeholder", "attr": {"dtype": {"type": "DT_FLOAT"},
  "shape": {"shape": {"dim": [{"size": "1"}, {"size": "2"}, {"size": "2"}, {"size": "3"}]}}}},
 {"name": "w", "op": "Const"}, {"name": "b", "op": "Const"}, {"name": "s", "op": "Const"},
 {"name": "conv", "op": "_FusedConv2D", "input": ["in", "w", "b"], "attr": {
  "padding": {"s": "U0FNRQ=="}, "fused_ops": {"list": {"s": ["Qmlhc0FkZA==", "UmVsdQ=="]}},
  "strides": {"list": {"i": ["1", "1", "1", "1"]}}}},
 {"name": "out", "op": "Reshape", "input": ["conv", "s"]}]},
"weightsManifest": [{"paths": ["w.bin"], "weights": [
 {"name": "w", "shape": [1, 1, 3, 3], "dtype": "float32", "quantization": {"dtype": "float16"}},
 {"name": "b", "shape": [3], "dtype": "float32"},
 {"name": "s", "shape": [3], "dtype": "int32"}]}]}`

// smallWeights: w takes each colour once, twice, four times, in binary16; b is 0.5, 0, -1; s is 1 2 6.
func smallWeights() []byte {
	return []byte("\x00\x3c\x00\x00\x00\x00" + "\x00\x00\x00\x40\x00\x00" + "\x00\x00\x00\x00\x00\x44" +
		"\x00\x00\x00\x3f\x00\x00\x00\x00\x00\x00\x80\xbf" + "\x01\x00\x00\x00\x02\x00\x00\x00\x06\x00\x00\x00")
}

func writeSmall(t *testing.T, description string, weights []byte) string {
	t.Helper()
	folder := t.TempDir()
	for name, data := range map[string][]byte{
		"small.json": []byte(description), "w.bin": weights, "package.json": []byte(`{"name": "no model"}`),
	} {
		if err := os.WriteFile(filepath.Join(folder, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return folder
}

// Pictures are in NCHW inside, and factors wait for who pays them; what comes out is TensorFlow's all the same.
func TestConvertsSmallModel(t *testing.T) {
	plain := []float32{1.5, 4, 11, 4.5, 10, 23, 7.5, 16, 35, 0.5, 2, 0} // what comes out of conv
	each := func(f func(channel int, v float32) float32) (all []float32) {
		for i, v := range plain {
			all = append(all, f(i%3, v))
		}
		return all
	}
	bias := []float32{0.5, 0, -1}
	gate := func(v float32) float32 { return min(max(v-4, 0), 6) }
	const out = `{"name": "out", "op": "Reshape", "input": ["conv", "s"]}`
	const swish = `{"name": "k", "op": "Const"}, {"name": "q", "op": "Const"},
		{"name": "p", "op": "Add", "input": ["conv", "k"]}, {"name": "r", "op": "Relu6", "input": ["p"]},
		{"name": "x", "op": "Mul", "input": ["q", "conv"]}, {"name": "y", "op": "Mul", "input": ["x", "r"]}, `
	cases := []struct {
		name, nodes string // in the place of out
		want        []float32
	}{
		{"reshape", out, plain},
		{
			"a number for each channel",
			`{"name": "m", "op": "Mul", "input": ["b", "conv"]}, {"name": "out", "op": "Reshape", "input": ["m", "s"]}`,
			each(func(c int, v float32) float32 { return bias[c] * v }),
		},
		{
			"a picture less its mean",
			`{"name": "axes", "op": "Const"},
			 {"name": "m", "op": "Mean", "input": ["conv", "axes"], "attr": {"keep_dims": {"b": true}}},
			 {"name": "d", "op": "Sub", "input": ["conv", "m"]}, {"name": "out", "op": "Reshape", "input": ["d", "s"]}`,
			each(func(c int, v float32) float32 { return v - []float32{3.5, 8, 17.25}[c] }),
		},
		{
			"pictures in both orders", // in is 1 2 3 4 5 6 7 8 9 0 1 0
			`{"name": "a", "op": "Add", "input": ["in", "conv"]}, {"name": "out", "op": "Reshape", "input": ["a", "s"]}`,
			[]float32{2.5, 6, 14, 8.5, 15, 29, 14.5, 24, 44, 0.5, 3, 0},
		},
		{
			"hard swish", swish + `{"name": "out", "op": "Reshape", "input": ["y", "s"]}`,
			each(func(_ int, v float32) float32 { return 0.25 * v * gate(v) }),
		},
		{
			"hard swish into a convolution",
			swish + `{"name": "z", "op": "Conv2D", "input": ["y", "w"], "attr": {"padding": {"s": "VkFMSUQ="},
			  "strides": {"list": {"i": ["1", "1", "1", "1"]}}}}, {"name": "out", "op": "Reshape", "input": ["z", "s"]}`,
			each(func(c int, v float32) float32 { return []float32{1, 2, 4}[c] * 0.25 * v * gate(v) }),
		},
		{
			"hard swish and what it was made of",
			swish + `{"name": "n", "op": "Sub", "input": ["y", "x"]}, {"name": "o", "op": "Add", "input": ["n", "r"]},
			 {"name": "l", "op": "Sub", "input": ["o", "p"]}, {"name": "out", "op": "Reshape", "input": ["l", "s"]}`,
			each(func(_ int, v float32) float32 { return 0.25*v*gate(v) - 0.25*v + gate(v) - (v - 4) }),
		},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			text := strings.Replace(small, out, c.nodes, 1)
			text = strings.Replace(text, `"weights": [`, `"weights": [
				{"name": "axes", "shape": [2], "dtype": "int32"}, {"name": "k", "shape": [], "dtype": "float32"},
				{"name": "q", "shape": [], "dtype": "float32"},`, 1)
			weights := "\x01\x00\x00\x00\x02\x00\x00\x00" + "\x00\x00\x80\xc0" + "\x00\x00\x80\x3e" // 1 2, -4, 0.25
			path := filepath.Join(t.TempDir(), "small.onnx")
			if err := run(writeSmall(t, text, append([]byte(weights), smallWeights()...)), path); err != nil {
				t.Fatal(err)
			}
			s := open(t, path, 1)
			copy(s.Input(), planar([]float32{1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1, 0}))
			if err := s.Run(); err != nil {
				t.Fatal(err)
			}
			got, _ := s.Output(0)
			if !slices.EqualFunc(got, c.want, func(a, b float32) bool { return math.Abs(float64(a-b)) < 1e-4 }) {
				t.Errorf("the small model gives %v: want %v", got, c.want)
			}
		})
	}
}

// Each error names the node, the weight or the file that is to blame, and leaves no file.
func TestErrors(t *testing.T) {
	cases := []struct {
		name, old, replacement string
		weights                []byte
		want                   string
	}{
		{"unknown kind", `"Reshape"`, `"Einsum"`, nil, `node "out" (Einsum): this kind of node cannot be converted`},
		{"unknown data type", `"dtype": "int32"`, `"dtype": "string"`, nil, `weight "s" in [w.bin]: data type "string"`},
		{"quantization", `"float16"`, `"uint8"`, nil, `weight "w" in [w.bin]: float32 stored as uint8`},
		{
			"missing weight", `"name": "b", "shape"`, `"name": "c", "shape"`, nil,
			`node "b" (Const): the weights manifest has no such weight`,
		},
		{"short file", "", "", smallWeights()[:40], `weight "s" in [w.bin]: 12 bytes are needed and 10 are left`},
		{"long file", "", "", append(smallWeights(), 0), `weight files [w.bin] have 1 bytes more`},
		{"file elsewhere", `"w.bin"`, `"../w.bin"`, nil, `weight file "../w.bin" is not a plain file name`},
		{"no file", `"w.bin"`, `"v.bin"`, nil, `v.bin: no such file`},
		{"huge shape", `[3], "dtype": "int32"`, `[99999, 99999], "dtype": "int32"`, nil, `weight "s" in [w.bin]: shape`},
		{"negative shape", `[3], "dtype": "int32"`, `[-3], "dtype": "int32"`, nil, `weight "s" in [w.bin]: shape`},
		{"missing node", `["in", "w", "b"]`, `["on", "w", "b"]`, nil, `there is no node "on"`},
		{"loop", `["in", "w", "b"]`, `["out", "w", "b"]`, nil, `node "out" (Reshape)`},
		{"format", `graph-model`, `layers-model`, nil, `its format is "layers-model"`},
		{"activation", `UmVsdQ==`, `UHJlbHU=`, nil, `node "conv" (_FusedConv2D): the fused operations ["BiasAdd" "Prelu"]`},
		{"padding", `U0FNRQ==`, `RVhQTElDSVQ=`, nil, `node "conv" (_FusedConv2D): attribute padding is "EXPLICIT"`},
		{"no output", `{"size": "6"}`, `{"size": "5"}`, nil, `0 of its outputs have the shape`},
		{"no JSON", `{"format"`, `["format"`, nil, `none of its 2 *.json files is a TensorFlow.js model`},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			text, weights := strings.Replace(small, c.old, c.replacement, 1), c.weights
			if weights == nil {
				weights = smallWeights()
			}
			path := filepath.Join(t.TempDir(), "out.onnx")
			err := run(writeSmall(t, text, weights), path)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("the error is %v: want %q in it", err, c.want)
			}
			if err != nil && strings.Contains(err.Error(), "\n") {
				t.Errorf("the error %q has more than one line", err)
			}
			if _, err := os.Stat(path); err == nil {
				t.Error("there is a file after the error")
			}
		})
	}
}

func TestFloat16(t *testing.T) {
	for bits, want := range map[uint16]string{
		0x3c00: "1", 0xc000: "-2", 0x7bff: "65504", 0x0001: "5.9604645e-08", 0x0400: "6.1035156e-05", 0x3555: "0.33325195",
		0x0000: "0", 0x8000: "-0", 0x7c00: "+Inf", 0xfc00: "-Inf", 0x7e00: "NaN",
	} {
		if got := fmt.Sprint(float16(bits)); got != want {
			t.Errorf("float16(%#04x) is %s: want %s", bits, got, want)
		}
	}
}

// Whatever the bytes, the converter answers: with an error, or with a file.
func FuzzConvert(f *testing.F) {
	f.Fuzz(func(_ *testing.T, text, weights []byte) {
		d, err := parseDescription(text)
		if err != nil {
			return
		}
		w, err := readWeights(d.Manifest, func(string, int64) ([]byte, error) { return weights, nil })
		if err != nil {
			return
		}
		graph, err := convert(d, w)
		if err != nil {
			return
		}
		_, _ = model(graph).Encode()
	})
}
