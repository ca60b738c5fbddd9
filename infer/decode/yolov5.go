package decode

import (
	"fmt"
	"slices"

	"vedette/infer"
)

// YOLOv5 (Ultralytics), and YOLOv7 exported in its way: the output is [1, N, 5+classes], a row being the box's centre and
// size in input pixels, objectness, and a score for each class. N is three anchors for each cell of the grids with strides
// 8, 16 and 32, and 64 in the larger models.
// Source: utils/general.py, non_max_suppression, of the YOLOv5 repository.
func yolov5Family() family {
	return family{
		name:  "yolov5",
		shape: "a picture with sides that are multiples of 32, one output [1 3*(H*W/64+H*W/256+H*W/1024) 5+classes]",
		fits: func(m model) fit {
			out, ok := m.output()
			if !ok || len(out) != 3 || out[2] <= rowBox || out[2] > rowBox+maxLabels || yolov5Strides(m, out[1]) == nil ||
				!m.labelsFit(out[2]-rowBox) {
				return no
			}
			return sure
		},
		recognise: recogniseYOLOv5,
	}
}

// rowBox is what comes before the classes in a row of YOLOv5 and YOLOX: centre, size, objectness.
const rowBox = 5

// yolov5Strides are those whose cells have the rows, three for each; nil where none do.
func yolov5Strides(m model, rows int64) []int {
	for _, strides := range m.stridesOr([]int{8, 16, 32}, []int{8, 16, 32, 64}) {
		if m.onGrid(strides) && is(rows, 3*m.cells(strides)) {
			return strides
		}
	}
	return nil
}

func recogniseYOLOv5(m model) (Family, error) {
	out, _ := m.output()
	f, err := m.ultralytics(int(out[2] - rowBox))
	if err != nil {
		return Family{}, err
	}
	strides := yolov5Strides(m, out[1])
	f.Evidence = append([]string{
		fmt.Sprintf("output %v has three rows for each cell of the strides %v: box, objectness, classes", out, strides),
	}, f.Evidence...)
	rows, nms := 3*int(m.cells(strides)), m.nms(0.45)
	f.decoder = func(thresholds []float32) Decoder {
		return &yolov5{rowDecoder{thresholds: thresholds, least: slices.Min(thresholds), rows: rows}, nms, make([]candidate, 0, rows)}
	}
	return f, nil
}

type yolov5 struct {
	rowDecoder
	nms   suppression
	found []candidate
}

func (d *yolov5) Decode(outputs []Output, p infer.Placement, dst []infer.Detection) ([]infer.Detection, error) {
	row := rowBox + len(d.thresholds)
	if err := check(outputs, d.rows*row); err != nil {
		return dst, err
	}
	data := outputs[0].Data
	d.found = d.found[:0]
	for i := range d.rows {
		r := data[i*row:][:row]
		class, score, ok := d.best(r)
		if !ok {
			continue
		}
		c := candidate{box: centred(r[0], r[1], r[2], r[3]), score: score, class: class, index: i}
		if c.possible() {
			d.found = append(d.found, c)
		}
	}
	rank(d.found)
	return place(d.nms.suppress(d.found, infer.MaxDetections), p, dst), nil
}

// rowDecoder reads rows of box, objectness and classes.
type rowDecoder struct {
	thresholds []float32 // by class
	least      float32   // the lowest of them
	rows       int
}

// best is a row's class, with objectness times its score, where that is enough.
func (d rowDecoder) best(row []float32) (class int, score float32, ok bool) {
	objectness := row[4]
	if !(objectness >= d.least) { // class scores are at most 1; not a number included
		return 0, 0, false
	}
	best := float32(-1)
	for i, v := range row[rowBox:] {
		if v > best {
			class, best = i, v
		}
	}
	score = objectness * best
	return class, score, score >= d.thresholds[class]
}
