package replay

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/draw"
	"image/jpeg"
	_ "image/png" // for image.Decode
	"io"
	"os"

	"vedette/capture"
	"vedette/infer/preprocess"
)

// maxPicture bounds a file, and maxPixels what it claims to hold.
const (
	maxPicture = 64 << 20
	maxPixels  = 64 << 20
)

// picture submits one file. Baseline JPEG goes to the workers as it is, as from a camera; of other kinds, which cameras do not
// send, and PNG, they get the pixels.
func (r *run) picture(it item) error {
	data, size, err := ReadPicture(it.path)
	if err != nil {
		return err
	}
	format := capture.Format{Pixel: capture.MJPEG, Width: size.X, Height: size.Y}.Packed()
	if preprocess.Baseline(data) != nil { // which no PNG is
		if data, err = pixels(data); err != nil {
			return err
		}
		format.Pixel = capture.RGB24
		format = format.Packed()
	}
	format.SizeImage = max(format.SizeImage, len(data))
	s, err := r.stream(format)
	if err != nil {
		return err
	}
	return r.submit(s, frame{name: it.name, data: data})
}

// ReadPicture reads a JPEG or PNG file that is within bounds, and tells its size in pixels.
func ReadPicture(path string) (data []byte, size image.Point, err error) {
	if data, err = read(path); err != nil {
		return nil, size, err
	}
	config, _, err := image.DecodeConfig(bytes.NewReader(data))
	if err != nil {
		return nil, size, fmt.Errorf("cannot read the picture: %w", err)
	}
	if config.Width < 1 || config.Height < 1 || config.Width*config.Height > maxPixels {
		return nil, size, fmt.Errorf("cannot read the picture: it has %dx%d pixels", config.Width, config.Height)
	}
	return data, image.Pt(config.Width, config.Height), nil
}

func read(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxPicture+1))
	if len(data) > maxPicture {
		err = fmt.Errorf("it is larger than %d MiB", maxPicture>>20)
	}
	return data, err
}

// pixels decodes a picture to RGB24.
func pixels(data []byte) ([]byte, error) {
	decoded, _, err := image.Decode(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("cannot read the picture: %w", err)
	}
	rgba := toRGBA(decoded)
	rgb := make([]byte, 0, len(rgba.Pix)/4*3)
	for i := 0; i < len(rgba.Pix); i += 4 {
		rgb = append(rgb, rgba.Pix[i:i+3]...)
	}
	return rgb, nil
}

func toRGBA(picture image.Image) *image.RGBA {
	b := picture.Bounds()
	rgba := image.NewRGBA(image.Rect(0, 0, b.Dx(), b.Dy()))
	draw.Draw(rgba, rgba.Bounds(), picture, b.Min, draw.Src)
	return rgba
}

// rgba gives a frame's picture, to paint on.
func (p *painter) rgba(f capture.Format, frame []byte) (*image.RGBA, error) {
	if f.Pixel == capture.MJPEG {
		decoded, err := jpeg.Decode(bytes.NewReader(frame))
		if err != nil {
			return nil, fmt.Errorf("cannot read the picture: %w", err)
		}
		return toRGBA(decoded), nil
	}
	if p.convert == nil {
		var err error
		if p.convert, err = preprocess.New(pixelsAsTheyAre(f), preprocess.Stream{Format: f}); err != nil {
			return nil, err
		}
		p.rgb = make([]byte, 3*f.Width*f.Height)
	}
	if err := p.convert.RunUint8(frame, p.rgb); err != nil {
		return nil, err
	}
	rgba := image.NewRGBA(image.Rect(0, 0, f.Width, f.Height))
	for i := range f.Width * f.Height {
		copy(rgba.Pix[4*i:], p.rgb[3*i:3*i+3])
		rgba.Pix[4*i+3] = 255
	}
	return rgba, nil
}

var errSizes = errors.New("an annotated video takes frames of one size, and these differ: replay them apart")
