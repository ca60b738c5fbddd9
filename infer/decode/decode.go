// Package decode turns a model's output tensors into detections.
package decode

import (
	"fmt"
	"slices"

	"vedette/infer"
)

// Output is one output tensor after a run, in the model's order: of one picture, whatever the batch.
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
	Image    int    // which of the model's inputs takes the picture
	Fill     []Fill // what its other inputs take
	Labels   []string
	Evidence []string // what the recognition rests on, a sentence each

	Thresholds infer.Thresholds // the manifest's, for the configuration's to be laid over them

	decoder func(thresholds []float32) Decoder
	// settle decides what shapes leave open by what a run on nothing gave; nil where nothing is open.
	settle func(outputs []Output) (evidence string, err error)
}

// Settle decides what the shapes leave open by the outputs of a run on an input of zeros. Decoders that were made before
// do not know of it.
func (f *Family) Settle(outputs []Output) error {
	if f.settle == nil {
		return nil
	}
	evidence, err := f.settle(outputs)
	if err != nil {
		return fmt.Errorf("cannot use the model as %s: %w", f.Name, err)
	}
	f.Evidence = append(f.Evidence, evidence)
	f.settle = nil
	return nil
}

// Fill is what an input takes that is the same for every picture.
type Fill struct {
	Input  int
	Values []int64 // for each picture of a batch
}

// Shapes are what to open the model's file with: the shapes of its inputs by name, for a batch of pictures.
func (f Family) Shapes(s infer.Signature, batch int) map[string][]int64 {
	shapes := map[string][]int64{}
	picture := []int64{int64(batch), 3, int64(f.Input.Height), int64(f.Input.Width)}
	if f.Input.Layout == infer.NHWC {
		picture = []int64{int64(batch), int64(f.Input.Height), int64(f.Input.Width), 3}
	}
	shapes[s.Inputs[f.Image].Name] = picture
	for _, fill := range f.Fill {
		shapes[s.Inputs[fill.Input].Name] = []int64{int64(batch), int64(len(fill.Values))}
	}
	return shapes
}

// Decoder makes a decoder that drops what scores less than its label's threshold in t.
func (f Family) Decoder(t infer.Thresholds) Decoder {
	byClass := make([]float32, len(f.Labels))
	for class, label := range f.Labels {
		byClass[class] = t.For(label)
	}
	return f.decoder(byClass)
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

// centred is a box by its centre and size.
func centred(cx, cy, w, h float32) infer.Box {
	return infer.Box{X1: cx - w/2, Y1: cy - h/2, X2: cx + w/2, Y2: cy + h/2}
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

// check tells whether the outputs are as large as the model announced.
func check(outputs []Output, elements ...int) error {
	if len(outputs) != len(elements) {
		return fmt.Errorf("cannot decode %d outputs: the model has %d", len(outputs), len(elements))
	}
	for i, want := range elements {
		if len(outputs[i].Data) != want {
			return fmt.Errorf("cannot decode output %d of shape %v with %d elements: the model's has %d",
				i, outputs[i].Shape, len(outputs[i].Data), want)
		}
	}
	return nil
}
