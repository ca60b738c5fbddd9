package config

import (
	"fmt"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// Origins gives the configuration that the layers make as YAML, and beside each value where it came from: a layer's file
// and line, or the defaults.
func Origins(paths ...string) ([]byte, error) {
	layers, err := readLayers(paths)
	if err != nil {
		return nil, err
	}
	merged := Default()
	files, err := merged.lay(layers)
	if err != nil {
		return nil, err
	}
	text, err := merged.Text()
	if err != nil {
		return nil, err
	}
	whole, err := parser.ParseBytes(text, 0)
	if err != nil {
		return nil, fmt.Errorf("cannot read the merged configuration: %w", err)
	}
	comments := yaml.CommentMap{}
	for _, doc := range whole.Docs {
		ast.Walk(origins{files, comments}, doc.Body)
	}
	text, err = yaml.MarshalWithOptions(merged, yaml.Indent(2), yaml.IndentSequence(true), yaml.WithComment(comments))
	if err != nil {
		return nil, fmt.Errorf("cannot write the configuration: %w", err)
	}
	return text, nil
}

// origins notes for each value that it visits where it came from.
type origins struct {
	files    []*ast.File
	comments yaml.CommentMap
}

// Visit implements ast.Visitor.
func (o origins) Visit(node ast.Node) ast.Visitor {
	value, ok := node.(*ast.MappingValueNode)
	if !ok {
		return o
	}
	if _, scalar := value.Value.(ast.ScalarNode); !scalar {
		return o
	}
	path, origin := value.GetPath(), " default"
	if at, file := find(o.files, path); at != nil {
		origin = fmt.Sprintf(" %s:%d", file.Name, at.GetToken().Position.Line)
	}
	o.comments[path] = []*yaml.Comment{yaml.LineComment(origin)}
	return o
}

// find gives the node at a path in the last layer that has it, nil where none has.
func find(files []*ast.File, path string) (ast.Node, *ast.File) {
	yamlPath, err := yaml.PathString(path)
	if err != nil {
		return nil, nil
	}
	for i := len(files) - 1; i >= 0; i-- {
		node, err := yamlPath.FilterFile(files[i])
		if err == nil && node != nil && node.GetToken() != nil {
			return node, files[i]
		}
	}
	return nil, nil
}
