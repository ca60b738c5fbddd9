package pipeline

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"syscall"

	"vedette/cmd/vedette/internal/config"
	"vedette/web"
)

// settings is what the web page may change.
type settings struct{ *Pipeline }

// regions is what is drawn on a camera's picture, with the configuration's keys. What is missing stays as it is.
type regions map[string]json.RawMessage

// Unchangeable says why nothing can be changed.
func (s settings) Unchangeable() error {
	if s.opts.Configuration == nil {
		return fmt.Errorf("%w: copy the YAML into one", errNoConfiguration)
	}
	return nil
}

// SetRegions puts a camera's masks, zones and lines into overrides.yaml, and takes the result.
func (s settings) SetRegions(ctx context.Context, camera string, text []byte) error {
	if s.camera(camera) == nil {
		return web.Mistake{Err: s.noCamera(camera)}
	}
	var drawn regions
	if err := json.Unmarshal(text, &drawn); err != nil {
		return web.Mistake{Err: fmt.Errorf("the body is not a JSON object of masks, zones and lines: %w", err)}
	}
	changes := map[string]any{}
	for key, part := range drawn {
		var value any
		switch key {
		case "masks", "zones", "lines":
		default:
			return web.Mistake{Err: fmt.Errorf("the body has %q: it is to have masks, zones and lines", key)}
		}
		if err := json.Unmarshal(part, &value); err != nil {
			return web.Mistake{Err: fmt.Errorf("%s: %w", key, err)}
		}
		changes[key] = value
	}
	err := s.override(ctx, func(o config.Overrides) error {
		entry := o.Camera(camera)
		for key, value := range changes {
			entry[key] = value
		}
		return nil
	})
	if _, system := errors.AsType[syscall.Errno](err); err != nil && !system && ctx.Err() == nil { // a full disk is nobody's mistake
		return web.Mistake{Err: err} // the configuration's own words, with the place
	}
	return err
}
