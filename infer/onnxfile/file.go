package onnxfile

import (
	"fmt"

	"vedette/whole"
)

// WriteFile writes a model file so that a reader sees the old one or the whole new one, after a power cut too. Its mode
// is 0644.
func WriteFile(path string, data []byte) error {
	if err := whole.Write(path, 0o644, data); err != nil {
		return fmt.Errorf("cannot write a model: %w", err)
	}
	return nil
}
