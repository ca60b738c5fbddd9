package manifest

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/goccy/go-yaml"
)

// A manifest larger than this is a mistake.
const maxFile = 256 << 10

// Path is where a model's manifest lies.
func Path(model string) string { return model + ".yaml" }

// ReadBeside reads the manifest beside a model; there need not be one. The error names the file, and the line and key
// where it can.
func ReadBeside(model string) (Manifest, error) {
	path := Path(model)
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return Manifest{}, nil
	}
	if err != nil {
		return Manifest{}, fmt.Errorf("cannot read the model's manifest: %w", err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return Manifest{}, fmt.Errorf("cannot read the model's manifest: %w", err)
	}
	return Parse(path, text)
}

// Parse reads a manifest; name stands for the file in errors.
func Parse(name string, text []byte) (m Manifest, err error) {
	defer func() { // the YAML library has panicked over input before, and this comes from outside
		if p := recover(); p != nil {
			m, err = Manifest{}, fmt.Errorf("%s: cannot be read as YAML: %v", name, p)
		}
	}()
	if len(text) > maxFile {
		return Manifest{}, fmt.Errorf("%s has more than %d bytes", name, maxFile)
	}
	if err := yaml.UnmarshalWithOptions(text, &m, yaml.DisallowUnknownField()); err != nil && !errors.Is(err, io.EOF) {
		return Manifest{}, describe(name, err)
	}
	if err := m.validate(); err != nil {
		return Manifest{}, fmt.Errorf("%s: %w", name, err)
	}
	return m, nil
}

// describe makes one line of the YAML library's error.
func describe(name string, err error) error {
	var at yaml.Error
	if !errors.As(err, &at) || at.GetToken() == nil {
		return fmt.Errorf("%s: cannot be read as YAML: %w", name, err)
	}
	token, message := at.GetToken(), at.GetMessage()
	var unknown *yaml.UnknownFieldError
	if errors.As(err, &unknown) {
		message = fmt.Sprintf("unknown key %q", token.Value)
	}
	return fmt.Errorf("%s:%d:%d: %.200s", name, token.Position.Line, token.Position.Column, message)
}
