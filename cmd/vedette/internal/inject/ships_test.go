package inject

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// TestWhatShipsCannotBeMadeToFail builds the program both ways, and looks into the files.
func TestWhatShipsCannotBeMadeToFail(t *testing.T) {
	for _, c := range []struct {
		tags string
		want bool
	}{{"", false}, {"faultinject", true}} {
		binary := filepath.Join(t.TempDir(), "vedette")
		build := exec.Command("go", "build", "-tags", c.tags, "-o", binary, "vedette/cmd/vedette")
		if out, err := build.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		text, err := os.ReadFile(binary)
		if err != nil {
			t.Fatal(err)
		}
		for _, sign := range []string{marker, "VEDETTE_INJECT_PATH", "internal/inject.devour"} {
			if got := bytes.Contains(text, []byte(sign)); got != c.want {
				t.Errorf("built with tags %q: %q is in the binary: %t, want %t", c.tags, sign, got, c.want)
			}
		}
	}
}
