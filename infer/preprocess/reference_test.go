package preprocess

import (
	"fmt"
	"math"

	"vedette/capture"
	"vedette/infer"
)

// picture is a plain picture of float64, for working things out slowly and surely.
type picture struct {
	width, height int
	pix           [][3]float64 // R, G, B of 0..255
}

func newPicture(width, height int) picture {
	return picture{width, height, make([][3]float64, width*height)}
}

func (p picture) at(x, y int) [3]float64 {
	x, y = min(max(x, 0), p.width-1), min(max(y, 0), p.height-1)
	return p.pix[y*p.width+x]
}

// textbook is YCbCr to RGB by the decimal constants that the recommendations' readers quote.
func textbook(m capture.Matrix, r capture.Range, y, u, v float64) [3]float64 {
	u, v = u-128, v-128
	if r == capture.Limited {
		y, u, v = (y-16)*255/219, u*255/224, v*255/224
	}
	out := [3]float64{y + 1.402*v, y - 0.344136*u - 0.714136*v, y + 1.772*u}
	if m == capture.BT709 {
		out = [3]float64{y + 1.5748*v, y - 0.187324*u - 0.468124*v, y + 1.8556*u}
	}
	for c := range out {
		out[c] = min(max(out[c], 0), 255)
	}
	return out
}

// decodeRaw reads a raw frame pixel by pixel, from the formats' definitions.
func decodeRaw(f capture.Format, b []byte) picture {
	p := newPicture(f.Width, f.Height)
	s, luma := f.Stride, f.Stride*f.Height
	quarter := luma / 4
	for y := range f.Height {
		for x := range f.Width {
			yuv := func(l, u, v int) [3]float64 {
				return textbook(f.Matrix, f.Range, float64(b[l]), float64(b[u]), float64(b[v]))
			}
			line, half := y*s, y/2*(s/2)+x/2
			var out [3]float64
			switch f.Pixel {
			case capture.YUYV:
				out = yuv(line+2*x, line+x/2*4+1, line+x/2*4+3)
			case capture.UYVY:
				out = yuv(line+2*x+1, line+x/2*4, line+x/2*4+2)
			case capture.NV12:
				out = yuv(line+x, luma+y/2*s+x/2*2, luma+y/2*s+x/2*2+1)
			case capture.NV21:
				out = yuv(line+x, luma+y/2*s+x/2*2+1, luma+y/2*s+x/2*2)
			case capture.I420:
				out = yuv(line+x, luma+half, luma+quarter+half)
			case capture.YV12:
				out = yuv(line+x, luma+quarter+half, luma+half)
			case capture.Grey:
				v := float64(b[line+x])
				out = [3]float64{v, v, v}
			case capture.RGB24:
				out = [3]float64{float64(b[line+3*x]), float64(b[line+3*x+1]), float64(b[line+3*x+2])}
			case capture.BGR24:
				out = [3]float64{float64(b[line+3*x+2]), float64(b[line+3*x+1]), float64(b[line+3*x])}
			default:
				panic(fmt.Sprintf("no reference for %s", f.Pixel))
			}
			p.pix[y*f.Width+x] = out
		}
	}
	return p
}

// turns are all that a camera may be configured with.
func turns() []capture.Turn {
	var all []capture.Turn
	for _, rotate := range []int{0, 90, 180, 270} {
		for _, flip := range []capture.Flip{capture.NoFlip, capture.FlipHorizontal, capture.FlipVertical} {
			all = append(all, capture.Turn{Rotate: rotate, Flip: flip})
		}
	}
	return all
}

// turn turns a picture by quarter turns clockwise, one after the other, and flips it.
func (p picture) turn(t capture.Turn) picture {
	for degrees := t.Rotate; degrees > 0; degrees -= 90 {
		out := newPicture(p.height, p.width)
		for y := range out.height {
			for x := range out.width {
				out.pix[y*out.width+x] = p.at(y, p.height-1-x)
			}
		}
		p = out
	}
	out := newPicture(p.width, p.height)
	for y := range out.height {
		for x := range out.width {
			switch t.Flip {
			case capture.FlipHorizontal:
				out.pix[y*out.width+x] = p.at(p.width-1-x, y)
			case capture.FlipVertical:
				out.pix[y*out.width+x] = p.at(x, p.height-1-y)
			default:
				out.pix[y*out.width+x] = p.at(x, y)
			}
		}
	}
	return out
}

func (p picture) crop(x0, y0, x1, y1 int) picture {
	out := newPicture(x1-x0, y1-y0)
	for y := range out.height {
		for x := range out.width {
			out.pix[y*out.width+x] = p.at(x0+x, y0+y)
		}
	}
	return out
}

// resize is bilinear interpolation with pixel centres at halves.
func (p picture) resize(width, height int) picture {
	out := newPicture(width, height)
	for y := range height {
		for x := range width {
			sx := (float64(x)+0.5)*float64(p.width)/float64(width) - 0.5
			sy := (float64(y)+0.5)*float64(p.height)/float64(height) - 0.5
			x0, y0 := int(math.Floor(sx)), int(math.Floor(sy))
			wx, wy := sx-float64(x0), sy-float64(y0)
			a, b, c, d := p.at(x0, y0), p.at(x0+1, y0), p.at(x0, y0+1), p.at(x0+1, y0+1)
			for k := range 3 {
				out.pix[y*width+x][k] = (a[k]*(1-wx)+b[k]*wx)*(1-wy) + (c[k]*(1-wx)+d[k]*wx)*wy
			}
		}
	}
	return out
}

// tensor puts the picture at left, top of an input.
func (p picture) tensor(spec infer.InputSpec, left, top int) []float64 {
	out := make([]float64, 3*spec.Width*spec.Height)
	for y := range spec.Height {
		for x := range spec.Width {
			pad := float64(spec.Pad)
			v := [3]float64{pad, pad, pad}
			if x >= left && x < left+p.width && y >= top && y < top+p.height {
				v = p.at(x-left, y-top)
			}
			if spec.Order == infer.BGR {
				v[0], v[2] = v[2], v[0]
			}
			for c := range 3 {
				i := (y*spec.Width+x)*3 + c
				if spec.Layout == infer.NCHW {
					i = (c*spec.Height+y)*spec.Width + x
				}
				out[i] = (v[c] - float64(spec.Mean[c])) * float64(spec.Scale[c])
			}
		}
	}
	return out
}
