// Package picture turns frames into JPEG files that a person can look at.
//
// It is written in Go alone: a process that must not run native code on a camera's bytes can use it.
package picture

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/jpeg"
	"slices"

	"vedette/capture"
)

// Quality of the pictures, in JPEG's measure of 1 to 100, where nothing else is asked for.
const Quality = 75

// Options say what a picture is to be.
type Options struct {
	Format capture.Format // of the frames
	Turn   capture.Turn   // to the upright picture
	Width  int            // most pixels across the upright picture; 0: as many as the frame has. Nothing is enlarged
	// Paint hides what nobody may see of an upright picture of full size in I420, full range. It is for MJPEG: raw frames are painted where
	// they are copied. nil: nothing is hidden.
	Paint   func(i420 []byte, width, height int) error
	Quality int // 0: Quality
	// Crop is the part of the upright picture that is shown, and to which Width applies; nil: all of it.
	Crop *image.Rectangle
	// Frame is drawn as an outline, in pixels of the upright picture; nil: none is.
	Frame *image.Rectangle
	// Coded has an MJPEG frame coded anew in any case, so that Width and Quality hold for it.
	Coded bool
}

// Encoder keeps its memory from picture to picture. It is for one goroutine at a time.
type Encoder struct {
	full, small []byte // I420
	sums        []uint32
	out         bytes.Buffer
}

// Size is the picture's that Encode makes: both are even where the frame is scaled or turned.
func (o Options) Size() (width, height int) {
	shown := o.shown()
	width, height = shown.Dx(), shown.Dy()
	if o.passes() || o.Width <= 0 || o.Width >= width {
		return width, height
	}
	return max(o.Width&^1, 2), max((height*o.Width/width)&^1, 2)
}

// passes tells whether the camera's own JPEG files are the pictures, at their full size.
func (o Options) passes() bool {
	return o.Format.Pixel == capture.MJPEG && o.Turn == (capture.Turn{}) && o.Paint == nil && o.Crop == nil && o.Frame == nil && !o.Coded
}

// Upright is the size of the picture before it is cropped or scaled.
func (o Options) Upright() image.Rectangle {
	width, height := o.Turn.Upright(o.Format.Width, o.Format.Height)
	return image.Rect(0, 0, width, height)
}

// shown is the part of the upright picture that is shown. A crop is widened to even pixels, where chroma is cut; one that shows nothing
// shows all.
func (o Options) shown() image.Rectangle {
	all := o.Upright()
	if o.Crop == nil {
		return all
	}
	r := o.Crop.Intersect(all)
	r = image.Rect(r.Min.X&^1, r.Min.Y&^1, (r.Max.X+1)&^1, (r.Max.Y+1)&^1).Intersect(all)
	if r.Empty() {
		return all
	}
	return r
}

// Encode gives a frame as a JPEG file, in memory of its own. An MJPEG frame that is neither turned nor painted is passed on as it came.
// One that is decoded must have its Huffman tables, which Go's decoder needs: Standard adds those that many cameras leave out.
func (e *Encoder) Encode(frame []byte, o Options) ([]byte, error) {
	if o.passes() {
		return slices.Clone(frame), nil
	}
	width, height := o.Size()
	source, full, err := open(frame, o)
	if err != nil {
		return nil, fmt.Errorf("cannot make a picture of a frame: %w", err)
	}
	if o.Paint != nil {
		source = e.paint(source)
		if err := o.Paint(e.full, source.width, source.height); err != nil {
			return nil, fmt.Errorf("cannot hide what nobody may see of a picture: %w", err)
		}
	}
	shown := o.shown()
	source = source.crop(shown)
	picture := newI420(&e.small, width, height)
	e.shrink(picture.Y, width, height, source.planes[0])
	chromaWidth, chromaHeight := (width+1)/2, (height+1)/2
	switch source.kind {
	case grey:
		fill(picture.Cb, 128)
		fill(picture.Cr, 128)
	case ycbcr:
		e.shrink(picture.Cb, chromaWidth, chromaHeight, source.planes[1])
		e.shrink(picture.Cr, chromaWidth, chromaHeight, source.planes[2])
		if !full {
			expand(picture)
		}
		if o.Format.Matrix == capture.BT709 && o.Format.Pixel != capture.MJPEG {
			toBT601(picture)
		}
	case rgb:
		e.fromRGB(picture, source, width, height)
	}
	if o.Frame != nil {
		outline(picture, scale(*o.Frame, shown, width, height))
	}
	e.out.Reset()
	quality := o.Quality
	if quality == 0 {
		quality = Quality
	}
	if err := jpeg.Encode(&e.out, picture, &jpeg.Options{Quality: quality}); err != nil {
		return nil, fmt.Errorf("cannot make a picture of a frame: %w", err)
	}
	return slices.Clone(e.out.Bytes()), nil
}

// paint brings a source to full size in I420, upright.
func (e *Encoder) paint(s source) source {
	painted := newI420(&e.full, s.width, s.height)
	e.shrink(painted.Y, s.width, s.height, s.planes[0])
	chromaWidth, chromaHeight := (s.width+1)/2, (s.height+1)/2
	if s.kind == grey {
		fill(painted.Cb, 128)
		fill(painted.Cr, 128)
	} else {
		e.shrink(painted.Cb, chromaWidth, chromaHeight, s.planes[1])
		e.shrink(painted.Cr, chromaWidth, chromaHeight, s.planes[2])
	}
	return fromYCbCr(painted)
}

// open finds the planes of a frame. full tells whether its values have full range.
func open(frame []byte, o Options) (s source, full bool, err error) {
	f := o.Format
	if f.Pixel == capture.MJPEG {
		s, err = decode(frame, f)
		full = true // JFIF
	} else {
		if len(frame) < f.FrameBytes() {
			return source{}, false, fmt.Errorf("it has %d bytes, %s %dx%d has %d", len(frame), f.Pixel, f.Width, f.Height, f.FrameBytes())
		}
		s, err = raw(frame, f)
		full = f.Range == capture.Full
	}
	if err != nil {
		return source{}, false, err
	}
	s, err = s.turn(o.Turn)
	return s, full, err
}

// decode reads a JPEG file of the size that the camera has promised, so that a file cannot claim more memory.
func decode(frame []byte, f capture.Format) (source, error) {
	frame = Standard(frame)
	config, err := jpeg.DecodeConfig(bytes.NewReader(frame))
	if err != nil {
		return source{}, err
	}
	if config.Width != f.Width || config.Height != f.Height {
		return source{}, fmt.Errorf("the JPEG file has %dx%d pixels instead of %dx%d", config.Width, config.Height, f.Width, f.Height)
	}
	decoded, err := jpeg.Decode(bytes.NewReader(frame))
	if err != nil {
		return source{}, err
	}
	switch img := decoded.(type) {
	case *image.Gray:
		return source{kind: grey, width: f.Width, height: f.Height, planes: [3]plane{{img.Pix, 1, img.Stride, f.Width, f.Height}}}, nil
	case *image.YCbCr:
		switch img.SubsampleRatio {
		case image.YCbCrSubsampleRatio444, image.YCbCrSubsampleRatio422, image.YCbCrSubsampleRatio420, image.YCbCrSubsampleRatio440:
			return fromYCbCr(img), nil
		}
	}
	return source{}, errors.New("the JPEG file's kind of colour is not one that cameras send")
}
