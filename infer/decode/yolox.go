package decode

import (
	"fmt"
	"math"
	"slices"

	"vedette/infer"
)

// YOLOX (Megvii): the output is [1, N, 5+classes], a row being the box's centre and size, objectness, and a score for
// each class; the sigmoids are done. N is one row for each cell of the grids with strides 8, 16 and 32. As exported, a
// raw row holds the centre as an offset from its cell in strides, and the size as a logarithm of strides; an export
// with the decoding inside has pixels, in the same shape: metadata `decoded: true` says so.
// Source: yolox/utils/demo_utils.py, demo_postprocess and multiclass_nms, of the YOLOX repository.
func yoloxFamily() family {
	return family{
		name: "yolox",
		shape: "a picture with sides that are multiples of 32, " +
			"one output [1 H*W/64+H*W/256+H*W/1024 5+classes]",
		fits: func(m model) fit {
			out, ok := m.output()
			if !ok || len(out) != 3 || !m.onGrid(yoloxStrides()) || !is(out[1], m.cells(yoloxStrides())) ||
				out[2] <= yoloxBox || out[2] > yoloxBox+maxLabels {
				return no
			}
			return maybe
		},
		recognise: recogniseYOLOX,
	}
}

const yoloxBox = 5 // x, y, w, h, objectness: what comes before the classes

func yoloxStrides() []int { return []int{8, 16, 32} }

func recogniseYOLOX(m model) (Family, error) {
	out, _ := m.output()
	labels, labelEvidence, err := m.labelsFor(int(out[2]) - yoloxBox)
	if err != nil {
		return Family{}, err
	}
	decoded, boxEvidence := false, "boxes are taken as raw (grid offsets): metadata decoded: true would say otherwise"
	switch value, set := m.Metadata["decoded"]; {
	case value == "true":
		decoded, boxEvidence = true, "metadata: decoded is true, boxes are in pixels"
	case value == "false":
		boxEvidence = "metadata: decoded is false, boxes are raw (grid offsets)"
	case set:
		return Family{}, fmt.Errorf("its metadata says decoded: %q, which is neither true nor false", value)
	}
	rows := int(m.cells(yoloxStrides()))
	return Family{
		Input:  m.spec(infer.BGR, infer.LetterboxTopLeft, same(0), same(1)),
		Labels: labels,
		Evidence: []string{
			fmt.Sprintf("output %v has a row for each cell of the strides 8, 16 and 32", out), labelEvidence, boxEvidence,
		},
		decoder: func(thresholds []float32) Decoder {
			return &yolox{
				thresholds: thresholds, least: slices.Min(thresholds), decoded: decoded,
				width: int(m.picture.width), height: int(m.picture.height), rows: rows, found: make([]candidate, 0, rows),
			}
		},
	}, nil
}

type yolox struct {
	thresholds    []float32 // by class
	least         float32   // the lowest of them
	decoded       bool
	width, height int // of the input, in pixels
	rows          int
	found         []candidate
}

func (d *yolox) Decode(outputs []Output, p infer.Placement, dst []infer.Detection) ([]infer.Detection, error) {
	row := yoloxBox + len(d.thresholds)
	if err := check(outputs, d.rows*row); err != nil {
		return dst, err
	}
	data := outputs[0].Data
	d.found = d.found[:0]
	index := 0
	for _, stride := range yoloxStrides() {
		for y := range d.height / stride {
			for x := range d.width / stride {
				d.look(data[index*row:][:row], index, float32(x), float32(y), float32(stride))
				index++
			}
		}
	}
	rank(d.found)
	return place(suppress(d.found, defaultIoU, infer.MaxDetections), p, dst), nil
}

// look keeps a row if it can be a detection; x and y are its cell in strides.
func (d *yolox) look(row []float32, index int, x, y, stride float32) {
	objectness := row[4]
	if !(objectness >= d.least) { // class scores are at most 1; not a number included
		return
	}
	class, best := 0, float32(-1)
	for i, score := range row[yoloxBox:] {
		if score > best {
			class, best = i, score
		}
	}
	score := objectness * best
	if !(score >= d.thresholds[class]) {
		return
	}
	cx, cy, w, h := row[0], row[1], row[2], row[3]
	if !d.decoded {
		cx, cy = (cx+x)*stride, (cy+y)*stride
		w, h = exp(w)*stride, exp(h)*stride
	}
	c := candidate{
		box:   centred(cx, cy, w, h),
		score: score, class: class, index: index,
	}
	if c.possible() {
		d.found = append(d.found, c)
	}
}

func exp(v float32) float32 { return float32(math.Exp(float64(v))) }
