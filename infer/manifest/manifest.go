// Package manifest is what an integrator says of a model by hand, in a file beside it.
package manifest

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"vedette/infer"
)

// Manifest overrides what a model's metadata, names and shapes say. What is empty, or nil, is left to them.
type Manifest struct {
	Family     string           `yaml:"family"`      // see package decode
	Labels     []string         `yaml:"labels"`      // by class
	Input      Input            `yaml:"input"`       // how a picture becomes the input
	Strides    []int            `yaml:"strides"`     // of a family's grids, in pixels
	Decoded    *bool            `yaml:"decoded"`     // yolox: boxes are in pixels already
	FirstClass *int             `yaml:"first_class"` // ssd: the number of the first class, 0 or 1
	NMS        NMS              `yaml:"nms"`
	Thresholds infer.Thresholds `yaml:"thresholds"` // by label; the configuration's own for a label come first
}

// Input is how a picture becomes the model's input.
type Input struct {
	Size   string `yaml:"size"`   // WIDTHxHEIGHT in pixels, for a model that leaves it free
	Layout string `yaml:"layout"` // nchw, nhwc
	Order  string `yaml:"order"`  // rgb, bgr
	Fit    string `yaml:"fit"`    // stretch, letterbox, letterbox_top_left
	Pad    *uint8 `yaml:"pad"`    // grey level around a letterboxed picture
	// A value v of 0..255 enters as (v - mean) / deviation: one number, or one for each channel in the input's order.
	Mean      []float32 `yaml:"mean"`
	Deviation []float32 `yaml:"deviation"`
}

// NMS is how boxes that overlap are thinned out, for the families that leave it to do.
type NMS struct {
	IoU      *float32 `yaml:"iou"`      // overlap from which two boxes are the same object
	Agnostic bool     `yaml:"agnostic"` // across classes, where it is else within each
}

// Bounds on labels: more would not fit into the worker's first message.
const (
	maxLabels     = 2000
	maxLabelBytes = 256
)

// validate tells what is wrong with the values; which families and names there are is known where they are used.
func (m Manifest) validate() error {
	if len(m.Labels) > maxLabels {
		return fmt.Errorf("labels: %d are more than %d", len(m.Labels), maxLabels)
	}
	for class, label := range m.Labels {
		if label == "" || len(label) > maxLabelBytes || !utf8.ValidString(label) || strings.ContainsFunc(label, unicode.IsControl) {
			return fmt.Errorf("labels[%d]: %.40q is not 1 to %d bytes of text", class, label, maxLabelBytes)
		}
	}
	for i, s := range m.Strides {
		if s < 1 || s > 1024 || i > 0 && s <= m.Strides[i-1] || i == 16 {
			return fmt.Errorf("strides: %v are not up to 16 rising numbers of 1 to 1024", m.Strides)
		}
	}
	if len(m.Labels) == 0 && m.Labels != nil {
		return errors.New("labels: the list is empty")
	}
	if f := m.FirstClass; f != nil && *f != 0 && *f != 1 {
		return fmt.Errorf("first_class: %d is neither 0 nor 1", *f)
	}
	if v := m.NMS.IoU; v != nil && !(*v >= 0 && *v <= 1) {
		return fmt.Errorf("nms.iou: %g is outside 0..1", *v)
	}
	if len(m.Thresholds) > maxLabels {
		return fmt.Errorf("thresholds: %d are more than %d", len(m.Thresholds), maxLabels)
	}
	for label, v := range m.Thresholds {
		if !(v >= 0 && v <= 1) {
			return fmt.Errorf("thresholds.%s: %g is outside 0..1", label, v)
		}
	}
	return m.Input.validate()
}

func (i Input) validate() error {
	if i.Size != "" {
		if _, _, err := i.Pixels(); err != nil {
			return err
		}
	}
	for _, c := range []struct {
		key, value string
		known      []string
	}{
		{"layout", i.Layout, []string{"nchw", "nhwc"}},
		{"order", i.Order, []string{"rgb", "bgr"}},
		{"fit", i.Fit, []string{"stretch", "letterbox", "letterbox_top_left"}},
	} {
		if c.value != "" && !slices.Contains(c.known, c.value) {
			return fmt.Errorf("input.%s: %q is none of %s", c.key, c.value, strings.Join(c.known, ", "))
		}
	}
	for key, values := range map[string][]float32{"mean": i.Mean, "deviation": i.Deviation} {
		if n := len(values); n != 0 && n != 1 && n != 3 {
			return fmt.Errorf("input.%s: %d numbers are neither one nor one for each of three channels", key, n)
		}
		for _, v := range values {
			if !(v >= -1e6 && v <= 1e6) || key == "deviation" && !(v >= 1e-6) {
				return fmt.Errorf("input.%s: %g is out of bounds", key, v)
			}
		}
	}
	return nil
}

// Pixels is the size in numbers.
func (i Input) Pixels() (width, height int64, err error) {
	var rest string
	if n, _ := fmt.Sscanf(i.Size+" .", "%dx%d %s", &width, &height, &rest); n != 3 || rest != "." || width < 1 || height < 1 {
		return 0, 0, fmt.Errorf("input.size: %q is not of the form 640x640", i.Size)
	}
	return width, height, nil
}
