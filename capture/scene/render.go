package scene

import (
	"fmt"
	"image"
	"image/draw"
	"image/jpeg"

	"vedette/capture"
)

// JPEG quality of MJPEG frames, about what webcams use.
const quality = 85

// render draws a frame into dst and tells how many bytes it has.
func (s *Scene) render(sequence uint32, dst []byte) (int, error) {
	if s.format.Pixel == capture.MJPEG {
		return s.renderJPEG(sequence, dst)
	}
	n := copy(dst, s.background)
	for i := range s.sprites {
		paste(dst, s.format, s.sprites[i].pixels, s.sprites[i].format, s.place(&s.sprites[i], sequence))
	}
	return n, nil
}

func (s *Scene) renderJPEG(sequence uint32, dst []byte) (int, error) {
	img := s.backdrop()
	for i := range s.sprites {
		sp := &s.sprites[i]
		draw.Draw(img, sp.image.Bounds().Add(s.place(sp, sequence)), sp.image, image.Point{}, draw.Src)
	}
	out := &bounded{buffer: dst[:0], most: len(dst)}
	if err := jpeg.Encode(out, img, &jpeg.Options{Quality: quality}); err != nil {
		return 0, fmt.Errorf("cannot code frame %d: %w", sequence, err)
	}
	return len(out.buffer), nil
}

type bounded struct {
	buffer []byte
	most   int
}

func (b *bounded) Write(p []byte) (int, error) {
	if len(b.buffer)+len(p) > b.most {
		return 0, fmt.Errorf("picture has more than %d bytes", b.most)
	}
	b.buffer = append(b.buffer, p...)
	return len(p), nil
}

// plane is one plane of a raw format: a rectangle of units, each for xStep by yStep pixels.
type plane struct {
	offset, stride int
	unit           int // bytes
	xStep, yStep   int // pixels for one unit
}

func planes(f capture.Format) []plane {
	switch luma := f.Stride * f.Height; f.Pixel {
	case capture.YUYV, capture.UYVY:
		return []plane{{0, f.Stride, 4, 2, 1}}
	case capture.RGB24, capture.BGR24:
		return []plane{{0, f.Stride, 3, 1, 1}}
	case capture.NV12, capture.NV21:
		return []plane{{0, f.Stride, 1, 1, 1}, {luma, f.Stride, 2, 2, 2}}
	case capture.I420, capture.YV12:
		return []plane{{0, f.Stride, 1, 1, 1}, {luma, f.Stride / 2, 1, 2, 2}, {luma + luma/4, f.Stride / 2, 1, 2, 2}}
	}
	return []plane{{0, f.Stride, 1, 1, 1}}
}

// paste copies a picture into a larger one of the same pixel format, cut at its edges. Corner at is even both ways.
func paste(dst []byte, df capture.Format, src []byte, sf capture.Format, at image.Point) {
	visible := image.Rect(0, 0, sf.Width, sf.Height).Add(at).Intersect(image.Rect(0, 0, df.Width, df.Height))
	if visible.Empty() {
		return
	}
	from := planes(sf)
	for i, d := range planes(df) {
		s := from[i]
		length := visible.Dx() / d.xStep * d.unit
		for y := visible.Min.Y / d.yStep; y < visible.Max.Y/d.yStep; y++ {
			to := d.offset + y*d.stride + visible.Min.X/d.xStep*d.unit
			of := s.offset + (y-at.Y/s.yStep)*s.stride + (visible.Min.X-at.X)/s.xStep*s.unit
			copy(dst[to:to+length], src[of:of+length])
		}
	}
}

// convert gives a picture in a raw format. Chroma that several pixels share is their mean.
func convert(img *image.RGBA, f capture.Format) []byte {
	out := make([]byte, f.FrameBytes())
	at := func(x, y int) (r, g, b int) {
		i := img.PixOffset(min(x, f.Width-1), min(y, f.Height-1))
		return int(img.Pix[i]), int(img.Pix[i+1]), int(img.Pix[i+2])
	}
	luma := func(x, y int) byte {
		r, g, b := at(x, y)
		return lumaOf(r, g, b)
	}
	chroma := func(x, y, w, h int) (cb, cr byte) {
		var r, g, b int
		for dy := range h {
			for dx := range w {
				pr, pg, pb := at(x+dx, y+dy)
				r, g, b = r+pr, g+pg, b+pb
			}
		}
		return chromaOf(r/(w*h), g/(w*h), b/(w*h))
	}
	all := planes(f)
	for y := range f.Height {
		line := out[y*f.Stride:]
		for x := range f.Width {
			switch f.Pixel {
			case capture.YUYV, capture.UYVY:
				if x%2 != 0 {
					continue
				}
				cb, cr := chroma(x, y, 2, 1)
				if f.Pixel == capture.YUYV {
					copy(line[2*x:], []byte{luma(x, y), cb, luma(x+1, y), cr})
				} else {
					copy(line[2*x:], []byte{cb, luma(x, y), cr, luma(x+1, y)})
				}
			case capture.RGB24:
				r, g, b := at(x, y)
				copy(line[3*x:], []byte{byte(r), byte(g), byte(b)})
			case capture.BGR24:
				r, g, b := at(x, y)
				copy(line[3*x:], []byte{byte(b), byte(g), byte(r)})
			default:
				line[x] = luma(x, y)
			}
		}
	}
	if len(all) > 1 {
		writeChroma(out, f, all[1:], chroma)
	}
	return out
}

func writeChroma(out []byte, f capture.Format, all []plane, chroma func(x, y, w, h int) (cb, cr byte)) {
	for y := 0; y < f.Height; y += 2 {
		for x := 0; x < f.Width; x += 2 {
			cb, cr := chroma(x, y, 2, 2)
			if f.Pixel == capture.NV21 || f.Pixel == capture.YV12 {
				cb, cr = cr, cb
			}
			first := all[0].offset + y/2*all[0].stride + x/2*all[0].unit
			out[first] = cb
			if len(all) == 1 {
				out[first+1] = cr
			} else {
				out[all[1].offset+y/2*all[1].stride+x/2] = cr
			}
		}
	}
}

// lumaOf and chromaOf are ITU-R BT.601 with limited range, in 16-bit fixed point: Y = 16 + 65.481 R + 128.553 G +
// 24.966 B, Cb = 128 - 37.797 R - 74.203 G + 112 B, Cr = 128 + 112 R - 93.786 G - 18.214 B, for R, G, B in 0..1.
func lumaOf(r, g, b int) byte {
	return byte((16<<16 + 16829*r + 33039*g + 6416*b + 1<<15) >> 16)
}

func chromaOf(r, g, b int) (cb, cr byte) {
	return byte((128<<16 - 9714*r - 19070*g + 28784*b + 1<<15) >> 16),
		byte((128<<16 + 28784*r - 24103*g - 4681*b + 1<<15) >> 16)
}
