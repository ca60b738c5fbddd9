package decode

import (
	"encoding/binary"
	"encoding/json"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"vedette/capture"
	"vedette/infer"
	"vedette/infer/half"
	"vedette/infer/manifest"
	"vedette/infer/onnx"
	"vedette/infer/preprocess"
)

// golden is what testdata/families/make.py writes beside each graph.
type golden struct {
	Family    string  `json:"family"`
	Frame     [2]int  `json:"frame"`
	Colour    [3]byte `json:"colour"`
	Threshold float32 `json:"threshold"`
	reference
}

// Every family's graph, from a picture to boxes, as a worker goes.
func TestFamilies(t *testing.T) {
	graphs, err := filepath.Glob("testdata/families/*.onnx")
	if err != nil || len(graphs) < 15 {
		t.Fatalf("%d graphs, %v", len(graphs), err)
	}
	seen := map[string]bool{}
	for _, graph := range graphs {
		t.Run(strings.TrimSuffix(filepath.Base(graph), ".onnx"), func(t *testing.T) {
			var want golden
			text, err := os.ReadFile(strings.TrimSuffix(graph, ".onnx") + ".json")
			if err != nil {
				t.Fatal(err)
			}
			if err := json.Unmarshal(text, &want); err != nil {
				t.Fatal(err)
			}
			f, got := look(t, graph, want)
			seen[f.Name] = true
			if f.Name != want.Family {
				t.Fatalf("recognised as %s (%q)", f.Name, f.Evidence)
			}
			if len(got) > infer.MaxDetections || len(want.Detections) < 3 {
				t.Fatalf("%d detections, %d in the reference", len(got), len(want.Detections))
			}
			want.Detections = want.Detections[:min(len(want.Detections), infer.MaxDetections)]
			box, score := want.agrees(t, got, 1e-3, 1e-4)
			t.Logf("%d detections, at most %.1e of the frame and %.1e in score apart; %s", len(got), box, score,
				strings.Join(f.Evidence, "; "))
		})
	}
	for _, f := range families() {
		if !seen[f.name] {
			t.Errorf("%s has no graph", f.name)
		}
	}
}

func look(t *testing.T, graph string, g golden) (Family, []infer.Detection) {
	by, err := manifest.ReadBeside(graph)
	if err != nil {
		t.Fatal(err)
	}
	file, err := onnx.Read(onnx.Options{
		Runtime: required(t, onnx.EnvLibrary, "build", "onnxruntime", runtime.GOARCH, "libonnxruntime.so"), Model: graph, Threads: 1,
	})
	if err != nil {
		t.Fatal(err)
	}
	f, err := Recognise(file.Signature(), by)
	if err != nil {
		t.Fatal(err)
	}
	s, err := file.Open(f.Shapes(file.Signature(), max(f.Input.Batch, 1)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	if f, err = Recognise(s.Signature(), by); err != nil {
		t.Fatal(err)
	}
	var outputs []Output
	for i := range s.Outputs() {
		data, shape := s.Output(i)
		outputs = append(outputs, Output{data, shape})
	}
	if err := s.Run(); err != nil {
		t.Fatal(err)
	}
	if err := f.Settle(outputs); err != nil {
		t.Fatal(err)
	}
	format := capture.Format{Pixel: capture.RGB24, Width: g.Frame[0], Height: g.Frame[1]}.Packed()
	frame := make([]byte, format.FrameBytes())
	for i := range frame {
		frame[i] = g.Colour[i%3]
	}
	pre, err := preprocess.New(f.Input, preprocess.Stream{Format: format})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pre.Close)
	for _, fill := range f.Fill {
		copy(s.InputBytes(fill.Input), int64Bytes(fill.Values))
	}
	switch f.Input.Type {
	case infer.Uint8:
		err = pre.RunUint8(frame, s.InputBytes(f.Image))
	case infer.Float16:
		scratch := make([]float32, 3*f.Input.Width*f.Input.Height)
		err = pre.Run(frame, scratch)
		half.Encode(s.InputFloat16s(f.Image), scratch)
	default:
		err = pre.Run(frame, s.InputFloat32s(f.Image))
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Run(); err != nil {
		t.Fatal(err)
	}
	got, err := f.Decoder(infer.Thresholds{"default": g.Threshold}).Decode(outputs, pre.Placement(), nil)
	if err != nil {
		t.Fatal(err)
	}
	return f, got
}

func int64Bytes(values []int64) (b []byte) {
	for _, v := range values {
		b = binary.NativeEndian.AppendUint64(b, uint64(v))
	}
	return b
}

// Any map of a network has FastestDet's shapes: without somebody's word its stride decides.
func TestFastestDetHasOneStride(t *testing.T) {
	for _, c := range []struct {
		grid    int64 // of an input of 64x64
		claimed string
		strides []int
		want    bool
	}{
		{4, "", nil, true}, {8, "", nil, false}, {2, "", nil, false}, {8, "fastestdet", nil, true}, {8, "", []int{8}, true},
	} {
		f, err := Recognise(infer.Signature{
			Inputs: one(tensor("x", 1, 3, 64, 64)), Outputs: one(tensor("y", 1, 7, c.grid, c.grid)),
		}, manifest.Manifest{Family: c.claimed, Strides: c.strides})
		if got := err == nil && f.Name == "fastestdet"; got != c.want {
			t.Errorf("grid %d, family %q, strides %v: recognised %v, %v", c.grid, c.claimed, c.strides, got, err)
		}
	}
}
