package manifest

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	m, err := Parse("x.onnx.yaml", []byte(`
family: yolox
labels: [person, cup]
input: {size: 640x384, layout: nchw, order: bgr, fit: letterbox_top_left, pad: 0, mean: [0], deviation: [255]}
strides: [8, 16, 32]
decoded: true
nms: {iou: 0.6, agnostic: true}
thresholds: {default: 0.3, cup: 0.5}
`))
	if err != nil {
		t.Fatal(err)
	}
	width, height, err := m.Input.Pixels()
	if m.Family != "yolox" || !slices.Equal(m.Labels, []string{"person", "cup"}) || width != 640 || height != 384 || err != nil ||
		m.Input.Pad == nil || *m.Input.Pad != 0 || m.Decoded == nil || !*m.Decoded || *m.NMS.IoU != 0.6 || !m.NMS.Agnostic ||
		m.Thresholds["cup"] != 0.5 {
		t.Errorf("parsed as %+v", m)
	}
	for _, nothing := range []string{"", "# nothing\n", "{}"} {
		if m, err := Parse("x", []byte(nothing)); err != nil || m.Family != "" {
			t.Errorf("%q gives %+v, %v", nothing, m, err)
		}
	}
}

func TestMistakes(t *testing.T) {
	for text, want := range map[string]string{
		"famly: yolox":                 `x.yaml:1:1: unknown key "famly"`,
		"family: [":                    "x.yaml:1",
		"input: {size: 640}":           `input.size: "640"`,
		"input: {size: 640x640x3}":     "input.size",
		"input: {size: 0x10}":          "input.size",
		"input: {order: grb}":          `input.order: "grb" is none of rgb, bgr`,
		"input: {mean: [1, 2]}":        "input.mean: 2 numbers",
		"input: {deviation: [0]}":      "input.deviation: 0",
		"input: {pad: 300}":            "x.yaml:1",
		"strides: [16, 8]":             "strides",
		"strides: [0]":                 "strides",
		"first_class: 2":               "first_class",
		"nms: {iou: 2}":                "nms.iou",
		"thresholds: {default: .nan}":  "thresholds.default",
		"labels: []":                   "labels: the list is empty",
		"labels: ['']":                 "labels[0]",
		strings.Repeat("#", maxFile+1): "more than",
		"labels: [" + strings.Repeat("a,", 3000) + "]": "labels: 3000 are more",
	} {
		_, err := Parse("x.yaml", []byte(text))
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%.40q gives %v: want one line with %q", text, err, want)
		}
	}
}

func TestReadBeside(t *testing.T) {
	model := filepath.Join(t.TempDir(), "yard.onnx")
	if m, err := ReadBeside(model); err != nil || m.Family != "" {
		t.Errorf("without a manifest: %+v, %v", m, err)
	}
	if err := os.WriteFile(model+".yaml", []byte("family: ssd\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if m, err := ReadBeside(model); err != nil || m.Family != "ssd" {
		t.Errorf("%+v, %v", m, err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("family: yolox\ninput: {size: 640x384}\n"))
	f.Add([]byte("a: &a [*a]"))
	f.Fuzz(func(t *testing.T, text []byte) {
		m, err := Parse("x", text)
		if err == nil && (len(m.Labels) > maxLabels || len(m.Strides) > 16) {
			t.Errorf("%+v", m)
		}
	})
}
