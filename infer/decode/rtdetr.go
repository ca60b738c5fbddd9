package decode

import (
	"fmt"
	"slices"
	"strings"

	"vedette/infer"
)

// RT-DETR (Baidu; the repository's exports): a second input, `orig_target_sizes`, takes the size that boxes are scaled to,
// so that they come in input pixels; the outputs are labels [1, N], boxes [1, N, 4] (x1, y1, x2, y2) and scores [1, N].
// Exports of Hugging Face's have the outputs `logits` and `pred_boxes` instead, with the last step left to do.
// Source: rtdetrv2_pytorch/tools/export_onnx.py and src/zoo/rtdetr/rtdetr_postprocessor.py of the RT-DETR repository.
func rtdetrFamily() family {
	return family{
		name:      "rtdetr",
		shape:     rtdetrShape,
		fits:      func(m model) fit { return rtdetrFit(m, !m.hasNode(dfineNode)) },
		recognise: recogniseRTDETR,
	}
}

const rtdetrShape = "a picture and orig_target_sizes int64 [1 2], outputs labels [1 N], boxes [1 N 4], scores [1 N]; " +
	"or a picture, outputs pred_boxes [1 N 4] and logits [1 N classes]"

// rtdetrFit is how well a model fits RT-DETR and those that look like it; its is whether the nodes are of the one asked for.
func rtdetrFit(m model, its bool) fit {
	_, _, named, ok := m.boxesAndLogits("pred_boxes", "logits")
	if _, three := m.labelsBoxesScores(); !three && !ok {
		return no
	} else if !its || !three && !named {
		return maybe
	}
	return sure
}

// rtdetrOutputs are the outputs' indices.
type rtdetrOutputs struct{ sizes, labels, boxes, scores int }

// labelsBoxesScores tells them by type and shape: labels are whole numbers.
func (m model) labelsBoxesScores() (o rtdetrOutputs, ok bool) {
	if len(m.Inputs) != 2 || len(m.Outputs) != 3 {
		return o, false
	}
	o.sizes = 1 - m.picture.index
	if in := m.Inputs[o.sizes]; in.Type != "int64" || len(in.Shape) != 2 || !is(in.Shape[1], 2) {
		return o, false
	}
	o.labels = slices.IndexFunc(m.Outputs, func(t infer.Tensor) bool {
		return len(t.Shape) == 2 && (t.Type == "int64" || t.Type == "int32")
	})
	o.boxes = slices.IndexFunc(m.Outputs, func(t infer.Tensor) bool {
		return len(t.Shape) == 3 && is(t.Shape[2], 4) && number(t.Type)
	})
	o.scores = slices.IndexFunc(m.Outputs, func(t infer.Tensor) bool { return len(t.Shape) == 2 && number(t.Type) })
	if o.labels < 0 || o.boxes < 0 || o.scores < 0 {
		return o, false
	}
	n := m.Outputs[o.boxes].Shape[1]
	return o, n != 0 && n <= mostRows && m.Outputs[o.labels].Shape[1] == n && m.Outputs[o.scores].Shape[1] == n
}

func recogniseRTDETR(m model) (Family, error) {
	f := Family{Input: m.spec(infer.RGB, infer.Stretch, same(0), same(1./255))}
	o, three := m.labelsBoxesScores()
	if !three {
		boxes, logits, _, _ := m.boxesAndLogits("pred_boxes", "logits")
		shape := m.Outputs[logits].Shape
		var evidence string
		var err error
		if f.Labels, evidence, err = m.labelsFor(int(shape[2])); err != nil {
			return Family{}, err
		}
		f.Evidence = []string{
			fmt.Sprintf("outputs %s %v and %s %v are boxes and a logit for each class",
				m.Outputs[boxes].Name, m.Outputs[boxes].Shape, m.Outputs[logits].Name, shape), evidence,
		}
		f.decoder = newQueries(m, boxes, logits, int(max(shape[1], 0)))
		return f, nil
	}
	var evidence string
	f.Labels, evidence = m.labelsOrCOCO()
	f.Fill = []Fill{{Input: o.sizes, Values: []int64{m.picture.width, m.picture.height}}}
	f.Evidence = []string{
		fmt.Sprintf("input %s takes the size, outputs are labels, boxes and scores of %d objects",
			m.Inputs[o.sizes].Name, m.Outputs[o.boxes].Shape[1]),
		evidence,
	}
	rows := int(max(m.Outputs[o.boxes].Shape[1], 0))
	f.decoder = func(thresholds []float32) Decoder {
		return &rtdetr{thresholds: thresholds, outputs: o, rows: rows, found: make([]candidate, 0, rows)}
	}
	return f, nil
}

// hasNode tells whether the name of a node of the graph has this in it.
func (m model) hasNode(part string) bool {
	return slices.ContainsFunc(m.Nodes, func(name string) bool { return strings.Contains(name, part) })
}

type rtdetr struct {
	thresholds []float32 // by class
	outputs    rtdetrOutputs
	rows       int
	found      []candidate
}

func (d *rtdetr) Decode(outputs []Output, p infer.Placement, dst []infer.Detection) ([]infer.Detection, error) {
	var want [3]int
	want[d.outputs.labels], want[d.outputs.boxes], want[d.outputs.scores] = d.rows, 4*d.rows, d.rows
	if err := check(outputs, want[:]...); err != nil {
		return dst, err
	}
	labels, boxes, scores := outputs[d.outputs.labels].Data, outputs[d.outputs.boxes].Data, outputs[d.outputs.scores].Data
	d.found = d.found[:0]
	for i := range d.rows {
		b := boxes[4*i:][:4]
		c := candidate{box: infer.Box{X1: b[0], Y1: b[1], X2: b[2], Y2: b[3]}, score: scores[i], index: i}
		if c.classify(labels[i], d.thresholds) && c.possible() {
			d.found = append(d.found, c)
		}
	}
	rank(d.found)
	return place(d.found, p, dst), nil
}
