package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestEachValueTellsWhereItCameFrom(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	image := write("image.yaml", "infer:\n  model: yolo.onnx\n  threads: 2\nmqtt:\n  prefix: site/{device}\n")
	operator := write("operator.yaml", `
infer:
  threads: 3
cameras:
  - name: yard
    rate: 5
    source:
      scene: {size: 640x360, rate: 5, format: yuyv}
`)
	overrides := write("overrides.yaml", "infer: {thresholds: {person: 0.7}}\n")
	text, err := Origins(image, operator, overrides)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"model: yolo.onnx # " + image + ":2\n", "threads: 3 # " + operator + ":3\n", "workers: 1 # default\n",
		"prefix: site/{device} # " + image + ":5\n", "person: 0.7 # " + overrides + ":1\n", "rate: 5.0 # " + operator + ":6\n",
	} {
		if !strings.Contains(string(text), want) {
			t.Errorf("%q is not in\n%s", want, text)
		}
	}
	if _, err := Parse("shown", text); err != nil {
		t.Errorf("what is shown is no configuration: %v", err)
	}
}
