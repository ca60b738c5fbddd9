// Package onnxfile knows the format of ONNX model files.
package onnxfile

// IRVersion is the version of the file format that Encode writes: ONNX 1.10's, which carries operator sets 13 to 15 and
// is read by every ONNX Runtime since 1.9.
const IRVersion = 8

// Model is a model file: a graph, the operator set that its nodes are of, and words about it.
type Model struct {
	Producer        string
	ProducerVersion string
	Opset           int64 // of the standard operators, the domain ""
	Graph           Graph
	Metadata        []Property // custom metadata, in this order
}

// Property is an entry of the custom metadata.
type Property struct {
	Key, Value string
}

// Graph is a computation. Its nodes stand in an order in which each tensor is made before it is used.
type Graph struct {
	Name         string
	Inputs       []ValueInfo
	Outputs      []ValueInfo
	Initializers []Tensor
	Nodes        []Node
}

// ValueInfo is the type of an input or an output. A dimension of -1 is free.
type ValueInfo struct {
	Name  string
	Type  DataType
	Shape []int64
}

// Node is one operator with the names of the tensors that it takes and makes; an optional one that is left out is "".
type Node struct {
	Op         string
	Name       string
	Inputs     []string
	Outputs    []string
	Attributes []Attribute
}

// Attribute is a constant of a node; Int, Ints, Float and String make one.
type Attribute struct {
	name  string
	value any // int64, []int64, float32 or string
}

// Int is an attribute that is an integer.
func Int(name string, v int64) Attribute { return Attribute{name, v} }

// Ints is an attribute that is a list of integers.
func Ints(name string, v ...int64) Attribute { return Attribute{name, v} }

// Float is an attribute that is a number.
func Float(name string, v float32) Attribute { return Attribute{name, v} }

// String is an attribute that is a text.
func String(name, v string) Attribute { return Attribute{name, v} }
