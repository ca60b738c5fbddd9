package main

import (
	"bytes"
	"image"
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"vedette/infer/preprocess"
)

func TestAddHoldsAFileToItsHash(t *testing.T) {
	w := newWorkshop(t)
	model, config := w.model(t, 64), configFile(t, "state_dir: "+t.TempDir()+"\n"+"cameras:\n"+yard)
	add := func(hash string) (string, int) {
		out, errs, code := said(t, "model", "--config", config, "add", "--allow-unsigned", "--name", "tiny", "--sha256", hash, model)
		return out + errs, code
	}
	if text, code := add(strings.Repeat("0", 64)); code != 1 || !strings.Contains(text, "its SHA-256 is") {
		t.Errorf("another file's hash: exit code %d, %s", code, text)
	}
	if text, code := add("abc"); code != exitUsage || !strings.Contains(text, "64 hexadecimal digits") {
		t.Errorf("no hash: exit code %d, %s", code, text)
	}
	if text, code := add(strings.ToUpper(fileSum(t, model))); code != 0 {
		t.Errorf("its own hash in capitals: exit code %d, %s", code, text)
	}
	in := func(what string, args ...string) {
		t.Helper()
		out, errs, code := said(t, append([]string{"model", "--config", config}, args...)...)
		if shown, _, _ := said(t, "config", "show", config); code != 0 || !strings.Contains(out, "model "+what) || !strings.Contains(shown, "model: "+strings.Fields(what)[0]+" ") {
			t.Errorf("%v: exit code %d, %s%s, and the configuration is\n%s", args, code, out, errs, shown)
		}
	}
	in("tiny version 1 is in use", "use", "tiny") // the configuration is silent, which means coco
	in("coco is in use", "rollback", "tiny")
}

func TestAPlainModelIsCalledAsItsURLSays(t *testing.T) {
	for url, want := range map[string]string{
		"https://models.lan/a/yard.onnx": "yard", "https://models.lan/yard.onnx?download=1": "yard", "https://models.lan/yard-7.bundle": "",
		"https://models.lan/": "", "://": "",
	} {
		if got := plainName(url); got != want {
			t.Errorf("%s is called %q, want %q", url, got, want)
		}
	}
}

func TestPicturesOfAnEvaluationAreWhatTheWorkerTakes(t *testing.T) {
	w := newWorkshop(t)
	before, err := os.ReadFile(w.picture)
	if err != nil {
		t.Fatal(err)
	}
	if data, size, err := readPicture(w.picture); err != nil || size != image.Pt(320, 240) || !bytes.Equal(data, before) {
		t.Errorf("a baseline JPEG becomes %d bytes of %v, %v", len(data), size, err)
	}
	var drawn bytes.Buffer
	if err := png.Encode(&drawn, image.NewGray(image.Rect(0, 0, 40, 30))); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(w.dir, "p.png")
	write(t, path, drawn.Bytes())
	if data, size, err := readPicture(path); err != nil || size != image.Pt(40, 30) || preprocess.Baseline(data) != nil {
		t.Errorf("a PNG becomes %d bytes of %v, %v", len(data), size, err)
	}
	write(t, path, make([]byte, 64<<20+1))
	if _, _, err := readPicture(path); err == nil || !strings.Contains(err.Error(), "larger than 64 MiB") {
		t.Errorf("too large a file: %v", err)
	}
}
