package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"vedette/infer/onnxfile/tinymodel"
)

func TestRun(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tiny.onnx")
	if err := run(path, 64); err != nil {
		t.Fatal(err)
	}
	var want bytes.Buffer
	if err := tinymodel.Write(&want, 64); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, want.Bytes()) {
		t.Errorf("the file has %d bytes, %v: want the model's %d", len(got), err, want.Len())
	}
	if err := run(path, 0); err == nil || !strings.Contains(err.Error(), "size 0") {
		t.Errorf("the error is %v: want the size in it", err)
	}
}
