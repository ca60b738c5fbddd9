package decode

import (
	"math"
	"slices"

	"vedette/infer"
)

// queries reads what detection transformers give before their own post-processing: a box for each query, centre and size
// in 0..1 of the input, and a logit for each class. A query may show several classes, as in the models' evaluation, which
// takes the best pairs of query and class.
type queries struct {
	thresholds    []float32 // by class
	logits        []float32 // of the thresholds
	boxes, scores int       // the outputs' indices
	rows          int
	width, height float32 // of the input, in pixels
	found         []candidate
}

func newQueries(m model, boxes, logits, rows int) func(thresholds []float32) Decoder {
	return func(thresholds []float32) Decoder {
		d := &queries{
			thresholds: thresholds, boxes: boxes, scores: logits, rows: rows,
			width: float32(m.picture.width), height: float32(m.picture.height),
			found: make([]candidate, 0, rows*len(thresholds)),
		}
		for _, t := range thresholds {
			d.logits = append(d.logits, float32(math.Log(float64(t)/(1-float64(t))))-1e-3) // what is near is looked at closely
		}
		return d
	}
}

func (d *queries) Decode(outputs []Output, p infer.Placement, dst []infer.Detection) ([]infer.Detection, error) {
	classes := len(d.thresholds)
	var want [2]int
	want[d.boxes], want[d.scores] = 4*d.rows, classes*d.rows
	if err := check(outputs, want[:]...); err != nil {
		return dst, err
	}
	boxes, logits := outputs[d.boxes].Data, outputs[d.scores].Data
	d.found = d.found[:0]
	for i := range d.rows {
		for class, v := range logits[i*classes:][:classes] {
			if !(v >= d.logits[class]) {
				continue
			}
			b := boxes[4*i:][:4]
			c := candidate{
				box:   centred(b[0]*d.width, b[1]*d.height, b[2]*d.width, b[3]*d.height),
				score: sigmoid(v), class: class, index: i*classes + class,
			}
			if c.score >= d.thresholds[class] && c.possible() {
				d.found = append(d.found, c)
			}
		}
	}
	rank(d.found)
	return place(d.found, p, dst), nil
}

func sigmoid(v float32) float32 { return float32(1 / (1 + math.Exp(-float64(v)))) }

// boxesAndLogits finds two outputs [1 N 4] and [1 N classes], by these names where there are any.
func (m model) boxesAndLogits(boxName, logitName string) (boxes, logits int, named, ok bool) {
	if len(m.Outputs) != 2 {
		return 0, 0, false, false
	}
	for _, out := range m.Outputs {
		if !number(out.Type) || len(out.Shape) != 3 || out.Shape[1] == 0 || out.Shape[2] == 0 {
			return 0, 0, false, false
		}
	}
	boxes = slices.IndexFunc(m.Outputs, func(t infer.Tensor) bool { return t.Name == boxName })
	named = boxes >= 0 && m.Outputs[1-boxes].Name == logitName
	if !named {
		boxes = slices.IndexFunc(m.Outputs, func(t infer.Tensor) bool { return t.Shape[2] == 4 })
	}
	if boxes < 0 || !is(m.Outputs[boxes].Shape[2], 4) {
		return 0, 0, false, false
	}
	n, classes := m.Outputs[1-boxes].Shape[1], m.Outputs[1-boxes].Shape[2]
	return boxes, 1 - boxes, named, is(m.Outputs[boxes].Shape[1], n) && n <= mostRows && classes > 0 && classes <= maxLabels
}
