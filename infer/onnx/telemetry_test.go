package onnx

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// Some builds of ONNX Runtime hold a client that reports its use: it begins with a folder of its own under the user's cache.
func TestNothingIsNotedOfTheUser(t *testing.T) {
	const inside = "VEDETTE_TEST_HOME"
	if os.Getenv(inside) != "" {
		open(t, Options{Model: "testdata/free_batch.onnx", Threads: 1})
		return
	}
	home := t.TempDir()
	cmd := exec.Command("/proc/self/exe", "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), inside+"=1", "HOME="+home, "TMPDIR="+home, "XDG_CACHE_HOME=", EnvLibrary+"="+library(t))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if err := filepath.WalkDir(home, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			t.Errorf("%s was left", path)
		}
		return err
	}); err != nil {
		t.Error(err)
	}
}
