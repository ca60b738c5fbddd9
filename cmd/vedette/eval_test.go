package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"vedette/infer/onnxfile/tinymodel"
)

// A red square that the tiny model finds: with the square annotated the accuracy is 1, with another place it is 0.
func TestEval(t *testing.T) {
	w := newWorkshop(t)
	model := filepath.Join(w.dir, "tiny.onnx")
	file, err := os.Create(model)
	if err != nil {
		t.Fatal(err)
	}
	if err := tinymodel.Write(file, 64); err != nil {
		t.Fatal(err)
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		at, manifest string
		want         float64
	}{
		{"[80, 60, 120, 120]", "", 1},
		{"[0, 0, 20, 20]", "", 0},
		{"[80, 60, 120, 120]", "thresholds: {default: 0.95}\n", 1}, // the uncertain ones are wanted too, whatever counts on a device
	} {
		write(t, model+".yaml", []byte(c.manifest))
		annotations := filepath.Join(w.dir, "annotations.json")
		write(t, annotations, fmt.Appendf(nil, `{"images": [{"id": 7, "file_name": %q}], "categories": [{"id": 1, "name": "Person"}],
			"annotations": [{"image_id": 7, "category_id": 1, "bbox": %s, "iscrowd": 0}]}`, filepath.Base(w.picture), c.at))
		out, errs, code := said(t, "eval", "--json", "--annotations", annotations, "--images", w.dir, model)
		var e evaluation
		if err := json.Unmarshal([]byte(out), &e); code != exitOK || err != nil {
			t.Fatalf("exit code %d, %v: %s", code, err, errs)
		}
		if e.Metrics.AP50 != c.want || e.Pictures != 1 || len(e.Unknown) != 0 || e.Family != "centernet" {
			t.Errorf("with the object at %s, manifest %q: %+v: want an AP50 of %v", c.at, c.manifest, e, c.want)
		}
	}
	if _, errs, code := said(t, "eval", model); code != exitUsage {
		t.Errorf("without annotations: exit code %d, %s", code, errs)
	}
}
