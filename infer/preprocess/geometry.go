package preprocess

import (
	"errors"
	"fmt"
	"math"

	"vedette/capture"
	"vedette/infer"
)

// rect is a rectangle of whole pixels: x1 and y1 are just outside.
type rect struct{ x0, y0, x1, y1 int }

func (r rect) width() int  { return r.x1 - r.x0 }
func (r rect) height() int { return r.y1 - r.y0 }

// geometry is which pixels of the upright frame go where in the model's input.
type geometry struct {
	width, height int  // the upright frame: as a person sees it, after its turn
	region        rect // of the upright frame
	target        rect // of the input
}

func newGeometry(spec infer.InputSpec, s Stream) (geometry, error) {
	var g geometry
	if err := s.Turn.Validate(); err != nil {
		return g, err
	}
	g.width, g.height = s.Turn.Upright(s.Format.Width, s.Format.Height)
	region := s.Region
	if region == ([4]float64{}) {
		region = [4]float64{0, 0, 1, 1}
	}
	if !(region[0] >= 0 && region[0] < region[2] && region[2] <= 1) ||
		!(region[1] >= 0 && region[1] < region[3] && region[3] <= 1) {
		return g, fmt.Errorf("region %v is not x1, y1, x2, y2 in 0..1 with x1 < x2 and y1 < y2", region)
	}
	g.region.x0, g.region.x1 = wholePixels(region[0], region[2], g.width)
	g.region.y0, g.region.y1 = wholePixels(region[1], region[3], g.height)

	if spec.Width < 1 || spec.Height < 1 || spec.Width > maxInput || spec.Height > maxInput {
		return g, fmt.Errorf("input of %dx%d is outside 1x1 to %dx%d", spec.Width, spec.Height, maxInput, maxInput)
	}
	switch spec.Fit {
	case infer.Stretch:
		g.target = rect{0, 0, spec.Width, spec.Height}
	case infer.Letterbox, infer.LetterboxTopLeft:
		g.target = letterbox(g.region, spec)
	default:
		return g, errors.New("input has an unknown fit")
	}
	return g, nil
}

// wholePixels rounds a span of 0..1 to pixels, at least one.
func wholePixels(from, to float64, size int) (int, int) {
	a := min(int(math.Round(from*float64(size))), size-1)
	b := int(math.Round(to * float64(size)))
	return a, max(b, a+1)
}

// letterbox is the largest rectangle of the region's shape in the input, rounded to whole pixels; what is left over
// is shared evenly, the odd pixel at the right and the bottom, or lies there altogether.
func letterbox(region rect, spec infer.InputSpec) rect {
	w, h := float64(region.width()), float64(region.height())
	ratio := min(float64(spec.Width)/w, float64(spec.Height)/h)
	width := min(max(int(math.Round(w*ratio)), 1), spec.Width)
	height := min(max(int(math.Round(h*ratio)), 1), spec.Height)
	var left, top int
	if spec.Fit == infer.Letterbox {
		left, top = (spec.Width-width)/2, (spec.Height-height)/2
	}
	return rect{left, top, left + width, top + height}
}

// placement maps the input's pixels to 0..1 of the upright frame.
func (g geometry) placement() infer.Placement {
	sx := float64(g.region.width()) / float64(g.target.width())
	sy := float64(g.region.height()) / float64(g.target.height())
	return infer.Placement{
		X:      float32((float64(g.region.x0) - float64(g.target.x0)*sx) / float64(g.width)),
		Y:      float32((float64(g.region.y0) - float64(g.target.y0)*sy) / float64(g.height)),
		ScaleX: float32(sx / float64(g.width)),
		ScaleY: float32(sy / float64(g.height)),
	}
}

// An axis is one direction of the sensor's picture: which of its pixels the grid lies on, in the grid's order.
type axis struct {
	lo, hi   int     // the region's pixels, hi just outside
	n        int     // grid points
	mirrored bool    // the grid runs from hi to lo
	scale    float64 // of the frame's pixels to those in memory: below 1 where a JPEG was decoded smaller
}

// axes gives the sensor's horizontal and vertical axis. A quarter turn clockwise puts the sensor's pixel (x, y) at
// upright (height-1-y, x).
func (g geometry) axes(turn capture.Turn, scale float64) (horizontal, vertical axis) {
	x := axis{lo: g.region.x0, hi: g.region.x1, n: g.target.width(), scale: scale}
	y := axis{lo: g.region.y0, hi: g.region.y1, n: g.target.height(), scale: scale}
	switch turn.Flip {
	case capture.FlipHorizontal:
		x = x.mirror(g.width)
	case capture.FlipVertical:
		y = y.mirror(g.height)
	}
	switch turn.Rotate {
	case 90:
		return y, x.mirror(g.width)
	case 180:
		return x.mirror(g.width), y.mirror(g.height)
	case 270:
		return y.mirror(g.height), x
	}
	return x, y
}

func (a axis) mirror(size int) axis {
	a.lo, a.hi, a.mirrored = size-a.hi, size-a.lo, !a.mirrored
	return a
}

// at is where grid point i lies, in pixels in memory, with pixel centres at whole numbers.
func (a axis) at(i int) float64 {
	if a.mirrored {
		i = a.n - 1 - i
	}
	edge := float64(a.lo) + (float64(i)+0.5)*float64(a.hi-a.lo)/float64(a.n)
	return edge*a.scale - 0.5
}

// span is the region's pixels in memory.
func (a axis) span() (lo, hi int) {
	return int(math.Floor(float64(a.lo) * a.scale)), int(math.Ceil(float64(a.hi) * a.scale))
}

// tap is a point between pixel i and the next, and the next one's weight. The weight is 0 where there is no next pixel.
type tap struct {
	i int
	w float64
}

// between is the tap for a point, kept to the pixels lo to hi-1.
func between(at float64, lo, hi int) tap {
	i := int(math.Floor(at))
	if i < lo {
		return tap{lo, 0}
	}
	if i >= hi-1 {
		return tap{hi - 1, 0}
	}
	return tap{i, at - float64(i)}
}

// luma is the tap of grid point i in planes of full resolution.
func (a axis) luma(i int) tap {
	lo, hi := a.span()
	return between(a.at(i), lo, hi)
}

// chroma is the tap of grid point i in planes with one sample for every sub pixels. All of those have the sample's
// value, which is how OpenCV reads raw formats.
func (a axis) chroma(i, sub int) tap {
	t := a.luma(i)
	if t.w == 0 || t.i/sub == (t.i+1)/sub {
		return tap{t.i / sub, 0}
	}
	return tap{t.i / sub, t.w}
}
