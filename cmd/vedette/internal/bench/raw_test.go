package bench

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The bare session runs the model as the service would: by the manifest beside it.
func TestTheBareSessionReadsTheManifest(t *testing.T) {
	model := filepath.Join(t.TempDir(), "yard.onnx")
	for path, text := range map[string]string{model: "", model + ".yaml": "famly: yolox\n"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	err := ServeRaw(t.Context(), RawOptions{Model: model, Threads: 1}, strings.NewReader(""), io.Discard)
	if err == nil || !strings.Contains(err.Error(), `unknown key "famly"`) {
		t.Errorf("a mistake in the manifest: %v", err)
	}
}
