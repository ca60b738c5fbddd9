package mask

import (
	"fmt"

	"vedette/capture"
)

// Grid is how a picture's pixels lie in memory, in cells: the smallest blocks of pixels that share their chroma.
type Grid struct {
	Width, Height         int // of the picture, in pixels
	CellWidth, CellHeight int // of a cell, in pixels; the last cells may stick out of the picture
	Planes                []Plane
}

// Plane is one plane of a picture.
type Plane struct {
	Offset, Stride int
	LineBytes      int    // of a line that are picture
	Lines          int    // of the plane that are picture
	CellLines      int    // lines of this plane that a cell has
	Black          []byte // what each of a cell's lines holds where it is black
}

// GridOf describes raw frames of a format.
func GridOf(f capture.Format) (Grid, error) {
	if err := f.Validate(); err != nil {
		return Grid{}, fmt.Errorf("cannot mask frames: %w", err)
	}
	g := Grid{Width: f.Width, Height: f.Height, CellWidth: 1, CellHeight: 1}
	y, c := byte(16), byte(128)
	if f.Range == capture.Full {
		y = 0
	}
	whole := func(black ...byte) []Plane {
		return []Plane{{
			Stride: f.Stride, LineBytes: f.Width / g.CellWidth * len(black), Lines: f.Height, CellLines: 1, Black: black,
		}}
	}
	luma := Plane{Stride: f.Stride, LineBytes: f.Width, Lines: f.Height, CellLines: 2, Black: []byte{y, y}}
	switch f.Pixel {
	case capture.YUYV:
		g.CellWidth = 2
		g.Planes = whole(y, c, y, c)
	case capture.UYVY:
		g.CellWidth = 2
		g.Planes = whole(c, y, c, y)
	case capture.Grey:
		g.Planes = whole(0)
	case capture.RGB24, capture.BGR24:
		g.Planes = whole(0, 0, 0)
	case capture.NV12, capture.NV21:
		g.CellWidth, g.CellHeight = 2, 2
		g.Planes = []Plane{luma, {
			Offset: f.Stride * f.Height, Stride: f.Stride,
			LineBytes: f.Width, Lines: f.Height / 2, CellLines: 1, Black: []byte{c, c},
		}}
	case capture.I420, capture.YV12:
		g.CellWidth, g.CellHeight = 2, 2
		first := Plane{
			Offset: f.Stride * f.Height, Stride: f.Stride / 2,
			LineBytes: f.Width / 2, Lines: f.Height / 2, CellLines: 1, Black: []byte{c},
		}
		second := first
		second.Offset += first.Stride * first.Lines
		g.Planes = []Plane{luma, first, second}
	default:
		return Grid{}, fmt.Errorf("cannot mask %s frames before they are decoded", f.Pixel)
	}
	return g, nil
}
