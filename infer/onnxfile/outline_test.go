package onnxfile

import (
	"maps"
	"os"
	"slices"
	"testing"
)

func TestOutline(t *testing.T) {
	m := example()
	data, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	o, err := ReadOutline(data)
	if err != nil {
		t.Fatal(err)
	}
	if o.Producer != "vedette" || o.ProducerVersion != "1.2.3" || o.Opset != 13 || o.IRVersion != IRVersion ||
		!maps.Equal(o.Metadata, map[string]string{"family": "example", "empty": ""}) {
		t.Errorf("outline %+v", o)
	}
	var names []string
	for _, n := range m.Graph.Nodes {
		names = append(names, n.Name)
	}
	if !slices.Equal(o.NodeNames, names) {
		t.Errorf("nodes %q: want %q", o.NodeNames, names)
	}
	for cut := range len(data) {
		if o, err := ReadOutline(data[:cut]); err == nil && len(o.NodeNames) > len(names) {
			t.Errorf("cut to %d bytes it has %d nodes", cut, len(o.NodeNames))
		}
	}
}

// Python's package wrote this one.
func TestOutlineOfAnother(t *testing.T) {
	data, err := os.ReadFile("../onnx/testdata/free_batch.onnx")
	if err != nil {
		t.Fatal(err)
	}
	o, err := ReadOutline(data)
	if err != nil || o.Producer != "vedette test" || o.Metadata["family"] != "plus-one" || o.Opset != 13 {
		t.Errorf("outline %+v, %v", o, err)
	}
}

func FuzzOutline(f *testing.F) {
	data, err := example().Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add([]byte{0x3a, 0x02, 0x0a, 0x00})
	f.Add([]byte{0x0b, 0x0b, 0x0c})
	f.Fuzz(func(t *testing.T, data []byte) {
		o, err := ReadOutline(data)
		if err != nil {
			return
		}
		if len(o.NodeNames) > maxNodeNames || len(o.Metadata) > maxMetadata || len(o.Producer) > maxNameBytes {
			t.Errorf("%d nodes, %d entries, a producer of %d bytes", len(o.NodeNames), len(o.Metadata), len(o.Producer))
		}
	})
}
