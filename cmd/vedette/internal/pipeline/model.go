package pipeline

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"vedette/infer/store"
)

// DefaultModel is the model that the configuration names when it is silent.
const DefaultModel = "coco"

// Models is where model bundles are installed.
func Models(stateDir string) store.Store { return store.New(filepath.Join(stateDir, "models")) }

// fromStore tells whether a configured model is the one of that name in the store, where it has it.
func fromStore(model, name string) bool {
	return model == name && (model != DefaultModel || os.Getenv("VEDETTE_MODEL") == "")
}

// ModelPath finds the .onnx file of a configured model: a path as it is; of a name the bundle in use, then a file in the state
// directory, then what the packages install. VEDETTE_MODEL stands in for the default model alone, so that it never overrides a
// choice.
func ModelPath(model, stateDir string) (string, error) {
	if strings.Contains(model, "/") || strings.HasSuffix(model, ".onnx") {
		return model, exists(model)
	}
	if path := os.Getenv("VEDETTE_MODEL"); path != "" && model == DefaultModel {
		return path, exists(path)
	}
	installed, err := Models(stateDir).Current(model)
	if err == nil {
		return installed.Model(), nil
	}
	if !errors.Is(err, store.ErrNoneInUse) {
		return "", err
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
	return "", fmt.Errorf("model %q is not there: neither %s nor a bundle in use; give infer.model a path, or install the model "+
		"(vedette model add)", model, strings.Join(places, " nor "))
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
