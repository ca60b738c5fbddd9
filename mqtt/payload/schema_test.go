package payload_test

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"

	"vedette/mqtt/payload"
	"vedette/mqtt/payload/schematest"
)

func schemaFolder(t *testing.T) string {
	t.Helper()
	folder, err := schematest.Folder()
	if err != nil {
		t.Fatal(err)
	}
	return folder
}

// parsed reads a YAML or JSON file: YAML is the larger language.
func parsed(t *testing.T, path string) (doc any) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(text, &doc); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return doc
}

// at follows a JSON pointer without escapes; nil where nothing is.
func at(doc any, pointer string) any {
	for _, key := range strings.Split(strings.TrimPrefix(pointer, "/"), "/") {
		object, ok := doc.(map[string]any)
		if !ok {
			return nil
		}
		doc = object[key]
	}
	return doc
}

// references are the values of every $ref in a document.
func references(doc any) (refs []string) {
	switch v := doc.(type) {
	case map[string]any:
		for key, value := range v {
			if ref, ok := value.(string); ok && key == "$ref" {
				refs = append(refs, ref)
			}
			refs = append(refs, references(value)...)
		}
	case []any:
		for _, value := range v {
			refs = append(refs, references(value)...)
		}
	}
	return refs
}

func TestEveryReferenceResolves(t *testing.T) {
	folder := schemaFolder(t)
	files, err := filepath.Glob(filepath.Join(folder, "*"))
	if err != nil || len(files) < 4 {
		t.Fatalf("%v, %v", files, err)
	}
	named := map[string]bool{"asyncapi.yaml": true}
	for _, file := range files {
		doc := parsed(t, file)
		refs := references(doc)
		for _, ref := range refs {
			name, pointer, inside := strings.Cut(ref, "#")
			target := doc
			if name != "" {
				named[name] = true
				target = parsed(t, filepath.Join(folder, name))
			}
			if inside && at(target, pointer) == nil {
				t.Errorf("%s: nothing is at %s", filepath.Base(file), ref)
			}
		}
		if filepath.Base(file) == "asyncapi.yaml" && len(refs) == 0 {
			t.Error("asyncapi.yaml refers to nothing")
		}
	}
	for _, file := range files {
		if !named[filepath.Base(file)] {
			t.Errorf("nothing refers to %s", filepath.Base(file))
		}
	}
}

func TestEveryTopicIsAChannelAndTheOtherWayRound(t *testing.T) {
	topics, err := payload.NewTopics("vedette/{device}", "test")
	if err != nil {
		t.Fatal(err)
	}
	var made []string
	value := reflect.ValueOf(topics)
	for i := range value.NumMethod() {
		if value.Type().Method(i).Name == "Prefix" {
			continue
		}
		args := make([]reflect.Value, value.Method(i).Type().NumIn())
		for j := range args {
			args[j] = reflect.ValueOf("yard")
		}
		made = append(made, value.Method(i).Call(args)[0].String())
	}
	var addresses []string
	others := 0 // Home Assistant's and Frigate's, whose packages have tests of their own
	for _, channel := range load(t).Channels() {
		if !strings.HasPrefix(channel.Address, "vedette/") {
			others++
			continue
		}
		address := strings.NewReplacer("{device}", "test", "{camera}", "yard", "{zone}", "yard", "{label}", "yard", "{name}", "yard")
		addresses = append(addresses, address.Replace(channel.Address))
	}
	slices.Sort(made)
	slices.Sort(addresses)
	if !slices.Equal(made, addresses) {
		t.Errorf("payload.Topics makes %q,\nasyncapi.yaml has %q", made, addresses)
	}
	doc := parsed(t, filepath.Join(schemaFolder(t), "asyncapi.yaml"))
	channels, ok := at(doc, "channels").(map[string]any)
	if !ok || len(channels) != len(addresses)+others {
		t.Errorf("%d channels, %d operations: each channel needs one", len(channels), len(addresses)+others)
	}
}

// constants are the values of a string type's constants, as the source of a package declares them.
func constants(t *testing.T, folder, typeName string) (values []string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(schemaFolder(t), "../..", folder, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			spec, ok := n.(*ast.ValueSpec)
			if !ok {
				return true
			}
			if of, ok := spec.Type.(*ast.Ident); !ok || of.Name != typeName {
				return true
			}
			for _, value := range spec.Values {
				if literal, ok := value.(*ast.BasicLit); ok {
					word, err := strconv.Unquote(literal.Value)
					if err != nil {
						t.Fatal(err)
					}
					values = append(values, word)
				}
			}
			return true
		})
	}
	return values
}

func TestTheSchemasWordsAreTheProgrammes(t *testing.T) {
	for _, c := range []struct{ folder, typeName, file, pointer string }{
		{"supervisor", "State", "state.schema.json", "/$defs/worker/properties/state/enum"},
		{"supervisor", "Kind", "fault.schema.json", "/properties/kind/enum"},
		{"capture", "State", "state.schema.json", "/$defs/camera/properties/state/enum"},
		{"capture", "DropCause", "state.schema.json", "/$defs/camera/properties/drops/propertyNames/enum"},
		{"capture", "FailureCause", "state.schema.json", "/$defs/camera/properties/failures/propertyNames/enum"},
		{"mqtt/payload", "Clock", "detections.schema.json", "/$defs/clock/enum"},
		{"track", "Reason", "event.schema.json", "/properties/reason/enum"},
		{"track", "Type", "event.schema.json", "/properties/type/enum"},
		{"track", "Direction", "event.schema.json", "/properties/crossed/items/properties/direction/enum"},
	} {
		said := constants(t, c.folder, c.typeName)
		listed, _ := at(parsed(t, filepath.Join(schemaFolder(t), c.file)), c.pointer).([]any)
		var words []string
		for _, word := range listed {
			words = append(words, word.(string))
		}
		slices.Sort(said)
		slices.Sort(words)
		if len(said) == 0 || !slices.Equal(said, words) {
			t.Errorf("%s.%s says %q,\n%s has %q", c.folder, c.typeName, said, c.file, words)
		}
	}
}

// Every key of the Go types is in the schema: one that is forgotten there would be seen only when a message has it.
func TestTheSchemasKeysAreTheTypes(t *testing.T) {
	for _, c := range []struct {
		of            any
		file, pointer string
	}{
		{payload.State{}, "state.schema.json", "/properties"},
		{payload.Worker{}, "state.schema.json", "/$defs/worker/properties"},
		{payload.Model{}, "state.schema.json", "/$defs/worker/properties/model/properties"},
		{payload.Camera{}, "state.schema.json", "/$defs/camera/properties"},
		{payload.Outbox{}, "state.schema.json", "/properties/outbox/properties"},
		{payload.Resources{}, "state.schema.json", "/properties/resources/properties"},
		{payload.Degradation{}, "state.schema.json", "/properties/degraded/items/properties"},
		{payload.Fault{}, "fault.schema.json", "/properties"},
		{payload.Result{}, "result.schema.json", "/properties"},
	} {
		object := at(parsed(t, filepath.Join(schemaFolder(t), c.file)), c.pointer)
		properties, _ := object.(map[string]any)
		of := reflect.TypeOf(c.of)
		for i := range of.NumField() {
			key, _, _ := strings.Cut(of.Field(i).Tag.Get("json"), ",")
			if _, ok := properties[key]; !ok {
				t.Errorf("%s: %s is not in %s", of.Name(), key, c.file)
			}
			delete(properties, key)
		}
		for key := range properties {
			t.Errorf("%s: %s of %s is not in the type", of.Name(), key, c.file)
		}
	}
	var d payload.Detections
	var keys map[string]any
	if err := json.Unmarshal(d.AppendJSON(nil), &keys); err != nil {
		t.Fatal(err)
	}
	properties, _ := at(parsed(t, filepath.Join(schemaFolder(t), "detections.schema.json")), "/properties").(map[string]any)
	for key := range properties {
		if _, ok := keys[key]; !ok {
			t.Errorf("detections: %s is not in the message", key)
		}
	}
}
