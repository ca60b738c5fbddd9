package main

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"vedette/infer"
)

// Every family's graph is named rightly, by the command that an integrator runs.
func TestInspectNamesEachFamily(t *testing.T) {
	graphs, err := filepath.Glob("../../infer/decode/testdata/families/*.onnx")
	if err != nil || len(graphs) == 0 {
		t.Fatalf("%d graphs, %v", len(graphs), err)
	}
	for _, graph := range graphs {
		name := strings.TrimSuffix(filepath.Base(graph), ".onnx")
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			out, stderr, code := said(t, "model", "inspect", "--json", graph)
			var model infer.Model
			if err := json.Unmarshal([]byte(out), &model); code != exitOK || err != nil {
				t.Fatalf("exit code %d, %v, %s", code, err, stderr)
			}
			family, _, _ := strings.Cut(name, "_")
			if model.Family != family || len(model.Evidence) < 2 || !strings.Contains(model.Fed, "RGB") && !strings.Contains(model.Fed, "BGR") {
				t.Errorf("%s (%q), fed %s", model.Family, model.Evidence, model.Fed)
			}
		})
	}
}
