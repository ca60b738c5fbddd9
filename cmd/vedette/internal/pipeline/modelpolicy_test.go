package pipeline

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"vedette/cmd/vedette/internal/config"
	"vedette/infer/bundle"
)

// What a bundle demands holds for versions as the packages write them, and on a board that boots in the past.
func TestWhatABundleDemandsIsHeld(t *testing.T) {
	cfg := config.Default()
	cfg.StateDir = t.TempDir()
	floor := time.Now().Add(48 * time.Hour)
	if err := os.WriteFile(filepath.Join(cfg.StateDir, floorFile), []byte(floor.UTC().Format(time.RFC3339)), 0o600); err != nil {
		t.Fatal(err)
	}
	kept, err := TimeFloor(cfg.StateDir)
	if err != nil {
		t.Fatal(err)
	}
	tomorrow, later := time.Now().Add(24*time.Hour), floor.Add(24*time.Hour)
	for _, c := range []struct {
		version  string
		manifest bundle.Manifest
		want     string // in the answer; "": it is taken
	}{
		{"1.2.0", bundle.Manifest{}, ""},
		{"1.2.0", bundle.Manifest{MinVedette: "v1.2.0", Expires: &later}, ""},
		{"1.2.0", bundle.Manifest{MinVedette: "v1.3.0"}, "it needs Vedette v1.3.0, and this is v1.2.0"},
		{"v1.2.0", bundle.Manifest{MinVedette: "v1.3.0"}, "it needs Vedette v1.3.0, and this is v1.2.0"},
		{"dev", bundle.Manifest{MinVedette: "v1.3.0"}, ""},
		{"1.2.0", bundle.Manifest{Expires: &tomorrow}, "it has expired"},
	} {
		err := ModelPolicy(cfg, c.version, kept).Check(c.manifest)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("version %s, %+v: %v, want %q", c.version, c.manifest, err, c.want)
		}
	}
	for version, want := range map[string]int{"1.20.1": 20, "1.30.0": 30, "1.9": 9, "": 0, "unknown": 0} {
		if got := minor(version); got != want {
			t.Errorf("the minor version of %q is %d", version, got)
		}
	}
}

// The demand for an ONNX Runtime is held against the one that is here.
func TestABundleForANewerRuntimeIsRefused(t *testing.T) {
	library, err := filepath.Abs("../../../../build/onnxruntime/" + runtime.GOARCH + "/libonnxruntime.so")
	if _, missing := os.Stat(library); err != nil || missing != nil {
		t.Skipf("skipped: there is no %s: run make setup", library)
	}
	cfg := config.Default()
	cfg.Infer.Runtime = library
	floor, err := TimeFloor(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	p := ModelPolicy(cfg, "1.0.0", floor)
	if p.RuntimeAPI < 16 {
		t.Fatalf("the library %s has the minor version %d", library, p.RuntimeAPI)
	}
	if err := p.Check(bundle.Manifest{RuntimeAPI: p.RuntimeAPI}); err != nil {
		t.Error(err)
	}
	if err := p.Check(bundle.Manifest{RuntimeAPI: p.RuntimeAPI + 1}); err == nil || !strings.Contains(err.Error(), "it needs ONNX Runtime 1.") {
		t.Errorf("a newer runtime: %v", err)
	}
}
