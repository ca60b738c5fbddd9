// Package manifest is what an integrator says of a model by hand, in a file beside it.
package manifest

import "vedette/infer"

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
