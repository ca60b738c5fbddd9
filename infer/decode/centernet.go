package decode

import (
	"fmt"

	"vedette/infer"
)

// CenterNet with its peaks picked in the graph, as the default model (MobileNetV3, 512x512) has it: the output is
// [1, N, 6], a row being x1, y1, x2, y2 in input pixels, score, class. Picking peaks leaves nothing for non-maximum
// suppression.
func centernetFamily() family {
	return family{
		name:  "centernet",
		shape: "a picture, one output [1 N 6]",
		fits: func(m model) fit {
			out, ok := m.output()
			if !ok || len(out) != 3 || out[1] == 0 || !is(out[2], centernetRow) {
				return no
			}
			return maybe
		},
		recognise: recogniseCenternet,
	}
}

const centernetRow = 6

func recogniseCenternet(m model) (Family, error) {
	out, _ := m.output()
	labels, evidence := m.labels, fmt.Sprintf("%s: %d labels", m.labelsBy, len(m.labels))
	if labels == nil {
		labels, evidence = coco(), "no labels in the metadata: the classes are taken for COCO's 80"
	}
	rows := int(max(out[1], 0))
	return Family{
		Input:  m.spec(infer.RGB, infer.Stretch, same(0), same(1)),
		Labels: labels,
		Evidence: []string{
			fmt.Sprintf("output %v is rows of box, score, class", out),
			evidence,
		},
		decoder: func(thresholds []float32) Decoder {
			return &centernet{thresholds: thresholds, rows: rows, found: make([]candidate, 0, rows)}
		},
	}, nil
}

type centernet struct {
	thresholds []float32 // by class
	rows       int
	found      []candidate
}

func (d *centernet) Decode(outputs []Output, p infer.Placement, dst []infer.Detection) ([]infer.Detection, error) {
	if err := check(outputs, d.rows*centernetRow); err != nil {
		return dst, err
	}
	data := outputs[0].Data
	d.found = d.found[:0]
	for i := range d.rows {
		row := data[i*centernetRow:][:centernetRow]
		if !(row[5] >= 0 && row[5] < float32(len(d.thresholds))) { // not a number included
			continue
		}
		c := candidate{
			box: infer.Box{X1: row[0], Y1: row[1], X2: row[2], Y2: row[3]}, score: row[4], class: int(row[5]), index: i,
		}
		if c.possible() && c.score >= d.thresholds[c.class] {
			d.found = append(d.found, c)
		}
	}
	rank(d.found)
	return place(d.found, p, dst), nil
}
