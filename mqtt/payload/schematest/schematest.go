// Package schematest holds messages against what docs/schema promises to subscribers. Only tests import it.
package schematest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"image/jpeg"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

// Interface is what docs/schema/asyncapi.yaml says of each topic.
type Interface struct{ channels []Channel }

// Channel is the topics of one address.
type Channel struct {
	Address  string // such as vedette/{device}/{camera}/detections
	QoS      byte
	Retained bool
	Incoming bool // the device reads it: what others write there may be anything

	plain  bool // text as it is, no JSON
	image  bool // a JPEG file
	schema *jsonschema.Schema
}

// Folder is the module's docs/schema, seen from the folder of any package's tests.
func Folder() (string, error) {
	folder, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("cannot find docs/schema: %w", err)
	}
	for {
		if _, err := os.Stat(filepath.Join(folder, "go.mod")); err == nil {
			return filepath.Join(folder, "docs", "schema"), nil
		}
		parent := filepath.Dir(folder)
		if parent == folder {
			return "", errors.New("cannot find docs/schema: no go.mod in any folder above")
		}
		folder = parent
	}
}

// document is the part of an AsyncAPI 3.0 document that is needed here.
type document struct {
	Channels map[string]struct {
		Address  string               `yaml:"address"`
		Messages map[string]reference `yaml:"messages"`
	} `yaml:"channels"`
	Operations map[string]struct {
		Action   string    `yaml:"action"`
		Channel  reference `yaml:"channel"`
		Bindings struct {
			MQTT struct {
				QoS    byte `yaml:"qos"`
				Retain bool `yaml:"retain"`
			} `yaml:"mqtt"`
		} `yaml:"bindings"`
	} `yaml:"operations"`
	Components struct {
		Messages map[string]struct {
			ContentType string         `yaml:"contentType"`
			Payload     map[string]any `yaml:"payload"`
		} `yaml:"messages"`
	} `yaml:"components"`
}

type reference struct {
	Ref string `yaml:"$ref"`
}

func (r reference) name() string { return r.Ref[strings.LastIndex(r.Ref, "/")+1:] }

// Load reads the document and the schemas that it names.
func Load() (*Interface, error) {
	folder, err := Folder()
	if err != nil {
		return nil, err
	}
	text, err := os.ReadFile(filepath.Join(folder, "asyncapi.yaml"))
	if err != nil {
		return nil, fmt.Errorf("cannot read the interface: %w", err)
	}
	var doc document
	if err := yaml.Unmarshal(text, &doc); err != nil {
		return nil, fmt.Errorf("cannot read asyncapi.yaml: %w", err)
	}
	compiler := jsonschema.NewCompiler()
	compiler.AssertFormat()
	var in Interface
	compiled := map[string]*jsonschema.Schema{} // by message: several channels may have one
	for _, operation := range doc.Operations {
		from, ok := doc.Channels[operation.Channel.name()]
		if !ok || len(from.Messages) != 1 {
			return nil, fmt.Errorf("cannot read asyncapi.yaml: %s is no channel with one message", operation.Channel.Ref)
		}
		channel := Channel{Incoming: operation.Action == "receive", Address: from.Address, QoS: operation.Bindings.MQTT.QoS, Retained: operation.Bindings.MQTT.Retain}
		for _, ref := range from.Messages {
			message := doc.Components.Messages[ref.name()]
			channel.plain, channel.image = message.ContentType == "text/plain", message.ContentType == "image/jpeg"
			if compiled[ref.name()] == nil {
				if compiled[ref.name()], err = compile(compiler, folder, ref.name(), message.Payload); err != nil {
					return nil, err
				}
			}
			channel.schema = compiled[ref.name()]
		}
		in.channels = append(in.channels, channel)
	}
	slices.SortFunc(in.channels, func(a, b Channel) int { return strings.Compare(a.Address, b.Address) })
	return &in, nil
}

// compile takes a payload that is a schema itself, or holds one, which may be the name of a file.
func compile(c *jsonschema.Compiler, folder, name string, payload map[string]any) (*jsonschema.Schema, error) {
	path := filepath.Join(folder, name)
	inner, isFile := payload["schema"].(map[string]any)
	if isFile {
		payload = inner
	}
	if ref, ok := inner["$ref"].(string); ok {
		path = filepath.Join(folder, ref)
	} else if err := c.AddResource(path, payload); err != nil {
		return nil, fmt.Errorf("cannot read the schema of %s: %w", name, err)
	}
	schema, err := c.Compile(path)
	if err != nil {
		return nil, fmt.Errorf("cannot read the schema of %s: %w", name, err)
	}
	return schema, nil
}

// Channels is every channel, by address.
func (i *Interface) Channels() []Channel { return i.channels }

// Find gives the channel of a topic. Prefixes are configurable, so that only what follows them counts. Of several channels that
// a topic may be of, it is that with the most fixed words.
func (i *Interface) Find(topic string) (Channel, error) {
	best, most := Channel{}, -1
	for _, channel := range i.channels {
		if n, ok := channel.matches(topic); ok && n > most {
			best, most = channel, n
		}
	}
	if most < 0 {
		return best, fmt.Errorf("topic %s is not in asyncapi.yaml", topic)
	}
	return best, nil
}

// matches tells how many fixed words of the address a topic has, where it is of this channel.
func (c Channel) matches(topic string) (words int, ok bool) {
	address, prefixed := strings.CutPrefix(c.Address, "vedette/{device}/")
	levels, parts := strings.Split(address, "/"), strings.Split(topic, "/")
	if prefixed && len(parts) <= len(levels) || !prefixed && len(parts) != len(levels) {
		return 0, false
	}
	parts = parts[len(parts)-len(levels):]
	for i, level := range levels {
		switch {
		case level == parts[i]:
			words++
		case !strings.HasPrefix(level, "{"):
			return 0, false
		}
	}
	return words, true
}

// Check tells what is wrong with a message of a topic.
func (i *Interface) Check(topic string, message []byte) error {
	channel, err := i.Find(topic)
	if err != nil {
		return err
	}
	if len(message) == 0 && channel.Retained { // it removes what is retained
		return nil
	}
	if channel.image {
		if _, err := jpeg.Decode(bytes.NewReader(message)); err != nil {
			return fmt.Errorf("message of %s is no JPEG file: %w", topic, err)
		}
		return nil
	}
	if !utf8.Valid(message) {
		return fmt.Errorf("message of %s is not UTF-8: %q", topic, message)
	}
	var value any = string(message)
	if !channel.plain {
		if value, err = jsonschema.UnmarshalJSON(bytes.NewReader(message)); err != nil {
			return fmt.Errorf("message of %s is not JSON: %w in %q", topic, err, message)
		}
		if !json.Valid(message) { // the above stops reading at the end of the first value
			return fmt.Errorf("message of %s is not one JSON value: %q", topic, message)
		}
	}
	if err := channel.schema.Validate(value); err != nil {
		return fmt.Errorf("message of %s is not as its schema says: %w in %s", topic, err, message)
	}
	return nil
}
