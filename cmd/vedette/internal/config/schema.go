package config

import (
	"reflect"
	"time"

	"github.com/invopop/jsonschema"

	"vedette/capture"
)

// Schema is the configuration's JSON Schema, made from the types that read it.
func Schema() *jsonschema.Schema {
	reflector := jsonschema.Reflector{
		FieldNameTag:               "yaml",
		RequiredFromJSONSchemaTags: true, // every key has a default
		Mapper: func(t reflect.Type) *jsonschema.Schema {
			switch t {
			case reflect.TypeFor[time.Duration]():
				return &jsonschema.Schema{Type: "string", Description: "a time with its unit, such as 250ms or 5s"}
			case reflect.TypeFor[capture.Size]():
				return &jsonschema.Schema{Type: "string", Pattern: "^[0-9]+x[0-9]+$", Description: "width x height in pixels"}
			case reflect.TypeFor[capture.PixelFormat]():
				names := &jsonschema.Schema{Type: "string"}
				for _, p := range capture.PixelFormats() {
					names.Enum = append(names.Enum, p.String())
				}
				return names
			case reflect.TypeFor[capture.Flip]():
				return &jsonschema.Schema{Type: "string", Enum: []any{capture.NoFlip, capture.FlipHorizontal, capture.FlipVertical}}
			}
			return nil
		},
	}
	schema := reflector.Reflect(&Config{})
	schema.Title = "Vedette's configuration"
	return schema
}
