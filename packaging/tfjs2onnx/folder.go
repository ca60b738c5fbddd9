package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
)

// readFolder reads the one graph model in a folder: its description, and the weights in the files that it names.
func readFolder(folder string) (*description, map[string]weight, error) {
	names, err := filepath.Glob(filepath.Join(folder, "*.json"))
	if err != nil {
		return nil, nil, err
	}
	slices.Sort(names)
	var path string
	var data []byte
	for _, name := range names {
		content, err := readFile(name, maxDescription)
		if err != nil {
			return nil, nil, err
		}
		var top struct {
			Topology json.RawMessage `json:"modelTopology"`
		}
		if json.Unmarshal(content, &top) != nil || top.Topology == nil {
			continue
		}
		if data != nil {
			return nil, nil, fmt.Errorf("both %s and %s are a TensorFlow.js model", path, name)
		}
		path, data = name, content
	}
	if data == nil {
		return nil, nil, fmt.Errorf("none of its %d *.json files is a TensorFlow.js model, with a modelTopology", len(names))
	}
	d, err := parseDescription(data)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", path, err)
	}
	weights, err := readWeights(d.Manifest, func(name string, limit int64) ([]byte, error) {
		return readFile(filepath.Join(folder, name), limit)
	})
	return d, weights, err
}

// readFile reads a file of at most limit bytes.
func readFile(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(data)) > limit {
		return nil, fmt.Errorf("%s has more than %d bytes", path, limit)
	}
	return data, nil
}
