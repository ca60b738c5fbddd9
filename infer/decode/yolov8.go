package decode

import (
	"fmt"
	"slices"

	"vedette/infer"
)

// YOLOv8, 11 and 12 (Ultralytics): the output is [1, 4+classes, N], a column being the box's centre and size in input
// pixels and a score for each class; the sigmoids are done. N is a column for each cell of the grids with strides 8, 16
// and 32, and 64 in the larger models.
// Source: ultralytics/utils/ops.py, non_max_suppression, with the overlap that predicting takes where nobody says.
func yolov8Family() family {
	return family{
		name:  "yolov8",
		shape: "a picture with sides that are multiples of 32, one output [1 4+classes H*W/64+H*W/256+H*W/1024]",
		fits: func(m model) fit {
			out, ok := m.output()
			if !ok || len(out) != 3 || out[1] <= yolov8Box || out[1] > yolov8Box+maxLabels || yolov8Strides(m, out[2]) == nil ||
				!m.labelsFit(out[1]-yolov8Box) {
				return no
			}
			return sure
		},
		recognise: recogniseYOLOv8,
	}
}

const yolov8Box = 4

func yolov8Strides(m model, columns int64) []int {
	for _, strides := range m.stridesOr([]int{8, 16, 32}, []int{8, 16, 32, 64}) {
		if m.onGrid(strides) && is(columns, m.cells(strides)) {
			return strides
		}
	}
	return nil
}

func recogniseYOLOv8(m model) (Family, error) {
	out, _ := m.output()
	f, err := m.ultralytics(int(out[1] - yolov8Box))
	if err != nil {
		return Family{}, err
	}
	strides := yolov8Strides(m, out[2])
	f.Evidence = append([]string{
		fmt.Sprintf("output %v has a column for each cell of the strides %v: box, classes", out, strides),
	}, f.Evidence...)
	columns, nms := int(m.cells(strides)), m.nms(0.7)
	f.decoder = func(thresholds []float32) Decoder {
		return &yolov8{
			thresholds: thresholds, least: slices.Min(thresholds), columns: columns, nms: nms,
			best: make([]float32, columns), class: make([]int32, columns), found: make([]candidate, 0, columns),
		}
	}
	return f, nil
}

type yolov8 struct {
	thresholds []float32 // by class
	least      float32   // the lowest of them
	columns    int
	nms        suppression
	best       []float32 // by column: the best score so far
	class      []int32   // by column: that score's
	found      []candidate
}

func (d *yolov8) Decode(outputs []Output, p infer.Placement, dst []infer.Detection) ([]infer.Detection, error) {
	n := d.columns
	if err := check(outputs, (yolov8Box+len(d.thresholds))*n); err != nil {
		return dst, err
	}
	data := outputs[0].Data
	for i := range d.best {
		d.best[i] = -1
	}
	for class := range d.thresholds { // along memory, not across it
		for i, v := range data[(yolov8Box+class)*n:][:n] {
			if v > d.best[i] {
				d.best[i], d.class[i] = v, int32(class)
			}
		}
	}
	d.found = d.found[:0]
	for i, score := range d.best {
		if !(score >= d.least) {
			continue
		}
		c := candidate{
			box:   centred(data[i], data[n+i], data[2*n+i], data[3*n+i]),
			score: score, class: int(d.class[i]), index: i,
		}
		if score >= d.thresholds[c.class] && c.possible() {
			d.found = append(d.found, c)
		}
	}
	rank(d.found)
	return place(d.nms.suppress(d.found, infer.MaxDetections), p, dst), nil
}
