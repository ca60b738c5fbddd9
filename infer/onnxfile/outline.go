package onnxfile

import (
	"errors"
	"fmt"
	"math"

	"google.golang.org/protobuf/encoding/protowire"
)

// Outline is what a model file says of itself, apart from its computation.
type Outline struct {
	Producer, ProducerVersion string
	IRVersion, Opset          int64 // Opset: of the standard operators; 0 where the file does not say
	Metadata                  map[string]string
	NodeNames                 []string // the first maxNodeNames
}

// Bounds on what ReadOutline keeps of a file.
const (
	maxNodeNames     = 20_000
	maxNameBytes     = 1 << 10
	maxMetadata      = 1 << 10 // entries
	maxMetadataBytes = 1 << 20 // of one text
)

// ReadOutline reads a model file's bytes, and keeps none of them.
func ReadOutline(data []byte) (Outline, error) {
	o := Outline{Metadata: map[string]string{}}
	err := fields(data, func(field protowire.Number, number uint64, bytes []byte) error {
		switch field {
		case modelIRVersion:
			o.IRVersion = clamp(number)
		case modelProducerName:
			o.Producer = short(bytes)
		case modelProducerVersion:
			o.ProducerVersion = short(bytes)
		case modelOpsetImport:
			return o.readOpset(bytes)
		case modelMetadataProps:
			return o.readProperty(bytes)
		case modelGraph:
			return o.readGraph(bytes)
		}
		return nil
	})
	if err != nil {
		return Outline{}, fmt.Errorf("cannot read the file as ONNX: %w", err)
	}
	return o, nil
}

func (o *Outline) readOpset(data []byte) error {
	standard, version := true, int64(0)
	err := fields(data, func(field protowire.Number, number uint64, bytes []byte) error {
		switch field {
		case opsetDomain:
			standard = len(bytes) == 0 || string(bytes) == "ai.onnx"
		case opsetVersion:
			version = clamp(number)
		}
		return nil
	})
	if standard {
		o.Opset = version
	}
	return err
}

func (o *Outline) readProperty(data []byte) error {
	var key, value []byte
	err := fields(data, func(field protowire.Number, _ uint64, bytes []byte) error {
		switch field {
		case propertyKey:
			key = bytes
		case propertyValue:
			value = bytes
		}
		return nil
	})
	if len(o.Metadata) < maxMetadata && len(key) <= maxNameBytes && len(value) <= maxMetadataBytes {
		o.Metadata[string(key)] = string(value)
	}
	return err
}

func (o *Outline) readGraph(data []byte) error {
	return fields(data, func(field protowire.Number, _ uint64, node []byte) error {
		if field != graphNode || len(o.NodeNames) == maxNodeNames {
			return nil
		}
		return fields(node, func(field protowire.Number, _ uint64, bytes []byte) error {
			if field == nodeName && len(bytes) > 0 {
				o.NodeNames = append(o.NodeNames, short(bytes))
			}
			return nil
		})
	})
}

// fields tells each of a message's fields: its number, and a varint's value or a byte string's bytes.
func fields(data []byte, each func(field protowire.Number, number uint64, bytes []byte) error) error {
	for len(data) > 0 {
		field, kind, n := protowire.ConsumeTag(data)
		if n < 0 {
			return errors.New("a field's tag is damaged")
		}
		data = data[n:]
		var number uint64
		var bytes []byte
		switch kind {
		case protowire.VarintType:
			number, n = protowire.ConsumeVarint(data)
		case protowire.BytesType:
			bytes, n = protowire.ConsumeBytes(data)
		default:
			n = protowire.ConsumeFieldValue(field, kind, data)
		}
		if n < 0 {
			return fmt.Errorf("field %d is damaged or cut short", field)
		}
		data = data[n:]
		if err := each(field, number, bytes); err != nil {
			return err
		}
	}
	return nil
}

func clamp(v uint64) int64 { return int64(min(v, math.MaxInt32)) }

func short(b []byte) string { return string(b[:min(len(b), maxNameBytes)]) }
