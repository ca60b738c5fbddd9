package main

import (
	"fmt"
	"slices"
	"strings"

	"vedette/infer/onnxfile"
)

const opset = 13

// layout is the order in which an ONNX tensor keeps the dimensions of TensorFlow's.
type layout uint8

const (
	asIs layout = iota // TensorFlow's own: for a picture N, H, W, C
	nchw               // of a picture: N, C, H, W, in which ONNX convolves
)

// tensor is a value in the graph under construction.
type tensor struct {
	name   string // ONNX's
	shape  []int64
	layout layout
	kind   onnxfile.DataType
	factor float32 // owed: see factor.go
	value  *weight // of a constant, which enters the ONNX graph only where a node asks for it
}

// converter turns a TensorFlow graph into ONNX, node by node, from the output back to the input. Pictures are in NCHW from
// the input on, and return to TensorFlow's order only where the order of elements matters: a run takes 31.9 ms with one thread of
// an EPYC; with an input in NHWC 32.5, with transposes around each convolution 35.9.
type converter struct {
	kinds   map[string]kind
	nodes   map[string]*node
	weights map[string]weight
	graph   onnxfile.Graph
	tensors map[string]tensor // by TensorFlow's name: "node", or "node:1" for a second output
	visited map[string]bool   // nodes begun
	turned  map[string]string // tensors in NCHW and in TensorFlow's order, each to its counterpart
	stored  map[string]bool   // constants in the graph
	paid    map[owed]string   // tensors that owe, each to the one that does not
}

// convert makes the ONNX graph with the input "images" and the output "detections".
func convert(d *description, weights map[string]weight) (onnxfile.Graph, error) {
	out, err := d.output(1, -1, 6)
	if err != nil {
		return onnxfile.Graph{}, err
	}
	c := &converter{
		kinds: kinds(), nodes: map[string]*node{}, weights: weights, tensors: map[string]tensor{},
		visited: map[string]bool{}, turned: map[string]string{}, stored: map[string]bool{}, paid: map[owed]string{},
	}
	c.graph.Name = "centernet"
	for _, n := range d.Topology.Nodes {
		c.nodes[n.Name] = n
	}
	t, err := c.tensor(out.Name)
	if err != nil {
		return onnxfile.Graph{}, err
	}
	if len(t.shape) != 3 || t.shape[0] != 1 || t.shape[2] != 6 || t.kind != onnxfile.Float32 {
		return onnxfile.Graph{}, fmt.Errorf("output %q has the shape %v: [1 N 6] is expected", out.Name, t.shape)
	}
	if len(c.graph.Inputs) != 1 {
		return onnxfile.Graph{}, fmt.Errorf("the output depends on %d inputs: one is expected", len(c.graph.Inputs))
	}
	if t, err = c.plain(c.pay(t)); err != nil {
		return onnxfile.Graph{}, err
	}
	c.add("Identity", outputName, []string{t.name})
	c.graph.Outputs = []onnxfile.ValueInfo{{Name: outputName, Type: t.kind, Shape: t.shape}}
	prune(&c.graph)
	return c.graph, nil
}

// tensor gives the value that TensorFlow calls name, and converts what makes it first.
func (c *converter) tensor(name string) (tensor, error) {
	name = strings.TrimSuffix(name, ":0")
	if t, ok := c.tensors[name]; ok {
		return t, nil
	}
	from, _, _ := strings.Cut(name, ":")
	n, ok := c.nodes[from]
	if !ok {
		return tensor{}, fmt.Errorf("there is no node %q, which another one needs", from)
	}
	if c.visited[from] {
		return tensor{}, fmt.Errorf("node %q (%s): there is no output %q, or it needs itself", n.Name, n.Op, name)
	}
	c.visited[from] = true
	if err := c.node(n); err != nil {
		return tensor{}, err
	}
	t, ok := c.tensors[name]
	if !ok {
		return tensor{}, fmt.Errorf("node %q (%s): there is no output %q", n.Name, n.Op, name)
	}
	return t, nil
}

// node converts one node, after those that it needs.
func (c *converter) node(n *node) error {
	in := make([]tensor, 0, len(n.Inputs))
	for _, name := range n.Inputs {
		if strings.HasPrefix(name, "^") { // an order of execution, no value
			continue
		}
		t, err := c.tensor(name)
		if err != nil {
			return err
		}
		in = append(in, t)
	}
	kind, ok := c.kinds[n.Op]
	if !ok {
		return fmt.Errorf("node %q (%s): this kind of node cannot be converted", n.Name, n.Op)
	}
	if len(in) < kind.least || len(in) > kind.most {
		return fmt.Errorf("node %q (%s): %d inputs are outside %d to %d", n.Name, n.Op, len(in), kind.least, kind.most)
	}
	for i := range in {
		if !kind.takesFactor {
			in[i] = c.pay(in[i])
		}
	}
	t, err := kind.convert(c, n, in)
	if err != nil {
		return fmt.Errorf("node %q (%s): %w", n.Name, n.Op, err)
	}
	if _, err := elements(t.shape); err != nil {
		return fmt.Errorf("node %q (%s): %w", n.Name, n.Op, err)
	}
	c.tensors[n.Name] = t
	return nil
}

// add appends an ONNX node with one output, whose name is the node's too.
func (c *converter) add(op, name string, inputs []string, attributes ...onnxfile.Attribute) string {
	c.graph.Nodes = append(c.graph.Nodes, onnxfile.Node{
		Op: op, Name: name, Inputs: inputs, Outputs: []string{name}, Attributes: attributes,
	})
	return name
}

// constant puts a constant into the graph, once, and gives its name.
func (c *converter) constant(t onnxfile.Tensor) string {
	if !c.stored[t.Name] {
		c.stored[t.Name] = true
		c.graph.Initializers = append(c.graph.Initializers, t)
	}
	return t.Name
}

// plain gives t as an ONNX value in TensorFlow's order.
func (c *converter) plain(t tensor) (tensor, error) {
	if t.value != nil {
		return c.store(t), nil
	}
	if t.layout == nchw {
		return c.turn(t, asIs, 0, 2, 3, 1), nil
	}
	return t, nil
}

// picture gives t as an ONNX value in NCHW.
func (c *converter) picture(t tensor) (tensor, error) {
	if len(t.shape) != 4 {
		return tensor{}, fmt.Errorf("a tensor of shape %v is no picture [N H W C]", t.shape)
	}
	if t.value != nil {
		return c.store(t.constantNCHW()), nil
	}
	if t.layout == asIs {
		return c.turn(t, nchw, 0, 3, 1, 2), nil
	}
	return t, nil
}

func (c *converter) turn(t tensor, to layout, order ...int64) tensor {
	name, ok := c.turned[t.name]
	if !ok {
		suffix := map[layout]string{asIs: "/nhwc", nchw: "/nchw"}[to]
		name = c.add("Transpose", t.name+suffix, []string{t.name}, onnxfile.Ints("perm", order...))
		c.turned[t.name], c.turned[name] = name, t.name
	}
	t.name, t.layout = name, to
	return t
}

// store makes a constant an ONNX value, in the order that its data is in.
func (c *converter) store(t tensor) tensor {
	shape := t.value.shape
	if t.kind == onnxfile.Int32 {
		c.constant(onnxfile.Int32s(t.name, shape, t.value.ints))
	} else {
		c.constant(onnxfile.Float32s(t.name, shape, t.value.floats))
	}
	t.value = nil
	return t
}

// constantNCHW is a constant that broadcasts against pictures in NCHW as t does against those in NHWC. Its shape, as
// every tensor's, stays TensorFlow's; its data's becomes NCHW.
func (t tensor) constantNCHW() tensor {
	shape := slices.Concat(slices.Repeat([]int64{1}, max(0, 4-len(t.shape))), t.shape)
	turned := *t.value
	turned.shape = shape
	turned = turned.permute(0, 3, 1, 2)
	return tensor{name: t.name + "/nchw", shape: shape, layout: nchw, kind: t.kind, factor: 1, value: &turned}
}

// permute gives a weight of four dimensions with its dimensions in another order.
func (w weight) permute(order ...int) weight {
	var stride, size [4]int64
	step := int64(1)
	for i := len(order) - 1; i >= 0; i-- {
		stride[i] = step
		step *= w.shape[i]
	}
	p := weight{shape: make([]int64, len(order))}
	for i, from := range order {
		p.shape[i], size[i] = w.shape[from], stride[from]
	}
	for a := range p.shape[0] {
		for b := range p.shape[1] {
			for c := range p.shape[2] {
				for d := range p.shape[3] {
					at := a*size[0] + b*size[1] + c*size[2] + d*size[3]
					if w.floats != nil {
						p.floats = append(p.floats, w.floats[at])
					} else {
						p.ints = append(p.ints, w.ints[at])
					}
				}
			}
		}
	}
	return p
}
