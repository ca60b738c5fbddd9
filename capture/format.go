// Package capture is the vocabulary of video frames: what they look like, where they come from, why they are dropped.
package capture

import (
	"fmt"
	"strings"
	"time"
)

// PixelFormat names the layout of a frame's bytes, by V4L2's FourCC code.
type PixelFormat uint32

// FourCC packs four characters as V4L2 does: the first in the lowest byte.
func FourCC(code string) PixelFormat {
	if len(code) != 4 {
		return 0
	}
	return PixelFormat(code[0]) | PixelFormat(code[1])<<8 | PixelFormat(code[2])<<16 | PixelFormat(code[3])<<24
}

// The pixel formats that Vedette reads. Planar formats keep their planes one after the other in one buffer.
const (
	YUYV  PixelFormat = 'Y' | 'U'<<8 | 'Y'<<16 | 'V'<<24
	UYVY  PixelFormat = 'U' | 'Y'<<8 | 'V'<<16 | 'Y'<<24
	NV12  PixelFormat = 'N' | 'V'<<8 | '1'<<16 | '2'<<24
	NV21  PixelFormat = 'N' | 'V'<<8 | '2'<<16 | '1'<<24
	I420  PixelFormat = 'Y' | 'U'<<8 | '1'<<16 | '2'<<24
	YV12  PixelFormat = 'Y' | 'V'<<8 | '1'<<16 | '2'<<24
	Grey  PixelFormat = 'G' | 'R'<<8 | 'E'<<16 | 'Y'<<24
	RGB24 PixelFormat = 'R' | 'G'<<8 | 'B'<<16 | '3'<<24
	BGR24 PixelFormat = 'B' | 'G'<<8 | 'R'<<16 | '3'<<24
	MJPEG PixelFormat = 'M' | 'J'<<8 | 'P'<<16 | 'G'<<24
)

// PixelFormats lists every format that Vedette reads, in no order of preference.
func PixelFormats() []PixelFormat {
	return []PixelFormat{YUYV, UYVY, NV12, NV21, I420, YV12, Grey, RGB24, BGR24, MJPEG}
}

// String gives the name that configuration uses, such as "yuyv" or "mjpeg"; for a format that Vedette does not
// read, its FourCC.
func (p PixelFormat) String() string {
	switch p {
	case YUYV:
		return "yuyv"
	case UYVY:
		return "uyvy"
	case NV12:
		return "nv12"
	case NV21:
		return "nv21"
	case I420:
		return "i420"
	case YV12:
		return "yv12"
	case Grey:
		return "grey"
	case RGB24:
		return "rgb24"
	case BGR24:
		return "bgr24"
	case MJPEG:
		return "mjpeg"
	}
	code := []byte{byte(p), byte(p >> 8), byte(p >> 16), byte(p >> 24)}
	for _, c := range code {
		if c < ' ' || c > '~' {
			return fmt.Sprintf("0x%08x", uint32(p))
		}
	}
	return string(code)
}

// ParsePixelFormat reads the name that String gives for a format that Vedette reads.
func ParsePixelFormat(name string) (PixelFormat, error) {
	var names []string
	for _, p := range PixelFormats() {
		if p.String() == name {
			return p, nil
		}
		names = append(names, p.String())
	}
	return 0, fmt.Errorf("unknown pixel format %q: use one of %s", name, strings.Join(names, ", "))
}

// MarshalText and UnmarshalText let configuration and messages carry a format by its name.
func (p PixelFormat) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText is the inverse of MarshalText; it fails as ParsePixelFormat does.
func (p *PixelFormat) UnmarshalText(text []byte) error {
	parsed, err := ParsePixelFormat(string(text))
	if err != nil {
		return err
	}
	*p = parsed
	return nil
}

// Matrix says how YCbCr relates to RGB.
type Matrix uint8

// The two matrices in use, by ITU-R recommendation. Without word from the driver V4L2 says BT.601 for
// standard-definition sources and BT.709 for HDTV; webcams and JPEG (JFIF) use BT.601.
const (
	BT601 Matrix = iota
	BT709
)

// Range says which values luma and chroma take.
type Range uint8

// Limited is 16..235 for luma and 16..240 for chroma; Full is 0..255 for both (JFIF).
const (
	Limited Range = iota
	Full
)

// Format is what a stream of frames has in common.
type Format struct {
	Pixel     PixelFormat   `json:"pixel"`
	Width     int           `json:"width"`  // pixels
	Height    int           `json:"height"` // pixels
	Stride    int           `json:"stride"` // bytes per line of the first plane; 0 for MJPEG
	SizeImage int           `json:"size_image"`
	Matrix    Matrix        `json:"matrix"`
	Range     Range         `json:"range"`
	Interval  time.Duration `json:"interval_ns"` // nominal time between frames; 0 when unknown
}

// Bounds on what a source may claim, so that nothing is allocated on a hostile header's word.
const (
	MaxDimension = 16384
	MaxSizeImage = 256 << 20
)

// Validate reports a format that no frame can have: unknown pixels, a size out of bounds (odd sizes included, where
// chroma is subsampled), a stride shorter than a line, a SizeImage smaller than the planes need.
func (f Format) Validate() error {
	if _, err := ParsePixelFormat(f.Pixel.String()); err != nil {
		return err
	}
	if f.Width < 1 || f.Height < 1 || f.Width > MaxDimension || f.Height > MaxDimension {
		return fmt.Errorf("frame size %dx%d is outside 1x1 to %dx%d", f.Width, f.Height, MaxDimension, MaxDimension)
	}
	if f.SizeImage < 1 || f.SizeImage > MaxSizeImage {
		return fmt.Errorf("image size of %d bytes is outside 1 to %d", f.SizeImage, MaxSizeImage)
	}
	if f.Pixel == MJPEG {
		return nil
	}
	switch f.Pixel {
	case YUYV, UYVY:
		if f.Width%2 != 0 {
			return fmt.Errorf("%s needs an even width, not %d", f.Pixel, f.Width)
		}
	case NV12, NV21, I420, YV12:
		if f.Width%2 != 0 || f.Height%2 != 0 {
			return fmt.Errorf("%s needs an even width and height, not %dx%d", f.Pixel, f.Width, f.Height)
		}
		if f.Stride%2 != 0 {
			return fmt.Errorf("%s needs an even stride, not %d", f.Pixel, f.Stride)
		}
	}
	if least := f.Pixel.lineBytes(f.Width); f.Stride < least || f.Stride > MaxSizeImage {
		return fmt.Errorf("stride of %d bytes does not fit a %s line of %d pixels (%d bytes)", f.Stride, f.Pixel, f.Width, least)
	}
	if least := f.FrameBytes(); f.SizeImage < least {
		return fmt.Errorf("image size of %d bytes is too small for %dx%d %s with stride %d (%d bytes)",
			f.SizeImage, f.Width, f.Height, f.Pixel, f.Stride, least)
	}
	return nil
}

func (p PixelFormat) lineBytes(width int) int {
	switch p {
	case YUYV, UYVY:
		return 2 * width
	case RGB24, BGR24:
		return 3 * width
	}
	return width
}

// FrameBytes is how many bytes a whole frame has, from the stride and the height; for MJPEG, whose frames differ, 0.
func (f Format) FrameBytes() int {
	switch f.Pixel {
	case MJPEG:
		return 0
	case NV12, NV21, I420, YV12:
		return f.Stride*f.Height + f.Stride*f.Height/2
	}
	return f.Stride * f.Height
}

// Packed fills in Stride and SizeImage for frames without padding. An MJPEG frame is allowed as many bytes as YUYV
// would have, which is what drivers reserve.
func (f Format) Packed() Format {
	if f.Pixel == MJPEG {
		f.Stride, f.SizeImage = 0, 2*f.Width*f.Height
		return f
	}
	f.Stride = f.Pixel.lineBytes(f.Width)
	f.SizeImage = f.FrameBytes()
	return f
}
