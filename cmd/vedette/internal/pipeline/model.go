package pipeline

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// DefaultModel is the model that the configuration names when it is silent.
const DefaultModel = "coco"

// ModelPath finds the .onnx file of a configured model: a path as it is; a name in the state directory, then in what the
// packages install. VEDETTE_MODEL stands in for the default model alone, so that it never overrides a choice.
func ModelPath(model, stateDir string) (string, error) {
	if strings.Contains(model, "/") || strings.HasSuffix(model, ".onnx") {
		return model, exists(model)
	}
	if path := os.Getenv("VEDETTE_MODEL"); path != "" && model == DefaultModel {
		return path, exists(path)
	}
	places := []string{
		filepath.Join(stateDir, "models", model+".onnx"),
		filepath.Join("/usr/lib/vedette/models", model+".onnx"),
	}
	for _, path := range places {
		if _, err := os.Stat(path); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("model %q is not there: neither %s; give infer.model a path, or install the model",
		model, strings.Join(places, " nor "))
}

func exists(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("cannot read the model: %w", err)
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("cannot read the model: %s is not a file", path)
	}
	return nil
}
