package config

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/agnivade/levenshtein"
	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
)

// describe turns an error of the YAML library into one line: file, line, column, what, and what was meant.
func describe(name string, err error) error {
	var at yaml.Error
	if !errors.As(err, &at) {
		return fmt.Errorf("%s: %w", name, err)
	}
	message, _, _ := strings.Cut(at.GetMessage(), "\n")
	var unknown *yaml.UnknownFieldError
	if errors.As(err, &unknown) {
		key := unknown.GetToken().Value
		message = fmt.Sprintf("unknown key %q", key)
		if meant := nearest(key); meant != "" {
			message += fmt.Sprintf(": did you mean %q?", meant)
		}
	}
	var mistyped *yaml.TypeError
	if errors.As(err, &mistyped) && at.GetToken() != nil {
		message = fmt.Sprintf("%q is not %s", at.GetToken().Value, kindName(mistyped.DstType))
		if at.GetToken().Value == ":" { // as of a port, in {brokers: [tcp://127.0.0.1:1883]}
			message = "within braces a colon ends a word: put the text that it stands in between quotes"
		}
	}
	if token := at.GetToken(); token != nil {
		return fmt.Errorf("%s:%d:%d: %s", name, token.Position.Line, token.Position.Column, message)
	}
	return fmt.Errorf("%s: %s", name, message)
}

// kindName says in an integrator's words what a Go type takes.
func kindName(t reflect.Type) string {
	if t == reflect.TypeFor[time.Duration]() {
		return "a time with its unit, such as 5s"
	}
	switch t.Kind() {
	case reflect.Int, reflect.Int64:
		return "a whole number"
	case reflect.Float32, reflect.Float64:
		return "a number"
	case reflect.Bool:
		return "true or false"
	case reflect.String:
		return "a text"
	case reflect.Slice, reflect.Array:
		return "a list"
	}
	return "a mapping"
}

// locate says where a value stands that is wrong: in the last layer that has it, or nowhere, when a default clashes
// or a key is missing.
func locate(files []*ast.File, path, problem string) error {
	for trimmed := path; trimmed != ""; trimmed = parent(trimmed) {
		if node, file := find(files, "$."+trimmed); node != nil {
			at := node.GetToken().Position
			return fmt.Errorf("%s:%d:%d: %s: %s", file.Name, at.Line, at.Column, path, problem)
		}
	}
	return fmt.Errorf("%s: %s", path, problem)
}

func parent(path string) string {
	if i := strings.LastIndexAny(path, ".["); i >= 0 {
		return path[:i]
	}
	return ""
}

// nearest finds the key that was probably meant: one that differs by a third of its letters at most.
func nearest(key string) string {
	best, bestDistance := "", len(key)/3+2
	for name := range keys(reflect.TypeFor[Config](), map[string]bool{}) {
		if d := levenshtein.ComputeDistance(key, name); d < bestDistance || d == bestDistance && name < best {
			best, bestDistance = name, d
		}
	}
	return best
}

// keys collects every key that the configuration knows.
func keys(t reflect.Type, into map[string]bool) map[string]bool {
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Map:
		keys(t.Elem(), into)
	case reflect.Struct:
		for field := range t.Fields() {
			if name, _, _ := strings.Cut(field.Tag.Get("yaml"), ","); name != "" {
				into[name] = true
				keys(field.Type, into)
			}
		}
	}
	return into
}
