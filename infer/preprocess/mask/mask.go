// Package mask paints black what nobody may see of a picture.
package mask

import (
	"errors"
	"fmt"
	"slices"

	"vedette/capture"
)

// Painter paints polygons into pictures of one format. Every pixel that a polygon touches becomes black, and so does
// every pixel that shares its chroma: what shows of a masked region is nothing. Safe for concurrent use.
type Painter struct {
	fills []fill
	need  int
}

// fill is a run of bytes: the picture's from offset on become those of black.
type fill struct {
	offset int
	black  []byte
}

// New makes a painter for raw frames. Polygons have at least three points, in 0..1 of the upright frame, which is the
// sensor's turned; where one crosses itself, everything it goes round is inside.
// An MJPEG frame is masked after decoding, by the one who decodes it.
func New(f capture.Format, turn capture.Turn, polygons [][]capture.Point) (*Painter, error) {
	g, err := GridOf(f)
	if err != nil {
		return nil, err
	}
	return NewOnGrid(g, turn, polygons)
}

// NewOnGrid makes a painter for pictures that lie in memory as the grid says.
func NewOnGrid(g Grid, turn capture.Turn, polygons [][]capture.Point) (*Painter, error) {
	if err := errors.Join(Validate(polygons), turn.Validate()); err != nil {
		return nil, err
	}
	columns := (g.Width + g.CellWidth - 1) / g.CellWidth
	rows := (g.Height + g.CellHeight - 1) / g.CellHeight
	sx, sy := float64(g.Width)/float64(g.CellWidth), float64(g.Height)/float64(g.CellHeight)
	var outlines []outline
	for _, polygon := range polygons {
		var o outline
		for _, p := range polygon {
			at := turn.ToSensor(p)
			o = append(o, [2]float64{at[0] * sx, at[1] * sy})
		}
		outlines = append(outlines, o)
	}

	p := &Painter{need: g.bytes()}
	lines := g.blackLines(columns)
	cover := newCover(columns)
	for row := range rows {
		cover.reset()
		for _, o := range outlines {
			cover.add(o, row)
		}
		for from, to := range cover.runs() {
			p.fill(g, lines, row, from, to)
		}
	}
	p.fills = slices.Clip(p.fills)
	return p, nil
}

// Validate reports polygons that are none: fewer than three points, or points outside 0..1.
func Validate(polygons [][]capture.Point) error {
	for i, polygon := range polygons {
		if len(polygon) < 3 {
			return fmt.Errorf("mask %d has %d points: a polygon needs 3", i+1, len(polygon))
		}
		for _, p := range polygon {
			if !(p[0] >= 0 && p[0] <= 1 && p[1] >= 0 && p[1] <= 1) {
				return fmt.Errorf("mask %d has the point %v outside 0..1", i+1, p)
			}
		}
	}
	return nil
}

// Paint paints the polygons into a frame. It fails, and paints nothing, where the frame is too short for its format.
func (p *Painter) Paint(frame []byte) error {
	if len(frame) < p.need {
		return fmt.Errorf("cannot mask a frame of %d bytes: the format has %d", len(frame), p.need)
	}
	for _, f := range p.fills {
		copy(frame[f.offset:], f.black)
	}
	return nil
}

// Empty tells whether there is nothing to paint.
func (p *Painter) Empty() bool { return len(p.fills) == 0 }

// fill notes the bytes of the cells from to to-1 of a row, in every plane.
func (p *Painter) fill(g Grid, lines [][]byte, row, from, to int) {
	for k, plane := range g.Planes {
		start := from * len(plane.Black)
		end := min(to*len(plane.Black), plane.LineBytes)
		for line := row * plane.CellLines; line < min((row+1)*plane.CellLines, plane.Lines); line++ {
			p.fills = append(p.fills, fill{plane.Offset + line*plane.Stride + start, lines[k][:end-start]})
		}
	}
}

// bytes is how long a picture is at least.
func (g Grid) bytes() int {
	need := 0
	for _, p := range g.Planes {
		need = max(need, p.Offset+(p.Lines-1)*p.Stride+p.LineBytes)
	}
	return need
}

// blackLines is a whole black line of each plane.
func (g Grid) blackLines(columns int) [][]byte {
	var lines [][]byte
	for _, p := range g.Planes {
		lines = append(lines, slices.Repeat(p.Black, columns))
	}
	return lines
}
