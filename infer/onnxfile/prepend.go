package onnxfile

import (
	"errors"
	"fmt"
	"math"

	"google.golang.org/protobuf/encoding/protowire"
)

// Of what Prepend writes: the oldest operator set in which its nodes' shapes broadcast, and the oldest format in which a constant need
// not be an input.
const (
	oldestOpset     = 7
	oldestIRVersion = 4

	tensorDataLocation = 14 // 1: in another file
)

// Prepend gives a model's bytes with a graph in front of it: its only output is the model's input of that name, its inputs take that
// one's place, and the rest of the model stays as it is, byte for byte. The names of the graph's tensors must be no others' in the
// model. The nodes must be such as every operator set from 7 on has alike.
func Prepend(model []byte, g Graph) ([]byte, error) {
	if err := g.check(); err != nil {
		return nil, fmt.Errorf("cannot put nodes before a model: %w", err)
	}
	if len(g.Outputs) != 1 {
		return nil, errors.New("cannot put nodes before a model: they must have one output")
	}
	outline, err := ReadOutline(model)
	if err != nil {
		return nil, err
	}
	if outline.Opset < oldestOpset {
		return nil, fmt.Errorf("cannot put nodes before a model of operator set %d: export it with %d or newer", outline.Opset, oldestOpset)
	}
	var out message
	out.int(modelIRVersion, max(outline.IRVersion, oldestIRVersion))
	graphs := 0
	err = each(model, func(field protowire.Number, whole, bytes []byte) error {
		switch field {
		case modelIRVersion:
			return nil
		case modelGraph:
			graphs++
			merged, err := prependTo(bytes, g)
			out.bytes(modelGraph, merged)
			return err
		}
		out = append(out, whole...)
		return nil
	})
	if err == nil && graphs != 1 {
		err = fmt.Errorf("it has %d graphs", graphs)
	}
	if err == nil && len(out) > math.MaxInt32 {
		err = errors.New("it would be more than 2 GiB")
	}
	if err != nil {
		return nil, fmt.Errorf("cannot put nodes before a model: %w", err)
	}
	return out, nil
}

func prependTo(model []byte, g Graph) (message, error) {
	var out message
	for _, n := range g.Nodes {
		out.bytes(graphNode, n.encode())
	}
	found := false
	err := each(model, func(field protowire.Number, whole, bytes []byte) error {
		switch field {
		case graphInput:
			name, err := textField(bytes, valueName)
			if err != nil {
				return err
			}
			if name == g.Outputs[0].Name && found {
				return fmt.Errorf("it has two inputs %q", name)
			}
			if name == g.Outputs[0].Name {
				found = true
				for _, v := range g.Inputs {
					out.bytes(graphInput, v.encode())
				}
				return nil
			}
		case graphInitializer:
			if external(bytes) {
				return errors.New("it keeps weights in another file: export it as one")
			}
		}
		out = append(out, whole...)
		return nil
	})
	if err == nil && !found {
		err = fmt.Errorf("it has no input %q", g.Outputs[0].Name)
	}
	for _, t := range g.Initializers {
		out.bytes(graphInitializer, t.encode())
	}
	return out, err
}

// each tells a message's fields one by one: its bytes with the tag, and of a byte string the bytes alone.
func each(data []byte, tell func(field protowire.Number, whole, bytes []byte) error) error {
	for len(data) > 0 {
		field, kind, n := protowire.ConsumeTag(data)
		if n < 0 {
			return errors.New("a field's tag is damaged")
		}
		m := protowire.ConsumeFieldValue(field, kind, data[n:])
		if m < 0 {
			return fmt.Errorf("field %d is damaged or cut short", field)
		}
		var bytes []byte
		if kind == protowire.BytesType {
			bytes, _ = protowire.ConsumeBytes(data[n:])
		}
		if err := tell(field, data[:n+m], bytes); err != nil {
			return err
		}
		data = data[n+m:]
	}
	return nil
}

func textField(data []byte, wanted protowire.Number) (text string, err error) {
	err = fields(data, func(field protowire.Number, _ uint64, bytes []byte) error {
		if field == wanted {
			text = string(bytes)
		}
		return nil
	})
	return text, err
}

// external tells whether a tensor's elements lie in another file. One that is damaged is ONNX Runtime's to refuse.
func external(tensor []byte) (is bool) {
	_ = fields(tensor, func(field protowire.Number, number uint64, _ []byte) error {
		is = is || field == tensorDataLocation && number == 1
		return nil
	})
	return is
}
