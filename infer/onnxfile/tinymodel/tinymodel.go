// Package tinymodel writes a detector small enough for tests, which finds red things.
package tinymodel

import (
	"fmt"
	"io"

	"vedette/infer/onnxfile"
)

// The bounds of a size.
const (
	MinSize = 8
	MaxSize = 4096
)

// Rows is how many rows the output has; the first one is the detection.
const Rows = 100

// Threshold is by how much red must exceed green, and blue, for a pixel to count as red.
const Threshold = 100

// Write writes the model for pictures of size by size pixels. It has the default model's contract:
//
//   - input "images", float32 [1, size, size, 3], RGB, 0..255;
//   - output "detections", float32 [1, 100, 6], a row being x1, y1, x2, y2 in input pixels, score, class;
//   - metadata: family "centernet", names ["person"].
//
// A pixel counts where R - max(G, B) > 100. The first row is the box around the pixels that count: x1, y1 of the
// leftmost and topmost one, x2, y2 one more than the rightmost and lowest one's. Its score is the mean of
// (R - max(G, B)) / 255 over the pixels that count, which is between 100/255 and 1; its class is 0. Without such a
// pixel the first row is all zeros, as the others always are. The same size gives the same bytes.
func Write(w io.Writer, size int) error {
	if size < MinSize || size > MaxSize {
		return fmt.Errorf("cannot write the tiny model: size %d is outside %d to %d", size, MinSize, MaxSize)
	}
	model := onnxfile.Model{
		Producer: "vedette tinymodel", Opset: 13, Graph: graph(int64(size)),
		Metadata: []onnxfile.Property{
			{Key: "family", Value: "centernet"},
			{Key: "names", Value: `["person"]`},
			{Key: "title", Value: "Box around what is red"},
			{Key: "source", Value: "vedette/infer/onnxfile/tinymodel"},
		},
	}
	data, err := model.Encode()
	if err != nil {
		return err
	}
	if _, err := w.Write(data); err != nil {
		return fmt.Errorf("cannot write the tiny model: %w", err)
	}
	return nil
}

// graph computes, with the redness r = R - max(G, B) of each pixel and the mask m = r > 100:
//
//	columns = max of m over y; x2 = max of columns * (x+1); x1 = any * (size - max of columns * (size-x))
//	score = sum of r*m / max(1, sum of m) / 255
//
// and the same for rows; any is whether there is such a pixel, so that x1 and y1 are 0 without.
func graph(size int64) onnxfile.Graph {
	b := builder{}
	b.floats("threshold", nil, Threshold)
	b.floats("one", nil, 1)
	b.floats("full", nil, 255)
	b.floats("size", nil, float32(size))
	up, down := make([]float32, size), make([]float32, size)
	for i := range up {
		up[i], down[i] = float32(i+1), float32(int(size)-i)
	}
	b.floats("up", []int64{1, size}, up...)
	b.floats("down", []int64{1, size}, down...)
	b.floats("class", []int64{1, 1}, 0)
	b.list("0", 0)
	b.list("1", 1)
	b.list("3", 3)
	b.list("last", -1)
	b.list("cell", 1, 1)
	b.list("row", 1, 1, 6)
	b.list("padding", 0, 0, 0, 0, Rows-1, 0)

	b.node("red", "Slice", "images", "0", "1", "last")
	b.node("others", "Slice", "images", "1", "3", "last")
	b.node("brighter", "ReduceMax", "others").Attributes = reduce(1, 3)
	b.node("redness4", "Sub", "red", "brighter")
	b.node("redness", "Squeeze", "redness4", "last") // [1, size, size]
	b.node("counts", "Greater", "redness", "threshold")
	b.node("mask", "Cast", "counts").Attributes = []onnxfile.Attribute{onnxfile.Int("to", int64(onnxfile.Float32))}

	b.node("columns", "ReduceMax", "mask").Attributes = reduce(0, 1) // [1, size]
	b.node("rows", "ReduceMax", "mask").Attributes = reduce(0, 2)
	b.node("any", "ReduceMax", "columns").Attributes = reduce(1, 1) // [1, 1]
	for _, side := range []struct{ line, least, most string }{{"columns", "x1", "x2"}, {"rows", "y1", "y2"}} {
		b.node(side.most+"/each", "Mul", side.line, "up")
		b.node(side.most, "ReduceMax", side.most+"/each").Attributes = reduce(1, 1)
		b.node(side.least+"/each", "Mul", side.line, "down")
		b.node(side.least+"/rest", "ReduceMax", side.least+"/each").Attributes = reduce(1, 1)
		b.node(side.least+"/first", "Sub", "size", side.least+"/rest")
		b.node(side.least, "Mul", side.least+"/first", "any")
	}

	b.node("masked", "Mul", "redness", "mask")
	b.node("total", "ReduceSum", "masked").Attributes = []onnxfile.Attribute{onnxfile.Int("keepdims", 0)}
	b.node("pixels", "ReduceSum", "mask").Attributes = []onnxfile.Attribute{onnxfile.Int("keepdims", 0)}
	b.node("divisor", "Max", "pixels", "one")
	b.node("mean", "Div", "total", "divisor")
	b.node("share", "Div", "mean", "full")
	b.node("score", "Reshape", "share", "cell")

	b.node("numbers", "Concat", "x1", "y1", "x2", "y2", "score", "class").Attributes = []onnxfile.Attribute{onnxfile.Int("axis", 1)}
	b.node("first", "Reshape", "numbers", "row")
	b.node("detections", "Pad", "first", "padding")

	b.g.Name = "tiny"
	b.g.Inputs = []onnxfile.ValueInfo{{Name: "images", Type: onnxfile.Float32, Shape: []int64{1, size, size, 3}}}
	b.g.Outputs = []onnxfile.ValueInfo{{Name: "detections", Type: onnxfile.Float32, Shape: []int64{1, Rows, 6}}}
	return b.g
}

func reduce(keep, axis int64) []onnxfile.Attribute {
	return []onnxfile.Attribute{onnxfile.Int("keepdims", keep), onnxfile.Ints("axes", axis)}
}

type builder struct{ g onnxfile.Graph }

func (b *builder) floats(name string, shape []int64, values ...float32) {
	b.g.Initializers = append(b.g.Initializers, onnxfile.Float32s(name, shape, values))
}

func (b *builder) list(name string, values ...int64) {
	b.g.Initializers = append(b.g.Initializers, onnxfile.Int64s(name, values...))
}

// node appends a node whose one output has the node's name; the pointer is valid until the next one.
func (b *builder) node(name, op string, inputs ...string) *onnxfile.Node {
	b.g.Nodes = append(b.g.Nodes, onnxfile.Node{Op: op, Name: name, Inputs: inputs, Outputs: []string{name}})
	return &b.g.Nodes[len(b.g.Nodes)-1]
}
