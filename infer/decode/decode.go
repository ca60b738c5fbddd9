// Package decode turns a model's output tensors into detections.
package decode

import (
	"fmt"
	"slices"
	"strings"

	"vedette/infer"
)

// Output is one output tensor after a run, in the model's order.
type Output struct {
	Data  []float32
	Shape []int64
}

// Decoder reads one family's outputs.
type Decoder interface {
	// Decode appends to dst what the outputs show, placed in the frame: by falling score, at most
	// infer.MaxDetections, each finite, clipped to the frame, and not below its label's threshold. It allocates
	// nothing where dst has the room, and serves one goroutine at a time. Numbers that no detection can have are
	// left out; outputs of another shape than the model's are an error.
	Decode(outputs []Output, p infer.Placement, dst []infer.Detection) ([]infer.Detection, error)
}

// Family is a recognised model: what to feed it, and how to read it.
type Family struct {
	Name     string
	Input    infer.InputSpec
	Labels   []string // by class
	Evidence []string // what the recognition rests on, a sentence each

	decoder func(thresholds []float32) Decoder
}

// Decoder makes a decoder that drops what scores less than its label's threshold.
func (f Family) Decoder(t infer.Thresholds) Decoder {
	byClass := make([]float32, len(f.Labels))
	for class, label := range f.Labels {
		byClass[class] = t.For(label)
	}
	return f.decoder(byClass)
}

// Recognise tells a model's family by its tensors and its custom metadata: `family` (a family's name) and `names` (the
// labels: a JSON list, or the Python dict that Ultralytics writes); a family may read further keys. Where metadata
// names a family, the tensors must fit it.
func Recognise(inputs, outputs []infer.Tensor, metadata map[string]string) (Family, error) {
	m := model{inputs: inputs, outputs: outputs, metadata: metadata}
	if text, ok := metadata["names"]; ok {
		var err error
		if m.labels, err = parseLabels(text); err != nil {
			return Family{}, fmt.Errorf("cannot read the labels in the model's metadata (names): %w", err)
		}
	}
	claimed := metadata["family"]
	for _, candidate := range families() {
		if claimed != "" && claimed != candidate.name {
			continue
		}
		if !candidate.fits(m) {
			if claimed == "" {
				continue
			}
			return Family{}, fmt.Errorf("cannot use the model as %s, which its metadata names: it has %s; needed is %s",
				candidate.name, m, candidate.shape)
		}
		f, err := candidate.recognise(m)
		if err != nil {
			return Family{}, fmt.Errorf("cannot use the model as %s: %w", candidate.name, err)
		}
		f.Name = candidate.name
		if claimed != "" {
			f.Evidence = append([]string{fmt.Sprintf("metadata: family is %q", claimed)}, f.Evidence...)
		}
		return f, nil
	}
	var known []string
	for _, candidate := range families() {
		known = append(known, candidate.name+" ("+candidate.shape+")")
	}
	if claimed != "" {
		return Family{}, fmt.Errorf("cannot use the model: its metadata says family %q; known are %s",
			claimed, strings.Join(known, ", "))
	}
	return Family{}, fmt.Errorf("cannot tell the model's family: it has %s; known are %s", m, strings.Join(known, ", "))
}

// family is an entry in the list of those that are known.
type family struct {
	name  string
	shape string // what its tensors look like, for people
	// fits tells whether the tensors look like this family's.
	fits func(model) bool
	// recognise fills in a Family, its Name excepted, of a model that fits; the error says what contradicts that.
	recognise func(model) (Family, error)
}

// families are asked in this order; the first one that fits wins. Each is a file of its own.
func families() []family {
	return []family{centernetFamily(), yoloxFamily()}
}

// model is what recognition looks at.
type model struct {
	inputs, outputs []infer.Tensor
	metadata        map[string]string
	labels          []string // from the metadata; nil without
}

// String lists the tensors: "inputs images float32[1 3 416 416]; outputs output float32[1 3549 85]".
func (m model) String() string {
	list := func(tensors []infer.Tensor) string {
		var all []string
		for _, t := range tensors {
			all = append(all, fmt.Sprintf("%s %s%v", t.Name, t.Type, t.Shape))
		}
		return strings.Join(all, ", ")
	}
	return "inputs " + list(m.inputs) + "; outputs " + list(m.outputs)
}

// single gives the shapes of a model with one float32 input and one float32 output.
func (m model) single() (in, out []int64, ok bool) {
	if len(m.inputs) != 1 || len(m.outputs) != 1 || m.inputs[0].Type != "float32" || m.outputs[0].Type != "float32" {
		return nil, nil, false
	}
	return m.inputs[0].Shape, m.outputs[0].Shape, true
}

// maxSide bounds a model's input, in pixels.
const maxSide = 8192

func side(d int64) bool { return d >= 1 && d <= maxSide }

// labelsFor gives labels for a number of classes, and says where they come from.
func (m model) labelsFor(classes int) (labels []string, evidence string, err error) {
	switch {
	case m.labels != nil && len(m.labels) != classes:
		return nil, "", fmt.Errorf("its metadata names %d labels for %d classes", len(m.labels), classes)
	case m.labels != nil:
		return m.labels, fmt.Sprintf("metadata: %d labels", classes), nil
	case classes == len(coco()):
		return coco(), "no labels in the metadata: 80 classes are taken for COCO's", nil
	}
	for class := range classes {
		labels = append(labels, fmt.Sprintf("class_%d", class))
	}
	return labels, fmt.Sprintf("no labels in the metadata: the %d classes are called by their numbers", classes), nil
}

// candidate is a detection in input pixels.
type candidate struct {
	box   infer.Box
	score float32
	class int
	index int // in the output: what decides between equal scores
}

// possible tells whether the numbers can be a detection.
func (c candidate) possible() bool {
	return c.score >= 0 && c.score <= 1 && c.box.Finite() && c.box.X1 < c.box.X2 && c.box.Y1 < c.box.Y2
}

func byFallingScore(a, b candidate) int {
	switch {
	case a.score > b.score:
		return -1
	case a.score < b.score:
		return 1
	}
	return a.index - b.index
}

func rank(all []candidate) { slices.SortFunc(all, byFallingScore) }

// place appends ranked candidates to dst, without those that lie outside the frame.
func place(all []candidate, p infer.Placement, dst []infer.Detection) []infer.Detection {
	first := len(dst)
	for _, c := range all {
		if len(dst)-first == infer.MaxDetections {
			break
		}
		box := p.Place(c.box)
		if !box.Finite() || box.Area() <= 0 {
			continue
		}
		dst = append(dst, infer.Detection{Class: c.class, Score: c.score, Box: box})
	}
	return dst
}

// only gives the single output's data, checked against the size that the model announced.
func only(outputs []Output, elements int) ([]float32, error) {
	if len(outputs) != 1 {
		return nil, fmt.Errorf("cannot decode %d outputs: the model has one", len(outputs))
	}
	if len(outputs[0].Data) != elements {
		return nil, fmt.Errorf("cannot decode an output of shape %v with %d elements: the model's has %d",
			outputs[0].Shape, len(outputs[0].Data), elements)
	}
	return outputs[0].Data, nil
}
