package decode

import (
	"encoding/binary"
	"encoding/json"
	"math"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"vedette/infer"
	"vedette/infer/manifest"
)

func TestLabels(t *testing.T) {
	for text, want := range map[string][]string{
		`["person", "cup"]`:                         {"person", "cup"},
		`["na\u00efve", "\ud83d\ude00"]`:            {"naïve", "😀"},
		`{0: 'person', 1: "driver's", 2: 'it\'s',}`: {"person", "driver's", "it's"},
		`{1: 'b', 0: 'a'}`:                          {"a", "b"},
		` {"0": "a" , "1": 'b\\\xe9'} `:             {"a", `b\é`},
		`['a', 'b, c', 'd}']`:                       {"a", "b, c", "d}"},
	} {
		if got, err := parseLabels(text); err != nil || !slices.Equal(got, want) {
			t.Errorf("%s gives %q (%v): want %q", text, got, err, want)
		}
	}
	for _, text := range []string{
		"", "null", "[]", "{}", "[", "{0", "{0:", "{0: 'a'", "{0: 'a}", "{0: 'a'} x", "{1: 'a'}", "{0: 'a', 0: 'b'}", "{-1: 'a'}",
		"{99999999999: 'a'}", "{0: 5}", "[1]", "['a' 'b']", `["a\u0000"]`, "['a\\nb']", `['\q']`, "['']", "['\xff']", "person",
		"['" + strings.Repeat("a", maxLabelBytes+1) + "']", "[" + strings.Repeat("'a',", maxLabels+1) + "]",
		strings.Repeat("[", maxLabelsText+1),
	} {
		if got, err := parseLabels(text); err == nil {
			t.Errorf("%.40q gives %q: want an error", text, got)
		}
	}
}

func FuzzLabels(f *testing.F) {
	f.Add(`{0: 'person', 1: "driver's"}`)
	f.Add(`["person", "cup"]`)
	f.Fuzz(func(t *testing.T, text string) {
		labels, err := parseLabels(text)
		if err != nil {
			return
		}
		if len(labels) == 0 || len(labels) > maxLabels {
			t.Fatalf("%d labels", len(labels))
		}
		for _, label := range labels {
			if label == "" || len(label) > maxLabelBytes || !utf8.ValidString(label) {
				t.Fatalf("label %q", label)
			}
		}
		again, err := json.Marshal(labels)
		if err != nil {
			t.Fatal(err)
		}
		if back, err := parseLabels(string(again)); err != nil || !slices.Equal(back, labels) {
			t.Fatalf("%q becomes %q (%v)", labels, back, err)
		}
	})
}

// smallModels has every family, with inputs of 32x32.
func smallModels() []infer.Signature {
	named := func(family, names string, outputs ...infer.Tensor) infer.Signature {
		s := infer.Signature{
			Inputs: one(tensor("x", 1, 3, 32, 32)), Outputs: outputs, Metadata: map[string]string{"family": family},
		}
		if names != "" {
			s.Metadata["names"] = names
		}
		return s
	}
	labels := infer.Tensor{Name: "labels", Type: "int64", Shape: []int64{1, 5}}
	sizes := infer.Tensor{Name: "orig_target_sizes", Type: "int64", Shape: []int64{1, 2}}
	const two = `["a", "b"]`
	all := []infer.Signature{
		named("centernet", two, tensor("y", 1, 21, 6)),
		named("yolov10", two, tensor("y", 1, 9, 6)),
		named("yolox", "", tensor("y", 1, 21, 7)),
		named("yolov5", "", tensor("y", 1, 63, 7)),
		named("yolov8", "", tensor("y", 1, 6, 21)),
		named("fastestdet", "", tensor("y", 1, 7, 4, 4)),
		named("nanodet", "", tensor("y", 1, 21, 34)),
		named("nanodet", "", tensor("a", 1, 21, 2), tensor("b", 1, 21, 32)),
		named("rfdetr", "", tensor("dets", 1, 5, 4), tensor("labels", 1, 5, 3)),
		named("ssd", two, tensor("b", 1, 5, 4), tensor("c", 1, 5), tensor("s", 1, 5), tensor("n", 1)),
		named("rtdetr", two, labels, tensor("boxes", 1, 5, 4), tensor("scores", 1, 5)),
		named("dfine", two, labels, tensor("boxes", 1, 5, 4), tensor("scores", 1, 5)),
	}
	for i := range all[len(all)-2:] {
		s := &all[len(all)-2+i]
		s.Inputs = append(s.Inputs, sizes)
	}
	return all
}

// FuzzDecode feeds every family any numbers at all: what comes out must keep Decode's promises.
func FuzzDecode(f *testing.F) {
	f.Add(binary.LittleEndian.AppendUint32(nil, math.Float32bits(0.9)), float32(0.4))
	f.Add([]byte{0, 0, 0xc0, 0x7f, 0, 0, 0x80, 0x7f, 0, 0, 0, 0x3f}, float32(0))
	f.Fuzz(func(t *testing.T, bits []byte, threshold float32) {
		if len(bits) < 4 {
			return
		}
		for _, m := range smallModels() {
			family, err := Recognise(m, manifest.Manifest{})
			if err != nil {
				t.Fatal(err)
			}
			d := family.Decoder(infer.Thresholds{"default": threshold})
			var outputs []Output
			n := 0
			for _, tensor := range m.Outputs {
				elements := int64(1)
				for _, size := range tensor.Shape {
					elements *= size
				}
				data := make([]float32, elements)
				for i := range data {
					data[i] = math.Float32frombits(binary.LittleEndian.Uint32(bits[4*(n%(len(bits)/4)):]))
					n++
				}
				outputs = append(outputs, Output{data, tensor.Shape})
			}
			got, err := d.Decode(outputs, infer.Placement{X: -0.1, Y: 0.2, ScaleX: 0.05, ScaleY: 0.01}, nil)
			if err != nil || len(got) > infer.MaxDetections {
				t.Fatalf("%d detections, %v", len(got), err)
			}
			for i, x := range got {
				b := x.Box
				if !b.Finite() || b != b.Clip() || b.X1 >= b.X2 || b.Y1 >= b.Y2 || x.Class < 0 || x.Class >= len(family.Labels) ||
					!(x.Score >= 0 && x.Score <= 1) || x.Score < threshold || i > 0 && x.Score > got[i-1].Score {
					t.Fatalf("%s gives %+v", family.Name, got)
				}
			}
		}
	})
}
