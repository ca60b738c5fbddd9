package decode

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"vedette/infer"
)

// YOLOX (Megvii): the output is [1, N, 5+classes], a row being the box's centre and size, objectness, and a score for
// each class; the sigmoids are done. N is one row for each cell of the grids with strides 8, 16 and 32. As exported, a
// raw row holds the centre as an offset from its cell in strides, and the size as a logarithm of strides; an export with
// the decoding inside has pixels, in the same shape. The setting `decoded` (manifest or metadata) says which; without it, a
// first run on nothing does: raw offsets are small everywhere, centres in pixels grow along the grid.
// Source: yolox/utils/demo_utils.py, demo_postprocess and multiclass_nms, of the YOLOX repository.
func yoloxFamily() family {
	return family{
		name: "yolox",
		shape: "a picture with sides that are multiples of 32, " +
			"one output [1 H*W/64+H*W/256+H*W/1024 5+classes]",
		fits: func(m model) fit {
			out, ok := m.output()
			strides := yoloxStrides(m)
			if !ok || len(out) != 3 || !m.onGrid(strides) || !is(out[1], m.cells(strides)) ||
				out[2] <= rowBox || out[2] > rowBox+maxLabels || !m.labelsFit(out[2]-rowBox) {
				return no
			}
			if m.labels != nil || out[2]-rowBox == int64(len(coco())) {
				return sure
			}
			return maybe // NanoDet may have the same shape, with other classes
		},
		recognise: recogniseYOLOX,
	}
}

func yoloxStrides(m model) []int { return m.stridesOr([]int{8, 16, 32})[0] }

func recogniseYOLOX(m model) (Family, error) {
	out, _ := m.output()
	labels, labelEvidence, err := m.labelsFor(int(out[2]) - rowBox)
	if err != nil {
		return Family{}, err
	}
	decoded, said, err := m.decoded()
	if err != nil {
		return Family{}, err
	}
	strides, nms := yoloxStrides(m), m.nms(0.45)
	rows := int(m.cells(strides))
	f := Family{
		Input:  m.spec(infer.BGR, infer.LetterboxTopLeft, same(0), same(1)),
		Labels: labels,
		Evidence: []string{
			fmt.Sprintf("output %v has a row for each cell of the strides %v: box, objectness, classes", out, strides), labelEvidence,
		},
	}
	d := yolox{
		rowDecoder: rowDecoder{rows: rows}, decoded: decoded, strides: strides,
		width: int(m.picture.width), height: int(m.picture.height), nms: nms,
	}
	if said != "" {
		f.Evidence = append(f.Evidence, said)
	} else {
		f.settle = func(outputs []Output) (string, error) {
			return d.settle(outputs, rowBox+len(labels))
		}
	}
	f.decoder = func(thresholds []float32) Decoder {
		made := d
		made.thresholds, made.least, made.found = thresholds, slices.Min(thresholds), make([]candidate, 0, rows)
		return &made
	}
	return f, nil
}

// decoded says what the manifest or the metadata says; said is "" where neither does.
func (m model) decoded() (decoded bool, said string, err error) {
	by, value, set := "metadata", m.Metadata["decoded"], false
	if _, set = m.Metadata["decoded"]; m.manifest.Decoded != nil {
		by, value, set = "manifest", fmt.Sprint(*m.manifest.Decoded), true
	}
	switch {
	case value == "true":
		return true, by + ": decoded is true, boxes are in pixels", nil
	case value == "false":
		return false, by + ": decoded is false, boxes are raw (grid offsets)", nil
	case set:
		return false, "", fmt.Errorf("its metadata says decoded: %q, which is neither true nor false", value)
	}
	return false, "", nil
}

type yolox struct {
	rowDecoder
	decoded       bool
	strides       []int
	width, height int // of the input, in pixels
	nms           suppression
	found         []candidate
}

// cells tells each row's index and cell in strides.
func (d *yolox) cells(each func(index int, x, y, stride float32)) {
	index := 0
	for _, stride := range d.strides {
		for y := range d.height / stride {
			for x := range d.width / stride {
				each(index, float32(x), float32(y), float32(stride))
				index++
			}
		}
	}
}

func (d *yolox) Decode(outputs []Output, p infer.Placement, dst []infer.Detection) ([]infer.Detection, error) {
	row := rowBox + len(d.thresholds)
	if err := check(outputs, d.rows*row); err != nil {
		return dst, err
	}
	data := outputs[0].Data
	d.found = d.found[:0]
	d.cells(func(index int, x, y, stride float32) {
		r := data[index*row:][:row]
		class, score, ok := d.best(r)
		if !ok {
			return
		}
		cx, cy, w, h := r[0], r[1], r[2], r[3]
		if !d.decoded {
			cx, cy = (cx+x)*stride, (cy+y)*stride
			w, h = exp(w)*stride, exp(h)*stride
		}
		c := candidate{box: centred(cx, cy, w, h), score: score, class: class, index: index}
		if c.possible() {
			d.found = append(d.found, c)
		}
	})
	rank(d.found)
	return place(d.nms.suppress(d.found, infer.MaxDetections), p, dst), nil
}

// settle tells raw rows from decoded ones: by how far, in the middle of all rows, a centre lies from its cell's under either
// reading, in strides.
func (d *yolox) settle(outputs []Output, row int) (evidence string, err error) {
	if err := check(outputs, d.rows*row); err != nil {
		return "", err
	}
	var raw, pixels []float64
	d.cells(func(index int, x, y, stride float32) {
		r := outputs[0].Data[index*row:]
		raw = append(raw, math.Abs(float64(r[0]-0.5))+math.Abs(float64(r[1]-0.5)))
		pixels = append(pixels, math.Abs(float64(r[0]/stride-x-0.5))+math.Abs(float64(r[1]/stride-y-0.5)))
	})
	slices.Sort(raw)
	slices.Sort(pixels)
	r, p := raw[len(raw)/2], pixels[len(pixels)/2]
	const clearly = 4 // times nearer
	switch {
	case r*clearly < p:
		d.decoded = false
		return fmt.Sprintf("a run on nothing: boxes are raw (centres lie %.1f strides from their cells, %.1f if they were pixels)", r, p), nil
	case p*clearly < r:
		d.decoded = true
		return fmt.Sprintf("a run on nothing: boxes are in pixels (centres lie %.1f strides from their cells, %.1f if they were raw)", p, r), nil
	}
	return "", errors.New("a run on nothing does not tell whether its boxes are raw or in pixels: " +
		"say which by `decoded: true` or `decoded: false` in its manifest")
}

func exp(v float32) float32 { return float32(math.Exp(float64(v))) }
