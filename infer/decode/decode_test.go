package decode

import (
	"math"
	"slices"
	"strings"
	"testing"

	"vedette/infer"
	"vedette/infer/manifest"
)

func tensor(name string, shape ...int64) infer.Tensor {
	return infer.Tensor{Name: name, Type: "float32", Shape: shape}
}

func one(t infer.Tensor) []infer.Tensor { return []infer.Tensor{t} }

func whole(width, height float32) infer.Placement {
	return infer.Placement{ScaleX: 1 / width, ScaleY: 1 / height}
}

func recognise(in, out []infer.Tensor, metadata map[string]string) (Family, error) {
	return Recognise(infer.Signature{Inputs: in, Outputs: out, Metadata: metadata}, manifest.Manifest{})
}

func TestRecognise(t *testing.T) {
	nano, nanoOut := one(tensor("images", 1, 3, 416, 416)), one(tensor("output", 1, 3549, 85))
	center, centerOut := one(tensor("image", 1, 512, 512, 3)), one(tensor("detections", 1, 100, 6))
	cases := []struct {
		name     string
		in, out  []infer.Tensor
		metadata map[string]string
		want     string   // the family
		labels   []string // some, from class 0 on
		evidence string
	}{
		{"yolox", nano, nanoOut, nil, "yolox", []string{"person", "bicycle"}, "taken for COCO's"},
		{
			"yolox, 640x384", one(tensor("x", 1, 3, 384, 640)), one(tensor("y", 1, 5040, 7)), nil,
			"yolox",
			[]string{"class_0", "class_1"},
			"by their numbers",
		},
		{
			"yolox, labels", one(tensor("x", 1, 3, 32, 32)), one(tensor("y", 1, 21, 7)),
			map[string]string{"names": "{0: 'cat', 1: 'dog'}"},
			"yolox",
			[]string{"cat", "dog"},
			"metadata: 2 labels",
		},
		{"yolox, decoded", nano, nanoOut, map[string]string{"family": "yolox", "decoded": "true"}, "yolox", nil, "in pixels"},
		{"centernet", center, centerOut, nil, "centernet", []string{"person"}, "taken for COCO's 80"},
		{
			"centernet, labels", center, centerOut,
			map[string]string{"family": "centernet", "names": `["a"]`},
			"centernet",
			[]string{"a"},
			`family is "centernet"`,
		},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			f, err := recognise(c.in, c.out, c.metadata)
			if err != nil {
				t.Fatal(err)
			}
			if f.Name != c.want || len(f.Labels) < len(c.labels) || !slices.Equal(f.Labels[:len(c.labels)], c.labels) {
				t.Errorf("recognised as %s with labels %v", f.Name, f.Labels)
			}
			if !strings.Contains(strings.Join(f.Evidence, "\n"), c.evidence) {
				t.Errorf("evidence %q lacks %q", f.Evidence, c.evidence)
			}
		})
	}
}

func TestInputs(t *testing.T) {
	f, err := recognise(one(tensor("x", 1, 3, 384, 640)), one(tensor("y", 1, 5040, 85)), nil)
	want := infer.InputSpec{
		Width: 640, Height: 384, Batch: 1, Layout: infer.NCHW, Order: infer.BGR, Fit: infer.LetterboxTopLeft, Pad: 114,
		Scale: [3]float32{1, 1, 1},
	}
	if err != nil || f.Input != want {
		t.Errorf("yolox wants %+v (%v): want %+v", f.Input, err, want)
	}
	f, err = recognise(one(tensor("x", 1, 256, 512, 3)), one(tensor("y", 1, 100, 6)), nil)
	want = infer.InputSpec{
		Width: 512, Height: 256, Batch: 1, Layout: infer.NHWC, Order: infer.RGB, Fit: infer.Stretch, Scale: [3]float32{1, 1, 1},
	}
	if err != nil || f.Input != want {
		t.Errorf("centernet wants %+v (%v): want %+v", f.Input, err, want)
	}
}

func TestRecogniseErrors(t *testing.T) {
	nano, nanoOut := one(tensor("images", 1, 3, 416, 416)), one(tensor("output", 1, 3549, 85))
	cases := []struct {
		name     string
		in, out  []infer.Tensor
		metadata map[string]string
		want     []string
	}{
		{
			"unknown outputs", nano, one(tensor("758", 1, 85, 22)), nil,
			[]string{"images float32[1 3 416 416]", "758 float32[1 85 22]", "centernet", "yolox"},
		},
		{"no tensors", nil, nil, nil, []string{"cannot tell"}},
		{
			"end to end, by whom?", nano, one(tensor("y", 1, 300, 6)), nil,
			[]string{"fit centernet and yolov10", "`family`", "manifest"},
		},
		{
			"yolox or nanodet", nano, one(tensor("y", 1, 3549, 40)), nil,
			[]string{"fit nanodet and yolox", "`family`"},
		},
		{
			"boxes and logits", nano,
			[]infer.Tensor{tensor("a", 1, 300, 4), tensor("b", 1, 300, 10)},
			nil,
			[]string{"fit rfdetr and rtdetr", "`family`"},
		},
		{"free size", one(tensor("x", 1, 3, -1, -1)), one(tensor("y", 1, 84, -1)), nil, []string{"`input.size`"}},
		{"layout", one(tensor("x", 1, 3, 640, 3)), one(tensor("y", 1, 84, -1)), nil, []string{"`input.layout`"}},
		{
			"another task", one(tensor("x", 1, 3, 640, 640)), one(tensor("y", 1, 56, 8400)),
			map[string]string{"task": "pose", "names": "{0: 'person'}"},
			[]string{`task "pose"`},
		},
		{
			"unknown family", nano, nanoOut,
			map[string]string{"family": "yolov99"},
			[]string{`"yolov99"`, "centernet", "yolox"},
		},
		{
			"wrong family", nano, nanoOut,
			map[string]string{"family": "centernet"},
			[]string{"as centernet", "[1 3549 85]", "[1 N 6]"},
		},
		{"wrong number of labels", nano, nanoOut, map[string]string{"names": `["a", "b"]`}, []string{"2 labels for 80 classes"}},
		{"labels not understood", nano, nanoOut, map[string]string{"names": "person"}, []string{"names", "byte 0"}},
		{"decoded neither", nano, nanoOut, map[string]string{"decoded": "yes"}, []string{`decoded: "yes"`}},
		{"wrong type", one(infer.Tensor{Name: "x", Type: "int64", Shape: []int64{1, 3, 416, 416}}), nanoOut, nil, []string{"int64"}},
		{"huge", one(tensor("x", 1, 3, 1<<40, 1<<40)), nanoOut, nil, []string{"cannot tell"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			f, err := recognise(c.in, c.out, c.metadata)
			if err == nil {
				t.Fatalf("recognised as %s", f.Name)
			}
			for _, part := range c.want {
				if !strings.Contains(err.Error(), part) || strings.Contains(err.Error(), "\n") {
					t.Errorf("error %q: want one line with %q", err, part)
				}
			}
		})
	}
}

func centernetOf(t testing.TB, rows int64, labels string, thresholds infer.Thresholds) Decoder {
	t.Helper()
	f, err := recognise(one(tensor("x", 1, 128, 256, 3)), one(tensor("y", 1, rows, 6)), map[string]string{"names": labels})
	if err != nil {
		t.Fatal(err)
	}
	return f.Decoder(thresholds)
}

func TestCenterNet(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	d := centernetOf(t, 12, `["person", "cup"]`, infer.Thresholds{"default": 0.5, "cup": 0.2})
	data := []float32{
		16, 16, 32, 64, 0.6, 0, // kept
		10, 10, 20, 20, 0.4, 0, // below the default
		-50, 32, 128, 150, 0.3, 1, // above the cup's own, clipped
		10, 10, 20, 20, 0.9, 2, // no such class
		10, 10, 20, 20, 0.9, -1,
		10, 10, 20, 20, nan, 0,
		nan, 10, 20, 20, 0.9, 0,
		10, 10, inf, 20, 0.9, 0,
		10, 10, 20, 20, inf, 0,
		10, 10, 20, 20, 0.9, nan,
		20, 10, 10, 20, 0.9, 0, // inside out
		256, 10, 270, 20, 0.9, 0, // outside the frame
	}
	before := infer.Detection{Class: 7}
	got, err := d.Decode([]Output{{data, nil}}, whole(256, 128), []infer.Detection{before})
	want := []infer.Detection{
		before,
		{Class: 0, Score: 0.6, Box: infer.Box{X1: 0.0625, Y1: 0.125, X2: 0.125, Y2: 0.5}},
		{Class: 1, Score: 0.3, Box: infer.Box{X1: 0, Y1: 0.25, X2: 0.5, Y2: 1}},
	}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("decoded %+v (%v): want %+v", got, err, want)
	}
	for _, outputs := range [][]Output{nil, {{data[:71], nil}}, {{data, nil}, {data, nil}}} {
		if got, err := d.Decode(outputs, whole(256, 128), nil); err == nil || len(got) != 0 {
			t.Errorf("outputs of another shape give %v, %v: want an error", got, err)
		}
	}
}

func TestAtMostMaxDetections(t *testing.T) {
	const rows = 500
	d := centernetOf(t, rows, `["a"]`, infer.Thresholds{})
	data := make([]float32, rows*6)
	for i := range rows {
		copy(data[6*i:], []float32{0, 0, 100, 50, float32(i) / rows, 0})
	}
	got, err := d.Decode([]Output{{data, nil}}, whole(256, 128), nil)
	if err != nil || len(got) != infer.MaxDetections || got[0].Score != 499./rows || got[299].Score != 200./rows {
		t.Errorf("%d detections, %v: want the best %d", len(got), err, infer.MaxDetections)
	}
}

// yoloxOf has 21 rows for 32x32 pixels: 16 cells of stride 8, 4 of 16, 1 of 32.
func yoloxOf(t testing.TB, metadata map[string]string, thresholds infer.Thresholds) (Decoder, []float32) {
	t.Helper()
	f, err := recognise(one(tensor("x", 1, 3, 32, 32)), one(tensor("y", 1, 21, 7)), metadata)
	if err != nil {
		t.Fatal(err)
	}
	return f.Decoder(thresholds), make([]float32, 21*7)
}

func TestYOLOX(t *testing.T) {
	log2 := float32(math.Log(2))
	nan := float32(math.NaN())
	names := map[string]string{"names": `["person", "cup"]`}
	d, data := yoloxOf(t, names, infer.Thresholds{"default": 0.5, "cup": 0.1})
	copy(data[7*6:], []float32{0.5, 0.5, 0, 0, 0.9, 0.8, 0.1})        // cell 2,1 of stride 8: 16..24, 8..16
	copy(data[7*5:], []float32{1.5, 0.5, 0, 0, 0.8, 0.8, 0.1})        // the same place from cell 1,1: suppressed
	copy(data[7*18:], []float32{0.5, 0.5, log2, -log2, 0.5, 0.1, .3}) // cell 0,1 of stride 16, 32x8: a cup, clipped
	copy(data[7*20:], []float32{0.5, 0.5, 0, 0, nan, 1, 1})
	copy(data[7*0:], []float32{0.5, 0.5, 1000, 0, 1, 1, 1}) // an endless width
	copy(data[7*1:], []float32{nan, 0.5, 0, 0, 1, 1, 1})
	copy(data[7*2:], []float32{0.5, 0.5, 0, 0, 1, nan, nan})
	got, err := d.Decode([]Output{{data, nil}}, whole(32, 32), nil)
	want := []infer.Detection{
		{Class: 0, Score: 0.9 * 0.8, Box: infer.Box{X1: 0.5, Y1: 0.25, X2: 0.75, Y2: 0.5}},
		{Class: 1, Score: 0.15, Box: infer.Box{X1: 0, Y1: 20. / 32, X2: 24. / 32, Y2: 28. / 32}},
	}
	if err != nil || len(got) != len(want) {
		t.Fatalf("decoded %+v (%v): want %+v", got, err, want)
	}
	for i := range want {
		if got[i].Class != want[i].Class || math.Abs(float64(got[i].Score-want[i].Score)) > 1e-6 ||
			got[i].Box.IoU(want[i].Box) < 0.9999 {
			t.Errorf("detection %d is %+v: want %+v", i, got[i], want[i])
		}
	}
}

func TestYOLOXDecodedInTheGraph(t *testing.T) {
	d, data := yoloxOf(t, map[string]string{"decoded": "true"}, infer.Thresholds{"default": 0.5})
	copy(data[7*6:], []float32{16, 8, 16, 8, 0.9, 0.8, 0.1})
	got, err := d.Decode([]Output{{data, nil}}, whole(32, 32), nil)
	want := infer.Box{X1: 0.25, Y1: 0.125, X2: 0.75, Y2: 0.375}
	if err != nil || len(got) != 1 || got[0].Box != want {
		t.Errorf("decoded %+v (%v): want %+v", got, err, want)
	}
}

func TestDecodeAllocatesNothing(t *testing.T) {
	for name, shapes := range map[string][2]infer.Tensor{
		"yolox":     {tensor("x", 1, 3, 416, 416), tensor("y", 1, 3549, 85)},
		"centernet": {tensor("x", 1, 512, 512, 3), tensor("y", 1, 100, 6)},
	} {
		f, err := recognise(one(shapes[0]), one(shapes[1]), nil)
		if err != nil || f.Name != name {
			t.Fatalf("%s: %v", f.Name, err)
		}
		d := f.Decoder(infer.Thresholds{"default": 0.1})
		data := make([]float32, shapes[1].Shape[1]*shapes[1].Shape[2])
		for i := range data {
			data[i] = float32(i%97) / 97
		}
		outputs := []Output{{data, shapes[1].Shape}}
		dst := make([]infer.Detection, 0, infer.MaxDetections)
		if n := testing.AllocsPerRun(20, func() {
			if _, err := d.Decode(outputs, whole(416, 416), dst); err != nil {
				t.Fatal(err)
			}
		}); n != 0 {
			t.Errorf("%s: %v allocations a frame", name, n)
		}
	}
}

func BenchmarkYOLOX(b *testing.B) {
	f, err := recognise(one(tensor("x", 1, 3, 416, 416)), one(tensor("y", 1, 3549, 85)), nil)
	if err != nil {
		b.Fatal(err)
	}
	for name, objectness := range map[string]float32{"empty": 0.01, "crowded": 0.99} {
		b.Run(name, func(b *testing.B) {
			d := f.Decoder(infer.Thresholds{"default": 0.4})
			data := make([]float32, 3549*85)
			for i := range data {
				data[i] = float32(i%89) / 89
			}
			for i := range 3549 {
				data[85*i+4] = objectness
			}
			dst := make([]infer.Detection, 0, infer.MaxDetections)
			for b.Loop() {
				if _, err := d.Decode([]Output{{data, nil}}, whole(416, 416), dst); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// What a manifest says comes before what the model says.
func TestManifest(t *testing.T) {
	pad, iou, first, decoded := uint8(0), float32(0.9), 0, true
	by := manifest.Manifest{
		Family: "yolox", Labels: []string{"cat", "dog"}, Strides: []int{16, 32}, Decoded: &decoded, FirstClass: &first,
		Input: manifest.Input{Order: "rgb", Fit: "letterbox", Pad: &pad, Mean: []float32{10}, Deviation: []float32{2, 4, 8}},
		NMS:   manifest.NMS{IoU: &iou, Agnostic: true}, Thresholds: infer.Thresholds{"default": 0.6, "dog": 0.2},
	}
	f, err := Recognise(infer.Signature{
		Inputs: one(tensor("x", -1, 3, 64, 32)), Outputs: one(tensor("y", -1, 10, 7)), Metadata: map[string]string{"family": "ssd"},
	}, by)
	if err != nil {
		t.Fatal(err)
	}
	want := infer.InputSpec{
		Width: 32, Height: 64, Order: infer.RGB, Fit: infer.Letterbox, Mean: [3]float32{10, 10, 10},
		Scale: [3]float32{0.5, 0.25, 0.125},
	}
	if f.Input != want || f.Name != "yolox" {
		t.Errorf("%s wants %+v: want %+v", f.Name, f.Input, want)
	}
	data := make([]float32, 10*7)
	copy(data, []float32{16, 32, 8, 16, 1, 0.5, 0})        // a cat below the default
	copy(data[7:], []float32{16, 32, 8, 16, 1, 0, 0.3})    // a dog above its own
	copy(data[14:], []float32{16, 32, 9.5, 16, 1, 0, 0.4}) // the same, by less than 0.9
	for _, c := range []struct {
		configured infer.Thresholds
		want       int
	}{
		{infer.Thresholds{"default": 0.1}, 2},              // the manifest's default comes before the configuration's
		{infer.Thresholds{"default": 0.1, "dog": 0.35}, 1}, // and after what this says of a label
		{infer.Thresholds{"default": 0.1, "cat": 0.1}, 2},  // the cat lies on a dog
	} {
		got, err := f.Decoder(c.configured.Over(f.Thresholds)).Decode([]Output{{data, nil}}, whole(32, 64), nil)
		if err != nil || len(got) != c.want {
			t.Errorf("%v: %v, %v: want %d", c.configured, got, err, c.want)
		}
	}
	by = manifest.Manifest{Input: manifest.Input{Mean: []float32{1}}}
	_, err = Recognise(infer.Signature{
		Inputs:  []infer.Tensor{{Name: "x", Type: "uint8", Shape: []int64{1, 3, 640, 640}}},
		Outputs: one(tensor("y", 1, 84, 8400)),
	}, by)
	if err == nil || !strings.Contains(err.Error(), "uint8") {
		t.Errorf("a mean of a uint8 input gives %v", err)
	}
}
