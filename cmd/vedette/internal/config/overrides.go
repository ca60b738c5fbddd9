package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"

	"vedette/capture"
	"vedette/whole"
)

// Overrides is the content of overrides.yaml while it is changed. It has the form of a configuration, but for its cameras: each
// entry changes the keys that it has of the camera that an earlier layer has by its name, and leaves the rest.
type Overrides map[string]any

// Section gives a mapping of the configuration, such as infer, thresholds; it is made where it is not there.
func (o Overrides) Section(keys ...string) map[string]any {
	section := map[string]any(o)
	for _, key := range keys {
		inner, ok := section[key].(map[string]any)
		if !ok {
			inner = map[string]any{}
			section[key] = inner
		}
		section = inner
	}
	return section
}

// SetModel makes a model the one that infer.model names, and gives what was there; "" stands for nothing.
func (o Overrides) SetModel(name string) (was string) {
	infer := o.Section("infer")
	was, _ = infer["model"].(string)
	infer["model"] = name
	if name == "" {
		delete(infer, "model")
	}
	if len(infer) == 0 {
		delete(o, "infer")
	}
	return was
}

// Camera gives what is changed of a camera; it is made where it is not there.
func (o Overrides) Camera(name string) map[string]any {
	list, _ := o["cameras"].([]any)
	for _, entry := range list {
		if camera, ok := entry.(map[string]any); ok && camera["name"] == name {
			return camera
		}
	}
	camera := map[string]any{"name": name}
	o["cameras"] = append(list, camera)
	return camera
}

// Override changes overrides.yaml, which is path, over the layers below it: whole or not at all. A change that does not make a
// valid configuration is refused, and so is one whose result agree gives an error for; then nothing is written. It gives the
// configuration that holds with it; undo puts back what was there. One change at a time is the caller's to see to.
func Override(path string, below []string, change func(Overrides) error, agree func(Config) error) (config Config, undo func() error, err error) {
	before, err := readBounded(path)
	missing := errors.Is(err, os.ErrNotExist)
	if err != nil && !missing {
		return config, nil, err
	}
	o := Overrides{}
	if err := yaml.Unmarshal(before, &o); err != nil {
		return config, nil, describe(path, err)
	}
	if o == nil {
		o = Overrides{}
	}
	if err := change(o); err != nil {
		return config, nil, err
	}
	text, err := yaml.MarshalWithOptions(map[string]any(o), yaml.Indent(2), yaml.IndentSequence(true))
	if err != nil {
		return config, nil, fmt.Errorf("cannot write %s: %w", path, err)
	}
	layers, err := readLayers(below)
	if err != nil {
		return config, nil, err
	}
	config = Default()
	if err := config.apply(append(layers, layer{path, text})); err != nil {
		return Config{}, nil, err
	}
	if err := agree(config); err != nil {
		return Config{}, nil, err
	}
	if err := whole.Write(path, 0o600, text); err != nil {
		return Config{}, nil, err
	}
	return config, func() error {
		if missing {
			return os.Remove(path)
		}
		return whole.Write(path, 0o600, before)
	}, nil
}

func (l layer) amends() bool { return filepath.Base(l.name) == OverridesFile }

// amend lays overrides over what is there.
func (c *Config) amend(name string, file *ast.File) error {
	cameras, rest := cut(file.Docs[0].Body, "cameras")
	if rest != nil {
		if err := yaml.NodeToValue(rest, c, yaml.DisallowUnknownField()); err != nil {
			return describe(name, err)
		}
	}
	list, ok := cameras.(*ast.SequenceNode)
	if !ok {
		return nil
	}
	aligned := make([]ast.Node, len(c.Cameras))
	for i := range aligned {
		aligned[i] = ast.Null(list.GetToken())
	}
	for _, entry := range list.Values {
		var named struct{ Name string }
		if err := yaml.NodeToValue(entry, &named); err != nil {
			return describe(name, err)
		}
		at := -1
		for i := range c.Cameras {
			if c.Cameras[i].Name == named.Name {
				at = i
			}
		}
		if at < 0 { // the operator took it out since
			continue
		}
		if err := yaml.NodeToValue(entry, (*capture.Amendment)(&c.Cameras[at]), yaml.DisallowUnknownField()); err != nil {
			return describe(name, err)
		}
		aligned[at] = entry
	}
	list.Values = aligned // so that a path in the whole leads to the same camera here
	return nil
}

// cut gives a mapping's value at a key, and a mapping without it; nil where nothing is left.
func cut(body ast.Node, key string) (value, rest ast.Node) {
	var entries []*ast.MappingValueNode
	switch b := body.(type) {
	case *ast.MappingNode:
		entries = b.Values
	case *ast.MappingValueNode:
		entries = []*ast.MappingValueNode{b}
	default:
		return nil, body
	}
	var others []*ast.MappingValueNode
	for _, e := range entries {
		if e.Key.GetToken().Value == key {
			value = e.Value
		} else {
			others = append(others, e)
		}
	}
	if len(others) == 0 {
		return value, nil
	}
	return value, ast.Mapping(body.GetToken(), false, others...)
}
