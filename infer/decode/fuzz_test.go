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

// FuzzDecode feeds every family any numbers at all: what comes out must keep Decode's promises.
func FuzzDecode(f *testing.F) {
	f.Add(binary.LittleEndian.AppendUint32(nil, math.Float32bits(0.9)), float32(0.4))
	f.Add([]byte{0, 0, 0xc0, 0x7f, 0, 0, 0x80, 0x7f, 0, 0, 0, 0x3f}, float32(0))
	f.Fuzz(func(t *testing.T, bits []byte, threshold float32) {
		if len(bits) < 4 {
			return
		}
		yolox, yoloxData := yoloxOf(t, nil, infer.Thresholds{"default": threshold})
		decoders := map[Decoder][]float32{
			centernetOf(t, 21, `["a", "b"]`, infer.Thresholds{"default": threshold}): make([]float32, 21*6),
			yolox: yoloxData,
		}
		for d, data := range decoders {
			for i := range data {
				data[i] = math.Float32frombits(binary.LittleEndian.Uint32(bits[4*(i%(len(bits)/4)):]))
			}
			got, err := d.Decode([]Output{{data, nil}}, infer.Placement{X: -0.1, Y: 0.2, ScaleX: 0.05, ScaleY: 0.01}, nil)
			if err != nil || len(got) > infer.MaxDetections {
				t.Fatalf("%d detections, %v", len(got), err)
			}
			for i, x := range got {
				b := x.Box
				if !b.Finite() || b != b.Clip() || b.X1 >= b.X2 || b.Y1 >= b.Y2 || x.Class < 0 || x.Class > 1 ||
					!(x.Score >= 0 && x.Score <= 1) || x.Score < threshold || i > 0 && x.Score > got[i-1].Score {
					t.Fatalf("%T gives %+v", d, got)
				}
			}
		}
	})
}
