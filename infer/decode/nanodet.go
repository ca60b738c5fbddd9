package decode

import (
	"fmt"
	"math"
	"slices"

	"vedette/infer"
)

// NanoDet and NanoDet-Plus: for each cell of the grids a score for each class, sigmoids done, and for each side of the box
// a distribution over 8 distances from the cell, in strides. They come as one output [1, N, classes+32], as two [1, N,
// classes] and [1, N, 32], or as such two for each grid. NanoDet has the strides 8, 16 and 32 and counts from the cells'
// centres; NanoDet-Plus has 64 too and counts from their corners.
// Source: nanodet/model/head/nanodet_head.py and nanodet_plus_head.py of the NanoDet repository; the normalisation from its
// configurations.
func nanodetFamily() family {
	return family{
		name: "nanodet",
		shape: "a picture, one output [1 H*W/64+H*W/256+H*W/1024(+H*W/4096) classes+32], " +
			"or [1 N classes] and [1 N 32], all together or for each grid",
		fits: func(m model) fit {
			levels, classes := m.nanodetLevels()
			switch {
			case levels == nil || !m.labelsFit(int64(classes)):
				return no
			case len(m.Outputs) == 1 && len(levels) == 3 && m.labels == nil && classes != len(coco()):
				return maybe // YOLOX may have the same shape, with other classes
			}
			return sure
		},
		recognise: recogniseNanoDet,
	}
}

const (
	nanodetBins = 8               // distances in a distribution
	nanodetBox  = 4 * nanodetBins // left, top, right, bottom
)

// nanodetLevel is one grid, and where its numbers are.
type nanodetLevel struct {
	stride, columns, cells int
	scores, sides          nanodetPart
}

// nanodetPart is where a grid's rows begin: row i, of row numbers, at (first+i)*row + column of an output.
type nanodetPart struct{ output, first, row, column int }

// nanodetLevels lays the outputs out; nil where they are not NanoDet's.
func (m model) nanodetLevels() (levels []nanodetLevel, classes int) {
	for _, t := range m.Outputs {
		if !number(t.Type) || len(t.Shape) != 3 || t.Shape[2] < 1 || t.Shape[2] > maxLabels+nanodetBox {
			return nil, 0
		}
	}
	for _, strides := range m.stridesOr([]int{8, 16, 32, 64}, []int{8, 16, 32}) {
		var ok bool
		if levels, classes, ok = m.nanodetOn(strides); ok {
			return levels, classes
		}
	}
	return nil, 0
}

func (m model) nanodetOn(strides []int) (levels []nanodetLevel, classes int, ok bool) {
	total, last := m.ceilCells(strides), func(i int) int { return int(m.Outputs[i].Shape[2]) }
	first := 0
	for _, stride := range strides {
		cells := m.ceilCells([]int{stride})
		l := nanodetLevel{stride: stride, columns: ceil(int(m.picture.width), stride), cells: int(cells)}
		switch {
		case len(m.Outputs) == 1 && is(m.Outputs[0].Shape[1], total) && last(0) > nanodetBox:
			classes = last(0) - nanodetBox
			l.scores, l.sides = nanodetPart{0, first, last(0), 0}, nanodetPart{0, first, last(0), classes}
		case len(m.Outputs) == 2 && len(strides) > 1 || len(m.Outputs) == 2*len(strides):
			rows := cells
			if len(m.Outputs) == 2 {
				rows = total
			}
			sides := slices.IndexFunc(m.Outputs, func(t infer.Tensor) bool { return is(t.Shape[1], rows) && t.Shape[2] == nanodetBox })
			scores := slices.IndexFunc(m.Outputs, func(t infer.Tensor) bool { return is(t.Shape[1], rows) && t.Shape[2] != nanodetBox })
			if sides < 0 || scores < 0 {
				return nil, 0, false
			}
			classes = last(scores)
			l.scores, l.sides = nanodetPart{scores, 0, classes, 0}, nanodetPart{sides, 0, nanodetBox, 0}
			if len(m.Outputs) == 2 {
				l.scores.first, l.sides.first = first, first
			}
		default:
			return nil, 0, false
		}
		levels = append(levels, l)
		first += int(cells)
	}
	return levels, classes, true
}

func recogniseNanoDet(m model) (Family, error) {
	levels, classes := m.nanodetLevels()
	labels, labelEvidence, err := m.labelsFor(classes)
	if err != nil {
		return Family{}, err
	}
	var strides []int
	for _, l := range levels {
		strides = append(strides, l.stride)
	}
	offset, kind := float32(0.5), "NanoDet"
	if len(levels) > 3 {
		offset, kind = 0, "NanoDet-Plus"
	}
	nms, rows := m.nms(0.6), int(m.ceilCells(strides))
	var sizes []int
	for _, t := range m.Outputs {
		sizes = append(sizes, int(max(t.Shape[1], 0)*t.Shape[2]))
	}
	return Family{
		Input: m.spec(infer.BGR, infer.Stretch, [3]float32{103.53, 116.28, 123.675},
			[3]float32{1 / 57.375, 1 / 57.12, 1 / 58.395}),
		Labels: labels,
		Evidence: []string{
			fmt.Sprintf("outputs have %d classes and 4 distributions of %d for each cell of the strides %v: %s",
				classes, nanodetBins, strides, kind), labelEvidence,
		},
		decoder: func(thresholds []float32) Decoder {
			return &nanodet{
				thresholds: thresholds, least: slices.Min(thresholds), levels: levels, sizes: sizes, offset: offset,
				nms: nms, found: make([]candidate, 0, rows),
			}
		},
	}, nil
}

type nanodet struct {
	thresholds []float32 // by class
	least      float32   // the lowest of them
	levels     []nanodetLevel
	sizes      []int   // of the outputs
	offset     float32 // of the point that sides are counted from, in its cell
	nms        suppression
	found      []candidate
}

func (d *nanodet) Decode(outputs []Output, p infer.Placement, dst []infer.Detection) ([]infer.Detection, error) {
	if err := check(outputs, d.sizes...); err != nil {
		return dst, err
	}
	d.found = d.found[:0]
	index := 0
	for _, l := range d.levels {
		for i := range l.cells {
			d.look(l, outputs, i, index)
			index++
		}
	}
	rank(d.found)
	return place(d.nms.suppress(d.found, infer.MaxDetections), p, dst), nil
}

func (d *nanodet) look(l nanodetLevel, outputs []Output, i, index int) {
	class, best := 0, float32(-1)
	for k, v := range l.scores.numbers(outputs, i, len(d.thresholds)) {
		if v > best {
			class, best = k, v
		}
	}
	if !(best >= d.least) || best < d.thresholds[class] {
		return
	}
	sides := l.sides.numbers(outputs, i, nanodetBox)
	stride := float32(l.stride)
	x, y := (float32(i%l.columns)+d.offset)*stride, (float32(i/l.columns)+d.offset)*stride
	c := candidate{
		box: infer.Box{
			X1: x - expected(sides[0:])*stride, Y1: y - expected(sides[nanodetBins:])*stride,
			X2: x + expected(sides[2*nanodetBins:])*stride, Y2: y + expected(sides[3*nanodetBins:])*stride,
		},
		score: best, class: class, index: index,
	}
	if c.possible() {
		d.found = append(d.found, c)
	}
}

func (p nanodetPart) numbers(outputs []Output, i, n int) []float32 {
	return outputs[p.output].Data[(p.first+i)*p.row+p.column:][:n]
}

// expected is the mean of 0..7 under the softmax of 8 numbers.
func expected(logits []float32) float32 {
	logits = logits[:nanodetBins]
	top := slices.Max(logits)
	var sum, mean float64
	for i, v := range logits {
		e := math.Exp(float64(v - top))
		sum += e
		mean += e * float64(i)
	}
	return float32(mean / sum)
}

func ceil(a, b int) int { return (a + b - 1) / b }

// ceilCells is cells for grids that reach over the picture's edge where its sides are no multiples.
func (m model) ceilCells(strides []int) (n int64) {
	for _, s := range strides {
		n += int64(ceil(int(m.picture.width), s) * ceil(int(m.picture.height), s))
	}
	return n
}
