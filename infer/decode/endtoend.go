package decode

import (
	"vedette/infer"
)

// endToEndRow is a row of models that leave nothing to suppress: x1, y1, x2, y2 in input pixels, score, class.
const endToEndRow = 6

// mostRows tells such outputs from the thousands of rows that grids have: models that choose have 100 or 300.
const mostRows = 1000

// endToEndRows tells whether the only output is such rows, and how many.
func (m model) endToEndRows() (rows int, ok bool) {
	out, ok := m.output()
	if !ok || len(out) != 3 || out[1] == 0 || out[1] > mostRows || out[2] != endToEndRow {
		return 0, false
	}
	return int(max(out[1], 0)), true
}

// endToEnd reads such rows.
type endToEnd struct {
	thresholds []float32 // by class
	rows       int
	found      []candidate
}

func newEndToEnd(rows int) func(thresholds []float32) Decoder {
	return func(thresholds []float32) Decoder {
		return &endToEnd{thresholds: thresholds, rows: rows, found: make([]candidate, 0, rows)}
	}
}

func (d *endToEnd) Decode(outputs []Output, p infer.Placement, dst []infer.Detection) ([]infer.Detection, error) {
	if err := check(outputs, d.rows*endToEndRow); err != nil {
		return dst, err
	}
	data := outputs[0].Data
	d.found = d.found[:0]
	for i := range d.rows {
		row := data[i*endToEndRow:][:endToEndRow]
		c := candidate{box: infer.Box{X1: row[0], Y1: row[1], X2: row[2], Y2: row[3]}, score: row[4], index: i}
		if c.classify(row[5], d.thresholds) && c.possible() {
			d.found = append(d.found, c)
		}
	}
	rank(d.found)
	return place(d.found, p, dst), nil
}

// classify sets a class that came as a number, and tells whether it is one and the score is enough for it.
func (c *candidate) classify(class float32, thresholds []float32) bool {
	if !(class >= 0 && class < float32(len(thresholds))) { // not a number included
		return false
	}
	c.class = int(class)
	return c.score >= thresholds[c.class]
}
