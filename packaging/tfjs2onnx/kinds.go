package main

import (
	"errors"
	"fmt"
	"slices"

	"vedette/infer/onnxfile"
)

// kind is how one kind of node is converted: with how many inputs, and by what.
type kind struct {
	least, most int
	convert     func(c *converter, n *node, in []tensor) (tensor, error)
	takesFactor bool // convert sees to what its inputs owe; else they owe nothing
}

// kinds are those that the default model has, by TensorFlow's name. What each does is told by TensorFlow's op
// definitions (tensorflow/core/ops/*.cc) and by ONNX's operators of set 13.
func kinds() map[string]kind {
	return map[string]kind{
		"Placeholder": {0, 0, (*converter).placeholder, false},
		"Const":       {0, 0, (*converter).weight, false},
		"Identity":    {1, 1, (*converter).identity, true},

		"Conv2D":                     {2, 2, (*converter).convolution, true},
		"_FusedConv2D":               {2, 3, (*converter).convolution, true},
		"DepthwiseConv2dNative":      {2, 2, (*converter).convolution, true},
		"FusedDepthwiseConv2dNative": {2, 3, (*converter).convolution, true},
		"MaxPool":                    {1, 1, (*converter).maxPool, false},
		"ResizeBilinear":             {2, 2, (*converter).resize, false},
		"Mean":                       {2, 2, (*converter).mean, true},

		"Relu":    {1, 1, (*converter).unary, false},
		"Relu6":   {1, 1, (*converter).relu6, false},
		"Sigmoid": {1, 1, (*converter).unary, false},
		"Cast":    {1, 1, (*converter).cast, false},

		"Add":      {2, 2, (*converter).binary, false},
		"Sub":      {2, 2, (*converter).binary, false},
		"Mul":      {2, 2, (*converter).product, true},
		"Equal":    {2, 2, (*converter).binary, false},
		"FloorDiv": {2, 2, (*converter).binary, false},
		"FloorMod": {2, 2, (*converter).binary, false},

		"ConcatV2":     {2, 1 << 10, (*converter).concat, false},
		"Reshape":      {2, 2, (*converter).reshape, false},
		"ExpandDims":   {2, 2, (*converter).expandDims, false},
		"StridedSlice": {4, 4, (*converter).stridedSlice, false},
		"GatherV2":     {3, 3, (*converter).gather, false},
		"TopKV2":       {2, 2, (*converter).topK, false},
	}
}

func (c *converter) placeholder(n *node, _ []tensor) (tensor, error) {
	shape, err := n.Attrs["shape"].Shape.dims()
	if err != nil {
		return tensor{}, err
	}
	if len(shape) != 4 || shape[0] != 1 || shape[3] != 3 || n.Attrs["dtype"].Type != "DT_FLOAT" {
		return tensor{}, fmt.Errorf("the input is %s %v: DT_FLOAT [1 H W 3] is expected", n.Attrs["dtype"].Type, shape)
	}
	if len(c.graph.Inputs) != 0 {
		return tensor{}, errors.New("it is a second input: one is expected")
	}
	// Pictures come in as convolutions want them.
	turned := []int64{shape[0], shape[3], shape[1], shape[2]}
	c.graph.Inputs = []onnxfile.ValueInfo{{Name: inputName, Type: onnxfile.Float32, Shape: turned}}
	return tensor{name: inputName, shape: shape, layout: nchw, kind: onnxfile.Float32, factor: 1}, nil
}

func (c *converter) weight(n *node, _ []tensor) (tensor, error) {
	w, ok := c.weights[n.Name]
	if !ok {
		return tensor{}, errors.New("the weights manifest has no such weight")
	}
	t := tensor{name: n.Name, shape: w.shape, kind: onnxfile.Float32, factor: 1, value: &w}
	if w.ints != nil {
		t.kind = onnxfile.Int32
	}
	return t, nil
}

func (c *converter) identity(_ *node, in []tensor) (tensor, error) { return in[0], nil }

// unary is an operation on each element, whatever their order.
func (c *converter) unary(n *node, in []tensor) (tensor, error) {
	t := in[0]
	if t.kind != onnxfile.Float32 {
		return tensor{}, errors.New("its input is not float32")
	}
	if t.value != nil {
		t = c.store(t)
	}
	t.name = c.activation(n.Op, n.Name, t.name)
	return t, nil
}

// activation is a unary operation on float32, alone or at the end of a fused node.
func (c *converter) activation(op, name, input string) string {
	if op != "Relu6" {
		return c.add(op, name, []string{input})
	}
	zero := c.constant(onnxfile.Float32s("zero", nil, []float32{0}))
	six := c.constant(onnxfile.Float32s("six", nil, []float32{6}))
	return c.add("Clip", name, []string{input, zero, six})
}

func (c *converter) cast(n *node, in []tensor) (tensor, error) {
	t := in[0]
	to, ok := map[string]onnxfile.DataType{"DT_FLOAT": onnxfile.Float32, "DT_INT32": onnxfile.Int32}[n.Attrs["DstT"].Type]
	if !ok {
		return tensor{}, fmt.Errorf("data type %q is none of DT_FLOAT and DT_INT32", n.Attrs["DstT"].Type)
	}
	if t.value != nil {
		t = c.store(t)
	}
	t.name, t.kind = c.add("Cast", n.Name, []string{t.name}, onnxfile.Int("to", int64(to))), to
	return t, nil
}

// binary is an operation on the elements of two tensors, one of which may be repeated to fit the other.
func (c *converter) binary(n *node, in []tensor) (tensor, error) {
	a, b := in[0], in[1]
	if a.kind != b.kind || a.kind == onnxfile.Bool {
		return tensor{}, errors.New("its inputs are not both float32 or both int32")
	}
	shape, err := broadcast(a.shape, b.shape)
	if err != nil {
		return tensor{}, err
	}
	a, b, order, err := c.align(a, b)
	if err != nil {
		return tensor{}, err
	}
	t := tensor{name: n.Name, shape: shape, layout: order, kind: a.kind, factor: 1}
	operands := []string{a.name, b.name}
	switch {
	case n.Op == "Equal":
		t.kind = onnxfile.Bool
		c.add("Equal", n.Name, operands)
	case n.Op == "Add" || n.Op == "Sub" || n.Op == "Mul":
		c.add(n.Op, n.Name, operands)
	case a.kind != onnxfile.Int32:
		return tensor{}, errors.New("it can be converted for int32 only")
	case n.Op == "FloorMod": // ONNX's Mod takes the divisor's sign too
		c.add("Mod", n.Name, operands)
	default: // FloorDiv: ONNX's Div rounds towards zero, but divides exactly where nothing remains
		rest := c.add("Mod", n.Name+"/rest", operands)
		whole := c.add("Sub", n.Name+"/whole", []string{a.name, rest})
		c.add("Div", n.Name, []string{whole, b.name})
	}
	return t, nil
}

// align gives two tensors as ONNX values that broadcast against each other: in NCHW where one is a picture in NCHW and
// the other can be.
func (c *converter) align(a, b tensor) (tensor, tensor, layout, error) {
	var err error
	if a.layout == asIs && b.layout == asIs {
		if a, err = c.plain(a); err != nil {
			return a, b, asIs, err
		}
		b, err = c.plain(b)
		return a, b, asIs, err
	}
	for _, t := range []*tensor{&a, &b} {
		switch {
		case t.layout == nchw:
		case t.value != nil && len(t.value.floats)+len(t.value.ints) == 1 && len(t.shape) <= 4:
			*t = c.store(*t) // one element fits every order
		case t.value != nil && len(t.shape) <= 4:
			*t = c.store(t.constantNCHW())
		case len(t.shape) == 4:
			*t, err = c.picture(*t)
		default:
			err = fmt.Errorf("a computed tensor of shape %v with a picture", t.shape)
		}
		if err != nil {
			return a, b, nchw, err
		}
	}
	return a, b, nchw, nil
}

// broadcast is NumPy's rule, which TensorFlow and ONNX share.
func broadcast(a, b []int64) ([]int64, error) {
	if len(a) < len(b) {
		a, b = b, a
	}
	shape := slices.Clone(a)
	for i, d := range b {
		at := &shape[len(a)-len(b)+i]
		switch {
		case *at == 1:
			*at = d
		case d != 1 && d != *at:
			return nil, fmt.Errorf("shapes %v and %v do not fit", a, b)
		}
	}
	return shape, nil
}
