package picture

import (
	"fmt"
	"image"

	"vedette/capture"
)

// plane is one component of a picture: pixel x, y is pix[x*step + y*stride], where both may be negative, counted from the
// slice that begins at the first pixel; see at.
type plane struct {
	pix           []byte
	step, stride  int
	width, height int
}

// kind is what a source's planes are.
type kind uint8

const (
	ycbcr kind = iota
	rgb
	grey
)

// source is a picture as its frame has it.
type source struct {
	kind          kind
	width, height int
	planes        [3]plane
}

// raw finds the planes of a raw frame, whose format is valid.
func raw(frame []byte, f capture.Format) (source, error) {
	s := source{width: f.Width, height: f.Height}
	w, h, luma := f.Width, f.Height, f.Stride*f.Height
	halved := func(offset, step, stride int) plane { return plane{frame[offset:], step, stride, w / 2, h / 2} }
	switch f.Pixel {
	case capture.YUYV:
		s.planes = [3]plane{{frame, 2, f.Stride, w, h}, {frame[1:], 4, f.Stride, w / 2, h}, {frame[3:], 4, f.Stride, w / 2, h}}
	case capture.UYVY:
		s.planes = [3]plane{{frame[1:], 2, f.Stride, w, h}, {frame, 4, f.Stride, w / 2, h}, {frame[2:], 4, f.Stride, w / 2, h}}
	case capture.NV12:
		s.planes = [3]plane{{frame, 1, f.Stride, w, h}, halved(luma, 2, f.Stride), halved(luma+1, 2, f.Stride)}
	case capture.NV21:
		s.planes = [3]plane{{frame, 1, f.Stride, w, h}, halved(luma+1, 2, f.Stride), halved(luma, 2, f.Stride)}
	case capture.I420, capture.YV12:
		first, second := halved(luma, 1, f.Stride/2), halved(luma+luma/4, 1, f.Stride/2)
		if f.Pixel == capture.YV12 {
			first, second = second, first
		}
		s.planes = [3]plane{{frame, 1, f.Stride, w, h}, first, second}
	case capture.Grey:
		s.kind, s.planes[0] = grey, plane{frame, 1, f.Stride, w, h}
	case capture.RGB24, capture.BGR24:
		s.kind = rgb
		s.planes = [3]plane{{frame, 3, f.Stride, w, h}, {frame[1:], 3, f.Stride, w, h}, {frame[2:], 3, f.Stride, w, h}}
		if f.Pixel == capture.BGR24 {
			s.planes[0], s.planes[2] = s.planes[2], s.planes[0]
		}
	default:
		return source{}, fmt.Errorf("%s frames are not known", f.Pixel)
	}
	return s, nil
}

// fromYCbCr finds the planes of a picture that Go has.
func fromYCbCr(img *image.YCbCr) source {
	w, h := img.Rect.Dx(), img.Rect.Dy()
	cw, ch := w, h
	switch img.SubsampleRatio {
	case image.YCbCrSubsampleRatio422:
		cw = (w + 1) / 2
	case image.YCbCrSubsampleRatio420:
		cw, ch = (w+1)/2, (h+1)/2
	case image.YCbCrSubsampleRatio440:
		ch = (h + 1) / 2
	}
	return source{width: w, height: h, planes: [3]plane{
		{img.Y, 1, img.YStride, w, h}, {img.Cb, 1, img.CStride, cw, ch}, {img.Cr, 1, img.CStride, cw, ch},
	}}
}

// turn gives the source as it is after a turn, without touching a pixel.
func (s source) turn(t capture.Turn) (source, error) {
	if err := t.Validate(); err != nil {
		return source{}, err
	}
	s.width, s.height = t.Upright(s.width, s.height)
	for i, p := range s.planes {
		if p.pix != nil {
			s.planes[i] = p.rotate(t.Rotate).flip(t.Flip)
		}
	}
	return s, nil
}

// rotate moves the first pixel to another corner. A clockwise quarter turn brings the column x of the turned picture from the line
// height-1-x.
func (p plane) rotate(degrees int) plane {
	switch degrees {
	case 90:
		return plane{p.pix, -p.stride, p.step, p.height, p.width}
	case 180:
		return plane{p.pix, -p.step, -p.stride, p.width, p.height}
	case 270:
		return plane{p.pix, p.stride, -p.step, p.height, p.width}
	}
	return p
}

func (p plane) flip(f capture.Flip) plane {
	switch f {
	case capture.FlipHorizontal:
		p.step = -p.step
	case capture.FlipVertical:
		p.stride = -p.stride
	}
	return p
}

// crop gives a part of the source, which begins at an even pixel, without touching one.
func (s source) crop(r image.Rectangle) source {
	if r == image.Rect(0, 0, s.width, s.height) {
		return s
	}
	part := func(v, full, has int) int { // of a plane that has all pixels of a row or column, or half of them
		if has == full {
			return v
		}
		return (v + 1) / 2
	}
	for i, p := range s.planes {
		if p.pix == nil {
			continue
		}
		c := plane{nil, p.step, p.stride, part(r.Dx(), s.width, p.width), part(r.Dy(), s.height, p.height)}
		first := p.origin() + part(r.Min.X, s.width, p.width)*p.step + part(r.Min.Y, s.height, p.height)*p.stride
		c.pix = p.pix[first-c.origin():]
		s.planes[i] = c
	}
	s.width, s.height = r.Dx(), r.Dy()
	return s
}

// origin is the index of pixel 0, 0: a negative step or stride counts from the far end.
func (p plane) origin() int {
	at := 0
	if p.step < 0 {
		at -= p.step * (p.width - 1)
	}
	if p.stride < 0 {
		at -= p.stride * (p.height - 1)
	}
	return at
}

// shrink makes each pixel of dst, which is width by height and no larger than p, the mean of those of p that it stands for.
func (e *Encoder) shrink(dst []byte, width, height int, p plane) {
	origin := p.origin()
	if p.width == width && p.height == height {
		for y := range height {
			at := origin + y*p.stride
			line := dst[y*width : (y+1)*width]
			if p.step == 1 {
				copy(line, p.pix[at:])
				continue
			}
			for x := range line {
				line[x] = p.pix[at]
				at += p.step
			}
		}
		return
	}
	if cap(e.sums) < width {
		e.sums = make([]uint32, width)
	}
	sums := e.sums[:width]
	for y := range height {
		from, to := span(y, height, p.height)
		clear(sums)
		for line := from; line < to; line++ {
			e.sum(sums, p, origin+line*p.stride)
		}
		out := dst[y*width : (y+1)*width]
		rows := uint32(to - from)
		for x := range out {
			left, right := span(x, width, p.width)
			n := rows * uint32(right-left)
			out[x] = byte((sums[x] + n/2) / n)
		}
	}
}

// sum adds one line of p, which begins at index at, to the sums.
func (e *Encoder) sum(sums []uint32, p plane, at int) {
	width := len(sums)
	if p.width == 2*width { // the usual case
		for x := range sums {
			sums[x] += uint32(p.pix[at]) + uint32(p.pix[at+p.step])
			at += 2 * p.step
		}
		return
	}
	for x := range sums {
		from, to := span(x, width, p.width)
		for i := from; i < to; i++ {
			sums[x] += uint32(p.pix[at+i*p.step])
		}
	}
}

// span is which of so many pixels pixel i of size stands for, at least one.
func span(i, size, of int) (from, to int) {
	from = i * of / size
	return from, max((i+1)*of/size, from+1)
}
