// Package infer is the vocabulary of object detection: what a model is, what it found, how long that took.
package infer

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"
)

// Box is an axis-aligned rectangle in 0..1 of the frame's width and height, X1 <= X2 and Y1 <= Y2.
type Box struct {
	X1, Y1, X2, Y2 float32
}

// Clip cuts the box to the frame.
func (b Box) Clip() Box {
	return Box{clip01(b.X1), clip01(b.Y1), clip01(b.X2), clip01(b.Y2)}
}

func clip01(v float32) float32 { return min(max(v, 0), 1) }

// Area is the box's area as a fraction of the frame's.
func (b Box) Area() float32 { return max(b.X2-b.X1, 0) * max(b.Y2-b.Y1, 0) }

// IoU is the intersection of two boxes over their union (the Jaccard index), 0 where both are empty.
func (b Box) IoU(o Box) float32 {
	inter := Box{max(b.X1, o.X1), max(b.Y1, o.Y1), min(b.X2, o.X2), min(b.Y2, o.Y2)}.Area()
	union := b.Area() + o.Area() - inter
	if union <= 0 {
		return 0
	}
	return inter / union
}

// Finite tells whether every coordinate is a number.
func (b Box) Finite() bool {
	for _, v := range [4]float32{b.X1, b.Y1, b.X2, b.Y2} {
		if math.IsNaN(float64(v)) || math.IsInf(float64(v), 0) {
			return false
		}
	}
	return true
}

// Detection is one object that a model saw in one frame.
type Detection struct {
	Class int     // index into the model's labels
	Score float32 // 0..1
	Box   Box     // clipped to the frame
}

// MaxDetections is the most detections that one frame may have; the highest scores are kept. It bounds messages.
const MaxDetections = 300

// Timings is where one frame's time went, in the worker and on the way to it. Queue runs from the frame's submission to
// the worker's start on it.
type Timings struct {
	Queue      time.Duration
	Preprocess time.Duration // MJPEG decoding included
	Infer      time.Duration
	Decode     time.Duration // tensor to detections
	Total      time.Duration // from submission to the result's arrival
}

// Model describes a loaded model as the worker reports it.
type Model struct {
	Name     string   `json:"name"`
	SHA256   string   `json:"sha256"`   // of the .onnx file, in hex
	Family   string   `json:"family"`   // see package decode
	Evidence []string `json:"evidence"` // what the family and how it is fed rest on, a sentence each
	Fed      string   `json:"fed"`      // how a picture becomes the input, in words
	Labels   []string `json:"labels"`
	Width    int      `json:"width"` // input size in pixels
	Height   int      `json:"height"`
	Inputs   []Tensor `json:"inputs"`
	Outputs  []Tensor `json:"outputs"`
	// Thresholds are the manifest's: the configuration's are laid over them.
	Thresholds Thresholds `json:"thresholds,omitempty"`
	Provider   string     `json:"provider"` // the execution provider that runs it: "cpu", "cuda", "tensorrt"
	Degraded   string     `json:"degraded"` // why a provider that was asked for is not in use; "" where all is as configured
	// Nodes counts the optimised graph's nodes by the provider that they run on; what TensorRT makes one engine of is one node. Empty
	// where ONNX Runtime does not say.
	Nodes   map[string]int `json:"nodes,omitempty"`
	Runtime string         `json:"runtime"` // ONNX Runtime's version
	// LoadTime runs from the order to load the model to the end of its first run, which is the slow one.
	LoadTime time.Duration `json:"load_time_ns"`
}

// Placement says how many nodes run where, such as "nodes: 3 on cpu, 263 on cuda"; "" where it is not known.
func (m Model) Placement() string {
	var parts []string
	for _, provider := range slices.Sorted(maps.Keys(m.Nodes)) {
		parts = append(parts, fmt.Sprintf("%d on %s", m.Nodes[provider], provider))
	}
	if len(parts) == 0 {
		return ""
	}
	return "nodes: " + strings.Join(parts, ", ")
}

// Tensor describes one input or output of a model. A dimension of -1 is free.
type Tensor struct {
	Name  string  `json:"name"`
	Type  string  `json:"type"` // "float32", "float16", "uint8", "int64", …
	Shape []int64 `json:"shape"`
}

// Label gives a class's name, or "" where the model has none for it.
func (m Model) Label(class int) string {
	if class < 0 || class >= len(m.Labels) {
		return ""
	}
	return m.Labels[class]
}

// Signature is what a model file says of itself.
type Signature struct {
	Inputs, Outputs []Tensor
	Metadata        map[string]string // the custom metadata
	Nodes           []string          // names of the graph's nodes, which exporters take from the parts of the network
}

// InputSpec is what a model wants to be fed: how pixels become its input tensor. A value v of 0..255 enters as
// (v - Mean[c]) * Scale[c], c in the tensor's channel order.
type InputSpec struct {
	Width, Height int // pixels
	Batch         int // pictures that one run takes; 0: as many as one likes
	Type          ElementType
	Layout        Layout
	Order         ChannelOrder
	Fit           Fit
	Pad           uint8 // grey level around a letterboxed picture
	Mean, Scale   [3]float32
}

// String says in words how a picture becomes the input.
func (s InputSpec) String() string {
	layout := map[Layout]string{NCHW: "channels first", NHWC: "channels last"}[s.Layout]
	order := map[ChannelOrder]string{RGB: "RGB", BGR: "BGR"}[s.Order]
	fit := map[Fit]string{
		Stretch: "stretched", Letterbox: fmt.Sprintf("letterboxed in the middle on %d", s.Pad),
		LetterboxTopLeft: fmt.Sprintf("letterboxed at the top left on %d", s.Pad),
	}[s.Fit]
	kind := map[ElementType]string{Float32: "float32", Float16: "float16", Uint8: "uint8"}[s.Type]
	batch := fmt.Sprintf("%d at a time", s.Batch)
	if s.Batch == 0 {
		batch = "any number at a time"
	}
	return fmt.Sprintf("%dx%d %s %s, %s, %s, (value - %v) * %.6g, %s", s.Width, s.Height, order, kind, layout, fit, s.Mean, s.Scale, batch)
}

// ElementType is what a picture's tensor is made of. A Uint8 one takes pixels as they are: Mean is 0, Scale 1.
type ElementType uint8

// The types in which models take pictures.
const (
	Float32 ElementType = iota
	Float16
	Uint8
)

// Layout is the order of a tensor's dimensions.
type Layout uint8

// The two layouts; N is the batch.
const (
	NCHW Layout = iota
	NHWC
)

// ChannelOrder is the order of a tensor's colour channels.
type ChannelOrder uint8

// The two channel orders.
const (
	RGB ChannelOrder = iota
	BGR
)

// Fit is how a picture of one shape goes into an input of another.
type Fit uint8

// Stretch fills the input and ignores the aspect ratio; Letterbox keeps it, centred; LetterboxTopLeft keeps it, in the
// top left corner.
const (
	Stretch Fit = iota
	Letterbox
	LetterboxTopLeft
)

// Placement says where the model's input lies in the frame: input pixel (x, y) is the frame's (X + x*ScaleX,
// Y + y*ScaleY), in 0..1 of the frame's width and height. It carries the region of interest and the letterbox.
type Placement struct {
	X, Y, ScaleX, ScaleY float32
}

// Place turns a box in input pixels into one in 0..1 of the frame, clipped to it.
func (p Placement) Place(b Box) Box {
	return Box{
		p.X + b.X1*p.ScaleX, p.Y + b.Y1*p.ScaleY,
		p.X + b.X2*p.ScaleX, p.Y + b.Y2*p.ScaleY,
	}.Clip()
}
