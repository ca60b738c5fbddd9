package picture

import (
	"image"
	"image/color"
)

// newI420 lays a picture of 4:2:0 out in memory that is used again.
func newI420(memory *[]byte, width, height int) *image.YCbCr {
	cw, ch := (width+1)/2, (height+1)/2
	need := width*height + 2*cw*ch
	if cap(*memory) < need {
		*memory = make([]byte, need)
	}
	*memory = (*memory)[:need]
	all := *memory
	return &image.YCbCr{
		Y: all[:width*height], Cb: all[width*height : width*height+cw*ch], Cr: all[width*height+cw*ch:],
		YStride: width, CStride: cw, SubsampleRatio: image.YCbCrSubsampleRatio420, Rect: image.Rect(0, 0, width, height),
	}
}

func fill(plane []byte, v byte) {
	for i := range plane {
		plane[i] = v
	}
}

func clamp(v int) byte { return byte(min(max(v, 0), 255)) }

// expand brings limited range to full range, which JFIF has: luma 16..235 and chroma 16..240 (ITU-R BT.601, 2.5.3).
func expand(p *image.YCbCr) {
	var luma, chroma [256]byte
	for v := range 256 {
		luma[v] = clamp(((v-16)*255*2 + 219) / (219 * 2))
		chroma[v] = clamp(128 + roundDiv((v-128)*255, 224))
	}
	for i, v := range p.Y {
		p.Y[i] = luma[v]
	}
	for i, v := range p.Cb {
		p.Cb[i] = chroma[v]
	}
	for i, v := range p.Cr {
		p.Cr[i] = chroma[v]
	}
}

func roundDiv(a, b int) int {
	if a < 0 {
		return -((-a + b/2) / b)
	}
	return (a + b/2) / b
}

// toBT601 turns full-range BT.709 into full-range BT.601, in 16-bit fixed point: BT.601's matrix times the inverse of BT.709's, from
// their luma coefficients (Kr 0.299, Kb 0.114; Kr 0.2126, Kb 0.0722). A test derives the numbers.
func toBT601(p *image.YCbCr) {
	width, height := p.Rect.Dx(), p.Rect.Dy()
	for cy := range (height + 1) / 2 {
		for cx := range (width + 1) / 2 {
			at := cy*p.CStride + cx
			cb, cr := int(p.Cb[at])-128, int(p.Cr[at])-128
			change := (6657*cb + 12850*cr + 1<<15) >> 16
			p.Cb[at] = clamp(128 + (64871*cb-7252*cr+1<<15)>>16)
			p.Cr[at] = clamp(128 + (-4748*cb+64448*cr+1<<15)>>16)
			for y := 2 * cy; y < min(2*cy+2, height); y++ {
				for x := 2 * cx; x < min(2*cx+2, width); x++ {
					p.Y[y*p.YStride+x] = clamp(int(p.Y[y*p.YStride+x]) + change)
				}
			}
		}
	}
}

// fromRGB fills the picture from red, green and blue planes.
func (e *Encoder) fromRGB(p *image.YCbCr, s source, width, height int) {
	red, green, blue := make([]byte, width*height), make([]byte, width*height), make([]byte, width*height)
	for i, dst := range [][]byte{red, green, blue} {
		e.shrink(dst, width, height, s.planes[i])
	}
	for cy := range (height + 1) / 2 {
		for cx := range (width + 1) / 2 {
			var cbs, crs, n int
			for y := 2 * cy; y < min(2*cy+2, height); y++ {
				for x := 2 * cx; x < min(2*cx+2, width); x++ {
					at := y*width + x
					luma, cb, cr := color.RGBToYCbCr(red[at], green[at], blue[at])
					p.Y[at] = luma
					cbs, crs, n = cbs+int(cb), crs+int(cr), n+1
				}
			}
			p.Cb[cy*p.CStride+cx], p.Cr[cy*p.CStride+cx] = byte((cbs+n/2)/n), byte((crs+n/2)/n)
		}
	}
}
