package main

import (
	"slices"

	"vedette/infer/onnxfile"
)

// prune leaves out the nodes and constants that no output depends on: what a node was converted from, and no longer
// takes. They would cost nothing to run, but keep a runtime from joining the nodes that share an input with them.
func prune(g *onnxfile.Graph) {
	needed := map[string]bool{}
	for _, out := range g.Outputs {
		needed[out.Name] = true
	}
	isNeeded := func(name string) bool { return needed[name] }
	var kept []onnxfile.Node
	for _, n := range slices.Backward(g.Nodes) {
		if !slices.ContainsFunc(n.Outputs, isNeeded) {
			continue
		}
		for _, in := range n.Inputs {
			needed[in] = true
		}
		kept = append(kept, n)
	}
	slices.Reverse(kept)
	g.Nodes = kept
	g.Initializers = slices.DeleteFunc(g.Initializers, func(t onnxfile.Tensor) bool { return !needed[t.Name] })
}
