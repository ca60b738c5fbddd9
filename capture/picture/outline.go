package picture

import "image"

// The outline's colour, a green that few things have, in full-range BT.601.
const (
	outlineY  = 150
	outlineCb = 44
	outlineCr = 21
)

// scale brings a rectangle of the upright picture to the pixels of the one that shows a part of it.
func scale(r, shown image.Rectangle, width, height int) image.Rectangle {
	x := func(v int) int { return (v - shown.Min.X) * width / shown.Dx() }
	y := func(v int) int { return (v - shown.Min.Y) * height / shown.Dy() }
	return image.Rect(x(r.Min.X), y(r.Min.Y), x(r.Max.X), y(r.Max.Y)).Intersect(image.Rect(0, 0, width, height))
}

// outline draws a rectangle's edges on the inside, one hundredth of the picture's width thick.
func outline(p *image.YCbCr, r image.Rectangle) {
	thick := max(2, p.Rect.Dx()/100&^1)
	inner := r.Inset(thick)
	for y := r.Min.Y; y < r.Max.Y; y++ {
		for x := r.Min.X; x < r.Max.X; x++ {
			if y >= inner.Min.Y && y < inner.Max.Y && x >= inner.Min.X && x < inner.Max.X {
				x = inner.Max.X - 1 // over what is inside
				continue
			}
			p.Y[p.YOffset(x, y)] = outlineY
			at := p.COffset(x, y)
			p.Cb[at], p.Cr[at] = outlineCb, outlineCr
		}
	}
}
