// Package motion tells whether anything moves in a camera's raw frames.
package motion

import (
	"fmt"
	"time"

	"vedette/capture"
)

const (
	// A frame is looked at in about 320x180 places, whatever its size: what it costs does not grow with the camera.
	placesAcross, placesDown = 320, 180
	// side is how many places a cell has each way. A cell's mean of 16 has a quarter of the sensor's noise.
	side   = 4
	places = side * side

	// unit is a grey level in a cell's sum, in the fixed point that the background is kept in.
	unit = places << fraction
	// fraction is the background's bits behind the point: it must be able to follow a change of less than one.
	fraction = 4
	// contrast is by how many grey levels a cell has to differ from what was there: five times the noise that a
	// camera's night mode leaves in a cell's mean.
	contrast = 6 * unit
	// brighter is how much brighter or darker a whole picture may become without that being motion: the camera's
	// exposure follows the clouds.
	brighter = 8 * unit
	// least is how many cells have to differ: one alone may be noise.
	least = 3
	// memory is how many frames, as a power of two, the background lags behind.
	memory = 3

	// Hold is how long frames are let through after the last motion, so that what has come to rest is seen at rest.
	Hold = 2 * time.Second
	// Refresh is the longest time without a frame that is let through: what is too slow to be motion is found then.
	Refresh = 30 * time.Second
)

// Gate compares each frame with what was there before it. It allocates nothing after New, and is for one goroutine at a
// time.
type Gate struct {
	lines, columns []int // offsets of the places' lines, and of the places in a line
	across         int   // cells in a row
	need           int   // bytes of a frame

	counts     []bool // by cell: whether it is looked at
	background []int32
	sums       []int32
	known      bool // whether there is a background

	moved, passed time.Duration // when something moved, when a frame was let through
}

// New makes a gate for raw frames. Masks and region are in 0..1 of the upright frame, which is the sensor's
// turned; a cell that a mask touches, or that lies partly outside the region, does not count.
func New(f capture.Format, turn capture.Turn, region [4]float64, masks [][]capture.Point) (*Gate, error) {
	l, err := lumaOf(f)
	if err != nil {
		return nil, err
	}
	across := max((f.Width+placesAcross-1)/placesAcross, (f.Height+placesDown-1)/placesDown, 1)
	g := &Gate{need: f.FrameBytes()}
	var down int
	g.columns, g.across = spread(f.Width, across, 0, l.step)
	g.lines, down = spread(f.Height, across, l.offset, f.Stride)
	g.sums, g.background = make([]int32, g.across*down), make([]int32, g.across*down)
	if g.counts, err = g.visible(f, turn, region, masks); err != nil {
		return nil, err
	}
	return g, nil
}

// spread gives the offsets of the places along one direction, and how many cells they make.
func spread(size, spacing, offset, step int) (offsets []int, cells int) {
	cells = max(size/(spacing*side), 1)
	for i := range cells * side {
		offsets = append(offsets, offset+min(i*spacing, size-1)*step)
	}
	return offsets, cells
}

// luma is where a frame's brightness lies: pixel (x, y) at offset + x*step + y*stride.
type luma struct{ offset, step int }

func lumaOf(f capture.Format) (luma, error) {
	switch f.Pixel {
	case capture.YUYV:
		return luma{0, 2}, nil
	case capture.UYVY:
		return luma{1, 2}, nil
	case capture.RGB24, capture.BGR24:
		return luma{1, 3}, nil // green is most of it
	case capture.NV12, capture.NV21, capture.I420, capture.YV12, capture.Grey:
		return luma{0, 1}, nil
	}
	return luma{}, fmt.Errorf("the motion gate needs raw frames, and these are %s", f.Pixel)
}

// Moving tells whether a frame, captured at that time, is to be looked at: something moved in it or lately, nothing was
// looked at for long, or it is no whole frame, which is for others to tell.
func (g *Gate) Moving(frame []byte, at time.Duration) bool {
	if len(frame) < g.need {
		return true
	}
	g.look(frame)
	first := !g.known
	if changed := g.compare(); changed >= least || first {
		g.moved = at
	}
	if at-g.moved > Hold && at-g.passed < Refresh {
		return false
	}
	g.passed = at
	return true
}

// look sums up each cell's places.
func (g *Gate) look(frame []byte) {
	clear(g.sums)
	for i, start := range g.lines {
		line := frame[start:]
		sums := g.sums[i/side*g.across:][:g.across]
		for c := range sums {
			x := g.columns[c*side:][:side:side]
			sums[c] += int32(line[x[0]]) + int32(line[x[1]]) + int32(line[x[2]]) + int32(line[x[3]])
		}
	}
}

// compare counts the cells that differ from the background, and lets the background follow.
func (g *Gate) compare() (changed int) {
	if !g.known {
		g.known = true
		for i, sum := range g.sums {
			g.background[i] = sum << fraction
		}
		return 0
	}
	var total, cells int64
	for i, sum := range g.sums {
		if g.counts[i] {
			total += int64(sum<<fraction - g.background[i])
			cells++
		}
	}
	common := int32(min(max(total/max(cells, 1), -brighter), brighter))
	for i, sum := range g.sums {
		difference := sum<<fraction - g.background[i]
		g.background[i] += difference >> memory
		if d := difference - common; g.counts[i] && (d > contrast || d < -contrast) {
			changed++
		}
	}
	return changed
}
