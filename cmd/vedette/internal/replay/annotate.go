package replay

import (
	"image"
	"image/color"
	"image/draw"

	"golang.org/x/image/font"
	"golang.org/x/image/font/basicfont"
	"golang.org/x/image/math/fixed"

	"vedette/capture"
	"vedette/infer"
	"vedette/infer/preprocess"
)

// painter draws what was found into one stream's frames. It keeps its memory.
type painter struct {
	convert *preprocess.Preprocessor // nil before the first raw frame
	rgb     []byte
}

func (p *painter) close() {
	if p.convert != nil {
		p.convert.Close()
	}
}

// pixelsAsTheyAre makes the preprocessor a converter to packed RGB.
func pixelsAsTheyAre(f capture.Format) infer.InputSpec {
	return infer.InputSpec{
		Width: f.Width, Height: f.Height, Layout: infer.NHWC, Order: infer.RGB, Fit: infer.Stretch, Scale: [3]float32{1, 1, 1},
	}
}

// paint draws boxes and captions.
func paint(on *image.RGBA, objects []object) {
	size := on.Bounds().Size()
	thick := max(size.X/400, 1)
	for _, o := range objects {
		c := image.NewUniform(colourOf(o.ClassID))
		box := image.Rect(int(o.Box[0]*float32(size.X)), int(o.Box[1]*float32(size.Y)),
			int(o.Box[2]*float32(size.X)), int(o.Box[3]*float32(size.Y)))
		for _, side := range []image.Rectangle{
			{box.Min, image.Pt(box.Max.X, box.Min.Y+thick)},
			{image.Pt(box.Min.X, box.Max.Y-thick), box.Max},
			{box.Min, image.Pt(box.Min.X+thick, box.Max.Y)},
			{image.Pt(box.Max.X-thick, box.Min.Y), box.Max},
		} {
			draw.Draw(on, side, c, image.Point{}, draw.Src)
		}
		caption(on, box.Min, c, o)
	}
}

func caption(on *image.RGBA, at image.Point, background image.Image, o object) {
	face := basicfont.Face7x13
	text := o.Label + " " + string(o.Score)
	at.Y = max(at.Y, face.Height) // above the box, or in it at the picture's upper edge
	width := font.MeasureString(face, text).Ceil()
	draw.Draw(on, image.Rect(at.X, at.Y-face.Height, at.X+width+2, at.Y), background, image.Point{}, draw.Src)
	pen := font.Drawer{Dst: on, Src: image.Black, Face: face, Dot: fixed.P(at.X+1, at.Y-face.Descent)}
	pen.DrawString(text)
}

// colourOf gives neighbouring classes bright colours that differ.
func colourOf(class int) color.RGBA {
	bright := [6]color.RGBA{
		{255, 96, 96, 255}, {96, 255, 96, 255}, {128, 160, 255, 255}, {255, 255, 96, 255}, {96, 255, 255, 255}, {255, 128, 255, 255},
	}
	return bright[class%len(bright)]
}
