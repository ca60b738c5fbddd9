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
		shape: "one float32 input [1 H W 3], one output [1 N 6]",
		fits: func(m model) bool {
			in, out, ok := m.single()
			return ok && len(in) == 4 && in[0] == 1 && side(in[1]) && side(in[2]) && in[3] == 3 &&
				len(out) == 3 && out[0] == 1 && out[1] >= 1 && out[2] == centernetRow
		},
		recognise: recogniseCenternet,
	}
}

const centernetRow = 6

func recogniseCenternet(m model) (Family, error) {
	in, out, _ := m.single()
	labels, evidence := m.labels, fmt.Sprintf("metadata: %d labels", len(m.labels))
	if labels == nil {
		labels, evidence = coco(), "no labels in the metadata: the classes are taken for COCO's 80"
	}
	rows := int(out[1])
	return Family{
		Input: infer.InputSpec{
			Width: int(in[2]), Height: int(in[1]), Layout: infer.NHWC, Order: infer.RGB, Fit: infer.Stretch,
			Scale: [3]float32{1, 1, 1},
		},
		Labels: labels,
		Evidence: []string{
			fmt.Sprintf("input %v is one picture, channels last; output %v is rows of box, score, class", in, out),
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
	data, err := only(outputs, d.rows*centernetRow)
	if err != nil {
		return dst, err
	}
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
