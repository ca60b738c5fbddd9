package main

import (
	"errors"
	"fmt"
	"slices"

	"vedette/infer/onnxfile"
)

// ints gives a constant of int32 as a list.
func (t tensor) ints() ([]int64, error) {
	if t.value == nil || t.value.ints == nil {
		return nil, errors.New("a constant of int32 is expected")
	}
	if len(t.value.ints) > maxRank {
		return nil, fmt.Errorf("%d numbers are more than %d", len(t.value.ints), maxRank)
	}
	list := make([]int64, 0, maxRank)
	for _, v := range t.value.ints {
		list = append(list, int64(v))
	}
	return list, nil
}

// axis gives a constant that is one dimension's number, counted from 0, of rank dimensions.
func (t tensor) axis(rank int) (int64, error) {
	list, err := t.ints()
	if err != nil {
		return 0, fmt.Errorf("axis: %w", err)
	}
	if len(list) != 1 || list[0] < -int64(rank) || list[0] >= int64(rank) {
		return 0, fmt.Errorf("axis %v is none of the %d dimensions", list, rank)
	}
	if list[0] < 0 {
		return list[0] + int64(rank), nil
	}
	return list[0], nil
}

func (c *converter) concat(n *node, in []tensor) (tensor, error) {
	parts, last := in[:len(in)-1], in[len(in)-1]
	t := tensor{name: n.Name, shape: slices.Clone(parts[0].shape), kind: parts[0].kind, factor: 1}
	axis, err := last.axis(len(t.shape))
	if err != nil {
		return tensor{}, err
	}
	for _, p := range parts {
		if p.layout == nchw {
			t.layout = nchw
		}
	}
	t.shape[axis] = 0
	var names []string
	for _, p := range parts {
		if len(p.shape) != len(t.shape) || p.kind != t.kind {
			return tensor{}, fmt.Errorf("its inputs differ in kind: %v and %v", parts[0].shape, p.shape)
		}
		for i, d := range p.shape {
			if int64(i) != axis && d != t.shape[i] {
				return tensor{}, fmt.Errorf("its inputs do not fit: %v and %v", parts[0].shape, p.shape)
			}
		}
		t.shape[axis] += p.shape[axis]
		inOrder := c.plain
		if t.layout == nchw {
			inOrder = c.picture
		}
		if p, err = inOrder(p); err != nil {
			return tensor{}, err
		}
		names = append(names, p.name)
	}
	if t.layout == nchw {
		axis = []int64{0, 2, 3, 1}[axis]
	}
	c.add("Concat", n.Name, names, onnxfile.Int("axis", axis))
	return t, nil
}

func (c *converter) reshape(n *node, in []tensor) (tensor, error) {
	shape, err := in[1].ints()
	if err != nil {
		return tensor{}, fmt.Errorf("shape: %w", err)
	}
	total, err := elements(in[0].shape)
	if err != nil {
		return tensor{}, err
	}
	known, free := int64(1), -1
	for i, d := range shape {
		switch {
		case d == -1 && free == -1:
			free = i
		case d < 1 || d > maxElements || known > maxElements:
			return tensor{}, fmt.Errorf("shape %v cannot be converted", shape)
		default:
			known *= d
		}
	}
	if free >= 0 && total%known == 0 {
		shape[free] = total / known
		known = total
	}
	if known != total {
		return tensor{}, fmt.Errorf("shape %v does not fit %v", shape, in[0].shape)
	}
	x, err := c.plain(in[0])
	if err != nil {
		return tensor{}, err
	}
	x.name = c.add("Reshape", n.Name, []string{x.name, c.constant(onnxfile.Int64s(n.Name+"/shape", shape...))})
	x.shape = shape
	return x, nil
}

func (c *converter) expandDims(n *node, in []tensor) (tensor, error) {
	axis, err := in[1].axis(len(in[0].shape) + 1)
	if err != nil {
		return tensor{}, err
	}
	x, err := c.plain(in[0])
	if err != nil {
		return tensor{}, err
	}
	x.name = c.add("Unsqueeze", n.Name, []string{x.name, c.constant(onnxfile.Int64s(n.Name+"/axes", axis))})
	x.shape = slices.Insert(slices.Clone(x.shape), int(axis), 1)
	return x, nil
}

// stridedSlice with a step of 1, which neither adds nor drops dimensions.
func (c *converter) stridedSlice(n *node, in []tensor) (tensor, error) {
	var bounds [3][]int64
	for i, name := range []string{"begin", "end", "strides"} {
		list, err := in[i+1].ints()
		if err != nil {
			return tensor{}, fmt.Errorf("%s: %w", name, err)
		}
		if len(list) == 0 || len(list) > len(in[0].shape) || i > 0 && len(list) != len(bounds[0]) {
			return tensor{}, fmt.Errorf("%s has %d numbers, for %d dimensions", name, len(list), len(in[0].shape))
		}
		bounds[i] = list
	}
	var masks [2]int64 // bit i: dimension i begins at its beginning, ends at its end
	for i, name := range []string{"begin_mask", "end_mask", "shrink_axis_mask", "new_axis_mask", "ellipsis_mask"} {
		mask, err := n.int(name)
		if err != nil {
			return tensor{}, err
		}
		if i < len(masks) {
			masks[i] = mask
		} else if mask != 0 {
			return tensor{}, fmt.Errorf("attribute %s is %d: only 0 can be converted", name, mask)
		}
	}
	shape := slices.Clone(in[0].shape)
	for i, size := range shape[:len(bounds[0])] {
		if bounds[2][i] != 1 {
			return tensor{}, fmt.Errorf("a step of %d cannot be converted", bounds[2][i])
		}
		bounds[0][i] = bound(bounds[0][i], size, masks[0]>>i&1 == 1, 0)
		bounds[1][i] = bound(bounds[1][i], size, masks[1]>>i&1 == 1, size)
		if shape[i] = bounds[1][i] - bounds[0][i]; shape[i] < 1 {
			return tensor{}, fmt.Errorf("nothing is left of dimension %d", i)
		}
	}
	x, err := c.plain(in[0])
	if err != nil {
		return tensor{}, err
	}
	x.name = c.add("Slice", n.Name, []string{
		x.name, c.constant(onnxfile.Int64s(n.Name+"/begin", bounds[0]...)),
		c.constant(onnxfile.Int64s(n.Name+"/end", bounds[1]...)),
	})
	x.shape = shape
	return x, nil
}

// bound resolves one bound of a slice as Python does: masked it is at the edge, below 0 it counts from the end.
func bound(v, size int64, masked bool, edge int64) int64 {
	if masked {
		return edge
	}
	if v < 0 {
		v += size
	}
	return min(max(v, 0), size)
}

func (c *converter) gather(n *node, in []tensor) (tensor, error) {
	axis, err := in[2].axis(len(in[0].shape))
	if err != nil {
		return tensor{}, err
	}
	if batch, err := n.int("batch_dims"); err != nil || batch != 0 {
		return tensor{}, errors.New("attribute batch_dims must be 0")
	}
	if in[1].kind != onnxfile.Int32 || len(in[0].shape)+len(in[1].shape) > maxRank+1 {
		return tensor{}, fmt.Errorf("indices of shape %v cannot be converted", in[1].shape)
	}
	x, err := c.plain(in[0])
	if err != nil {
		return tensor{}, err
	}
	indices, err := c.plain(in[1])
	if err != nil {
		return tensor{}, err
	}
	x.shape = slices.Concat(x.shape[:axis], indices.shape, x.shape[axis+1:])
	x.name = c.add("Gather", n.Name, []string{x.name, indices.name}, onnxfile.Int("axis", axis))
	return x, nil
}

// topK finds the k largest along the last dimension, in falling order, and where they are: TensorFlow says that in
// int32, ONNX in int64.
func (c *converter) topK(n *node, in []tensor) (tensor, error) {
	x, err := c.plain(in[0])
	if err != nil {
		return tensor{}, err
	}
	k, err := in[1].ints()
	rank := len(x.shape)
	if err != nil || len(k) != 1 || rank == 0 || k[0] < 1 || k[0] > x.shape[rank-1] || x.kind != onnxfile.Float32 {
		return tensor{}, fmt.Errorf("k of %v cannot be converted for shape %v", k, x.shape)
	}
	x.shape = append(slices.Clone(x.shape[:rank-1]), k[0])
	places := n.Name + "/places"
	c.graph.Nodes = append(c.graph.Nodes, onnxfile.Node{
		Op: "TopK", Name: n.Name, Inputs: []string{x.name, c.constant(onnxfile.Int64s(n.Name+"/k", k...))},
		Outputs: []string{n.Name, places},
		Attributes: []onnxfile.Attribute{
			onnxfile.Int("axis", int64(rank-1)), onnxfile.Int("largest", 1), onnxfile.Int("sorted", 1),
		},
	})
	x.name = n.Name
	second := tensor{name: n.Name + ":1", shape: x.shape, kind: onnxfile.Int32, factor: 1}
	c.add("Cast", second.name, []string{places}, onnxfile.Int("to", int64(onnxfile.Int32)))
	c.tensors[second.name] = second
	return x, nil
}
