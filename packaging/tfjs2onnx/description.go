package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// Bounds on what a folder may bring: far above what a camera's model needs, far below what hurts.
const (
	maxDescription = 64 << 20  // bytes of JSON
	maxWeights     = 512 << 20 // bytes of all weight files
	maxNodes       = 20_000
	maxRank        = 8
	maxElements    = 1 << 28 // of one tensor
)

// description is a TensorFlow.js graph model's JSON file: https://github.com/tensorflow/tfjs, interface ModelJSON, with
// TensorFlow's GraphDef in protobuf's JSON mapping as its topology.
type description struct {
	Format    string `json:"format"`
	Signature struct {
		Inputs  map[string]signature `json:"inputs"`
		Outputs map[string]signature `json:"outputs"`
	} `json:"signature"`
	Topology struct {
		Nodes []*node `json:"node"`
	} `json:"modelTopology"`
	Manifest []manifest `json:"weightsManifest"`
}

type signature struct {
	Name  string     `json:"name"`
	Type  string     `json:"dtype"`
	Shape protoShape `json:"tensorShape"`
}

type protoShape struct {
	Dim []struct {
		Size json.Number `json:"size"`
	} `json:"dim"`
}

// dims gives the shape; each dimension must be known.
func (s protoShape) dims() ([]int64, error) {
	if len(s.Dim) > maxRank {
		return nil, fmt.Errorf("%d dimensions are more than %d", len(s.Dim), maxRank)
	}
	var dims []int64
	for _, d := range s.Dim {
		n, err := d.Size.Int64()
		if err != nil || n < 1 {
			return nil, fmt.Errorf("dimension %q is not a positive number", d.Size)
		}
		dims = append(dims, n)
	}
	if _, err := elements(dims); err != nil {
		return nil, err
	}
	return dims, nil
}

// elements is how many a tensor of this shape has.
func elements(shape []int64) (int64, error) {
	n := int64(1)
	for _, d := range shape {
		if d < 0 || d > maxElements || n*d > maxElements {
			return 0, fmt.Errorf("shape %v has more than %d elements", shape, maxElements)
		}
		n *= d
	}
	return n, nil
}

// node is TensorFlow's NodeDef.
type node struct {
	Name   string               `json:"name"`
	Op     string               `json:"op"`
	Inputs []string             `json:"input"`
	Attrs  map[string]attribute `json:"attr"`
}

// attribute is TensorFlow's AttrValue, as far as the known kinds of node need it. Texts are base64.
type attribute struct {
	S     []byte      `json:"s"`
	I     json.Number `json:"i"`
	B     bool        `json:"b"`
	Type  string      `json:"type"`
	Shape struct {
		protoShape
	} `json:"shape"`
	List struct {
		I []json.Number `json:"i"`
		S [][]byte      `json:"s"`
	} `json:"list"`
}

func (n *node) text(name string) string { return string(n.Attrs[name].S) }
func (n *node) flag(name string) bool   { return n.Attrs[name].B }

// int gives an integer attribute, 0 where the node has none of that name.
func (n *node) int(name string) (int64, error) {
	number := n.Attrs[name].I
	if number == "" {
		return 0, nil
	}
	v, err := number.Int64()
	if err != nil {
		return 0, fmt.Errorf("attribute %s is %q: an integer is expected", name, number)
	}
	return v, nil
}

// window gives the height's and the width's entry of an attribute with one for each of N, H, W, C.
func (n *node) window(name string) (h, w int64, err error) {
	list := n.Attrs[name].List.I
	var v [4]int64
	if len(list) != len(v) {
		return 0, 0, fmt.Errorf("attribute %s has %d numbers: 4 are expected", name, len(list))
	}
	for i, number := range list {
		if v[i], err = number.Int64(); err != nil || v[i] < 1 || v[i] > 1<<16 {
			return 0, 0, fmt.Errorf("attribute %s has %q: a number of 1 to 65536 is expected", name, number)
		}
	}
	if v[0] != 1 || v[3] != 1 {
		return 0, 0, fmt.Errorf("attribute %s is %v: it may differ from 1 in height and width only", name, v)
	}
	return v[1], v[2], nil
}

// fused gives the operations that a fused node does after its own.
func (n *node) fused() []string {
	var all []string
	for _, s := range n.Attrs["fused_ops"].List.S {
		all = append(all, string(s))
	}
	return all
}

// parseDescription reads the JSON file.
func parseDescription(data []byte) (*description, error) {
	if len(data) > maxDescription {
		return nil, fmt.Errorf("%d bytes are more than %d", len(data), maxDescription)
	}
	d := new(description)
	if err := json.Unmarshal(data, d); err != nil {
		return nil, err
	}
	if d.Format != "graph-model" {
		return nil, fmt.Errorf("its format is %q: only a TensorFlow.js graph-model can be converted", d.Format)
	}
	if n := len(d.Topology.Nodes); n == 0 || n > maxNodes {
		return nil, fmt.Errorf("%d nodes are outside 1 to %d", n, maxNodes)
	}
	seen := map[string]bool{}
	for i, n := range d.Topology.Nodes {
		if n == nil || n.Name == "" || strings.Contains(n.Name, ":") || seen[n.Name] {
			return nil, fmt.Errorf("node %d has no name of its own", i)
		}
		seen[n.Name] = true
	}
	return d, nil
}

// output is the signature's one output of the given shape, -1 standing for any.
func (d *description) output(shape ...int64) (signature, error) {
	var found []signature
	for _, s := range d.Signature.Outputs {
		dims, err := s.Shape.dims()
		if err != nil {
			return signature{}, fmt.Errorf("output %q: %w", s.Name, err)
		}
		if slices.EqualFunc(dims, shape, func(d, want int64) bool { return want == -1 || d == want }) {
			found = append(found, s)
		}
	}
	if len(found) != 1 {
		return signature{}, fmt.Errorf("%d of its outputs have the shape %v of detections: one is expected",
			len(found), shape)
	}
	return found[0], nil
}
