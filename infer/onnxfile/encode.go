package onnxfile

import (
	"fmt"
	"math"

	"google.golang.org/protobuf/encoding/protowire"
)

// Field numbers of onnx.proto, https://github.com/onnx/onnx/blob/v1.12.0/onnx/onnx.proto, message by message.
const (
	modelIRVersion       = 1
	modelProducerName    = 2
	modelProducerVersion = 3
	modelGraph           = 7
	modelOpsetImport     = 8
	modelMetadataProps   = 14

	opsetDomain  = 1
	opsetVersion = 2

	propertyKey   = 1
	propertyValue = 2

	graphNode        = 1
	graphName        = 2
	graphInitializer = 5
	graphInput       = 11
	graphOutput      = 12

	nodeInput     = 1
	nodeOutput    = 2
	nodeName      = 3
	nodeOpType    = 4
	nodeAttribute = 5

	attributeName    = 1
	attributeF       = 2
	attributeI       = 3
	attributeS       = 4
	attributeIntList = 8
	attributeType    = 20

	tensorDims     = 1
	tensorDataType = 2
	tensorName     = 8
	tensorRawData  = 9

	valueName      = 1
	valueType      = 2
	typeTensor     = 1
	tensorElemType = 1
	tensorShape    = 2
	shapeDim       = 1
	dimensionValue = 1
	dimensionParam = 2
)

// AttributeProto.AttributeType in onnx.proto.
const (
	typeFloat  = 1
	typeInt    = 2
	typeString = 3
	typeInts   = 7
)

// Encode gives the model file's bytes: the same ones for the same model. An error names what the model lacks; what the
// operators themselves ask for is not looked at.
func (m Model) Encode() ([]byte, error) {
	if err := m.Graph.check(); err != nil {
		return nil, fmt.Errorf("cannot write model %q: %w", m.Graph.Name, err)
	}
	var b message
	b.int(modelIRVersion, IRVersion)
	b.text(modelProducerName, m.Producer)
	b.text(modelProducerVersion, m.ProducerVersion)
	b.bytes(modelGraph, m.Graph.encode())
	var opset message
	opset.int(opsetVersion, m.Opset)
	b.bytes(modelOpsetImport, opset)
	for _, p := range m.Metadata {
		var property message
		property.text(propertyKey, p.Key)
		property.text(propertyValue, p.Value)
		b.bytes(modelMetadataProps, property)
	}
	// protobuf's own limit on a message, and so that of every reader.
	if len(b) > math.MaxInt32 {
		return nil, fmt.Errorf("cannot write model %q: %d bytes are more than 2 GiB", m.Graph.Name, len(b))
	}
	return b, nil
}

// check tells whether each tensor is made once, and before it is used.
func (g Graph) check() error {
	made := map[string]bool{}
	define := func(name, by string) error {
		if name == "" || made[name] {
			return fmt.Errorf("%s makes tensor %q, which is empty or made already", by, name)
		}
		made[name] = true
		return nil
	}
	for _, v := range g.Inputs {
		if err := define(v.Name, "an input"); err != nil {
			return err
		}
	}
	for _, t := range g.Initializers {
		if err := define(t.Name, "a constant"); err != nil {
			return err
		}
		if err := t.check(); err != nil {
			return err
		}
	}
	for _, n := range g.Nodes {
		for _, in := range n.Inputs {
			if in != "" && !made[in] {
				return fmt.Errorf("node %q (%s) takes tensor %q, which nothing before it makes", n.Name, n.Op, in)
			}
		}
		for _, out := range n.Outputs {
			if out == "" {
				continue
			}
			if err := define(out, fmt.Sprintf("node %q (%s)", n.Name, n.Op)); err != nil {
				return err
			}
		}
	}
	for _, v := range g.Outputs {
		if !made[v.Name] {
			return fmt.Errorf("nothing makes the output %q", v.Name)
		}
	}
	return nil
}

func (g Graph) encode() (b message) {
	for _, n := range g.Nodes {
		b.bytes(graphNode, n.encode())
	}
	b.text(graphName, g.Name)
	for _, t := range g.Initializers {
		b.bytes(graphInitializer, t.encode())
	}
	for _, v := range g.Inputs {
		b.bytes(graphInput, v.encode())
	}
	for _, v := range g.Outputs {
		b.bytes(graphOutput, v.encode())
	}
	return b
}

func (n Node) encode() (b message) {
	for _, name := range n.Inputs {
		b.text(nodeInput, name)
	}
	for _, name := range n.Outputs {
		b.text(nodeOutput, name)
	}
	b.text(nodeName, n.Name)
	b.text(nodeOpType, n.Op)
	for _, a := range n.Attributes {
		b.bytes(nodeAttribute, a.encode())
	}
	return b
}

func (a Attribute) encode() (b message) {
	b.text(attributeName, a.name)
	switch v := a.value.(type) {
	case float32:
		b = protowire.AppendTag(b, attributeF, protowire.Fixed32Type)
		b = protowire.AppendFixed32(b, math.Float32bits(v))
		b.int(attributeType, typeFloat)
	case int64:
		b.int(attributeI, v)
		b.int(attributeType, typeInt)
	case string:
		b.text(attributeS, v)
		b.int(attributeType, typeString)
	case []int64:
		for _, i := range v {
			b.int(attributeIntList, i)
		}
		b.int(attributeType, typeInts)
	}
	return b
}

func (t Tensor) encode() (b message) {
	for _, d := range t.Shape {
		b.int(tensorDims, d)
	}
	b.int(tensorDataType, int64(t.Type))
	b.text(tensorName, t.Name)
	b.bytes(tensorRawData, t.Raw)
	return b
}

func (v ValueInfo) encode() (b message) {
	var shape message
	for i, d := range v.Shape {
		var dim message
		if d < 0 {
			dim.text(dimensionParam, fmt.Sprintf("%s_%d", v.Name, i))
		} else {
			dim.int(dimensionValue, d)
		}
		shape.bytes(shapeDim, dim)
	}
	var tensor, kind message
	tensor.int(tensorElemType, int64(v.Type))
	tensor.bytes(tensorShape, shape)
	kind.bytes(typeTensor, tensor)
	b.text(valueName, v.Name)
	b.bytes(valueType, kind)
	return b
}

// message is a protobuf message under construction.
type message []byte

func (b *message) int(field protowire.Number, v int64) {
	*b = protowire.AppendVarint(protowire.AppendTag(*b, field, protowire.VarintType), uint64(v))
}

func (b *message) text(field protowire.Number, s string) {
	*b = protowire.AppendString(protowire.AppendTag(*b, field, protowire.BytesType), s)
}

func (b *message) bytes(field protowire.Number, data []byte) {
	*b = protowire.AppendBytes(protowire.AppendTag(*b, field, protowire.BytesType), data)
}
