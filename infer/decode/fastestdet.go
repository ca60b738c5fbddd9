package decode

import (
	"fmt"
	"math"
	"slices"

	"vedette/infer"
)

// FastestDet: the output is [1, 5+classes, h, w], a cell of one grid having objectness, the centre's offset from the cell's
// corner (to pass through tanh), the size in 0..1 of the input (to pass through the sigmoid), and a score for each class;
// what concerns scores is done.
// Source: utils/tool.py, handle_preds, of the FastestDet repository.
func fastestdetFamily() family {
	return family{
		name:  "fastestdet",
		shape: "a picture, one output [1 5+classes H/16 W/16]",
		fits: func(m model) fit {
			out, ok := m.output()
			if !ok || len(out) != 4 || out[1] <= rowBox || out[1] > rowBox+maxLabels || !m.labelsFit(out[1]-rowBox) ||
				out[2] < 1 || out[3] < 1 || m.picture.height/out[2] != m.picture.width/out[3] ||
				m.picture.height%out[2] != 0 || m.picture.width%out[3] != 0 {
				return no
			}
			// Its grid has one stride. Any other map of a network has these shapes, too: that takes somebody's word.
			if m.claimed == "" && m.picture.height/out[2] != int64(m.stridesOr([]int{16})[0][0]) {
				return no
			}
			return sure
		},
		recognise: func(m model) (Family, error) {
			out, _ := m.output()
			labels, evidence, err := m.labelsFor(int(out[1]) - rowBox)
			if err != nil {
				return Family{}, err
			}
			nms := m.nms(0.45)
			return Family{
				Input:  m.spec(infer.BGR, infer.Stretch, same(0), same(1./255)),
				Labels: labels,
				Evidence: []string{
					fmt.Sprintf("output %v is one grid with a stride of %d: objectness, box, classes", out, m.picture.height/out[2]), evidence,
				},
				decoder: func(thresholds []float32) Decoder {
					return &fastestdet{
						thresholds: thresholds, least: slices.Min(thresholds), rows: int(out[2]), columns: int(out[3]), nms: nms,
						width: float32(m.picture.width), height: float32(m.picture.height),
						found: make([]candidate, 0, out[2]*out[3]),
					}
				},
			}, nil
		},
	}
}

type fastestdet struct {
	thresholds    []float32 // by class
	least         float32   // the lowest of them
	rows, columns int
	width, height float32 // of the input, in pixels
	nms           suppression
	found         []candidate
}

func (d *fastestdet) Decode(outputs []Output, p infer.Placement, dst []infer.Detection) ([]infer.Detection, error) {
	n := d.rows * d.columns
	if err := check(outputs, (rowBox+len(d.thresholds))*n); err != nil {
		return dst, err
	}
	data := outputs[0].Data
	d.found = d.found[:0]
	for i := range n {
		objectness := data[i]
		if !(objectness > 0) {
			continue
		}
		class, best := 0, float32(-1)
		for k := range d.thresholds {
			if v := data[(rowBox+k)*n+i]; v > best {
				class, best = k, v
			}
		}
		score := float32(math.Pow(float64(objectness), 0.6) * math.Pow(float64(best), 0.4))
		if !(score >= d.least) || score < d.thresholds[class] {
			continue
		}
		x := (float32(i%d.columns) + tanh(data[n+i])) / float32(d.columns)
		y := (float32(i/d.columns) + tanh(data[2*n+i])) / float32(d.rows)
		w, h := sigmoid(data[3*n+i]), sigmoid(data[4*n+i])
		c := candidate{
			box:   centred(x*d.width, y*d.height, w*d.width, h*d.height),
			score: score, class: class, index: i,
		}
		if c.possible() {
			d.found = append(d.found, c)
		}
	}
	rank(d.found)
	return place(d.nms.suppress(d.found, infer.MaxDetections), p, dst), nil
}

func tanh(v float32) float32 { return float32(math.Tanh(float64(v))) }
