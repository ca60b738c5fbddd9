package v4l2

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"vedette/capture"
)

// wish is what a stream should be like.
type wish struct {
	formats []capture.PixelFormat // in order of preference
	size    capture.Size
	rate    float64 // frames a second; 0: the driver's own
}

// pixels is the driver's answer to a format that was asked for, from either of the API's two structures.
type pixels struct {
	format                             capture.PixelFormat
	width, height                      uint32
	field                              uint32
	stride, sizeImage                  uint32
	planes                             int
	colorspace, encoding, quantization uint32
}

// offer is what the driver grants for one of the formats wished for.
type offer struct {
	pixels
	interval time.Duration // 0: unknown
}

// negotiator talks about formats with a device that does not stream yet.
type negotiator struct {
	device
	kind bufType
}

// capabilities asks what the node can do, and which of the API's two ways of capturing it has; the one for a
// single plane is preferred, because every format that Vedette reads has one.
func capabilities(d device) (capability, bufType, error) {
	var c capability
	if err := d.ioctl(reqQueryCap, unsafe.Pointer(&c)); err != nil {
		if errors.Is(err, unix.ENOTTY) || errors.Is(err, unix.EINVAL) {
			return c, 0, errors.New("it is not a video device")
		}
		return c, 0, cannot("ask what it can do", err)
	}
	caps := c.Capabilities
	if caps&capDeviceCaps != 0 {
		caps = c.DeviceCaps
	}
	switch {
	case caps&(capVideoCapture|capVideoCaptureMulti) == 0:
		return c, 0, errNotCapture
	case caps&capStreaming == 0:
		return c, 0, errors.New("its driver cannot stream into buffers (V4L2_CAP_STREAMING)")
	case caps&capVideoCapture != 0:
		return c, typeCapture, nil
	}
	return c, typeCaptureMulti, nil
}

// errNotCapture is what tells metadata, output and codec nodes from cameras.
var errNotCapture = errors.New("it does not capture video (a camera's metadata node, an output or a codec)")

// Cameras round rates: 30 asked for may be 29.97 granted.
const rateTolerance = 0.95

// negotiate sets the best of what the driver grants: the first of the wished formats that it has in the wished size
// at the wished rate; else the first that it has in the wished size; else the first that it has at all, in the size
// that the driver finds nearest.
func (n negotiator) negotiate(w wish) (capture.Format, error) {
	var offers []offer
	var offered []capture.PixelFormat // what the driver gave instead
	for _, format := range w.formats {
		o, err := n.try(format, w)
		if errors.Is(err, unix.EINVAL) {
			continue // some drivers refuse a format that they lack, instead of giving another one
		}
		if err != nil {
			return capture.Format{}, cannot("set format "+format.String(), err)
		}
		if o.format != format {
			offered = append(offered, o.format)
			continue
		}
		offers = append(offers, o)
	}
	if len(offers) == 0 {
		return capture.Format{}, noFormatError{wished: w.formats, offered: offered}
	}
	best := offers[choose(offers, w)]
	granted, err := n.try(best.format, w) // the last one tried is what the driver is set to
	if err != nil {
		return capture.Format{}, cannot("set format "+best.format.String(), err)
	}
	return granted.usable()
}

func choose(offers []offer, w wish) int {
	sized := -1
	for i, o := range offers {
		if int(o.width) != w.size.Width || int(o.height) != w.size.Height {
			continue
		}
		if w.rate == 0 || o.interval == 0 || w.rate*rateTolerance*o.interval.Seconds() <= 1 {
			return i
		}
		if sized < 0 {
			sized = i
		}
	}
	return max(sized, 0)
}

// noFormatError says that the camera has none of the formats wished for.
type noFormatError struct {
	wished  []capture.PixelFormat
	offered []capture.PixelFormat // what it has, as far as known
}

func (e noFormatError) Error() string {
	if len(e.offered) > 0 && !slices.ContainsFunc(e.offered, func(p capture.PixelFormat) bool { return !bayer(p) }) {
		return fmt.Sprintf("the camera gives raw Bayer frames (%s), which need an image processor: use a command "+
			"source instead of v4l2, on a Jetson with gst-launch-1.0 and nvarguscamerasrc", e.offered[0])
	}
	text := "the camera has none of the formats " + list(e.wished)
	if len(e.offered) > 0 {
		text += ", but " + list(e.offered)
	}
	return text + ": name one that it has in formats"
}

func list(formats []capture.PixelFormat) string {
	var names []string
	for _, p := range formats {
		if name := p.String(); !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return strings.Join(names, ", ")
}

// try sets a format and the rate, and gives what the driver made of them.
func (n negotiator) try(format capture.PixelFormat, w wish) (offer, error) {
	p, err := n.setFormat(format, w.size)
	if err != nil || p.format != format {
		return offer{pixels: p}, err
	}
	interval, err := n.setRate(w.rate)
	return offer{p, interval}, err
}

func (n negotiator) setFormat(pixel capture.PixelFormat, size capture.Size) (pixels, error) {
	width, height := uint32(size.Width), uint32(size.Height)
	if n.kind == typeCaptureMulti {
		f := formatMulti{Type: n.kind, Pix: pixFormatMulti{
			Width: width, Height: height, PixelFormat: uint32(pixel), Field: fieldNone, NumPlanes: 1,
		}}
		err := n.ioctl(reqSetFormat, unsafe.Pointer(&f))
		return pixels{
			format: capture.PixelFormat(f.Pix.PixelFormat), width: f.Pix.Width, height: f.Pix.Height, field: f.Pix.Field,
			stride: f.Pix.Planes[0].BytesPerLine, sizeImage: f.Pix.Planes[0].SizeImage, planes: int(f.Pix.NumPlanes),
			colorspace: f.Pix.Colorspace, encoding: uint32(f.Pix.YCbCrEnc), quantization: uint32(f.Pix.Quantization),
		}, err
	}
	f := format{Type: n.kind, Pix: pixFormat{
		Width: width, Height: height, PixelFormat: uint32(pixel), Field: fieldNone, Priv: privMagic,
	}}
	err := n.ioctl(reqSetFormat, unsafe.Pointer(&f))
	p := pixels{
		format: capture.PixelFormat(f.Pix.PixelFormat), width: f.Pix.Width, height: f.Pix.Height, field: f.Pix.Field,
		stride: f.Pix.BytesPerLine, sizeImage: f.Pix.SizeImage, planes: 1, colorspace: f.Pix.Colorspace,
	}
	if f.Pix.Priv == privMagic {
		p.encoding, p.quantization = f.Pix.YCbCrEnc, f.Pix.Quantization
	}
	return p, err
}

// setRate asks for a rate where there is a wish for one, and gives the interval between frames that the driver
// chose; 0 where it does not say.
func (n negotiator) setRate(rate float64) (time.Duration, error) {
	p := streamParm{Type: n.kind}
	if err := n.ioctl(reqGetParm, unsafe.Pointer(&p)); err != nil {
		if errors.Is(err, unix.ENOTTY) || errors.Is(err, unix.EINVAL) {
			return 0, nil // the driver knows no rates
		}
		return 0, err
	}
	if rate > 0 && p.Capability&capRate != 0 {
		const scale = 1000
		p.Numerator, p.Denominator = scale, uint32(math.Round(rate*scale))
		if err := n.ioctl(reqSetParm, unsafe.Pointer(&p)); err != nil && !errors.Is(err, unix.EINVAL) {
			return 0, err
		}
	}
	if p.Denominator == 0 {
		return 0, nil
	}
	seconds := float64(p.Numerator) / float64(p.Denominator)
	const slowest = 60 // beyond, the driver's word would only make a dead camera look alive for long
	if seconds > slowest {
		return 0, nil
	}
	return time.Duration(seconds * float64(time.Second)), nil
}

// usable gives the offer in the vocabulary's terms, where every frame in it can be read.
func (o offer) usable() (capture.Format, error) {
	if o.planes != 1 {
		return capture.Format{}, fmt.Errorf("the driver spreads %s over %d buffers (multi-planar): only formats in "+
			"one buffer can be read", o.format, o.planes)
	}
	switch o.field {
	case fieldAny, fieldNone, fieldInterlaced, fieldInterlacedTB, fieldInterlacedBT:
	default:
		return capture.Format{}, fmt.Errorf("the driver gives the fields of a picture one by one (v4l2_field %d): "+
			"set the camera to progressive video", o.field)
	}
	f := capture.Format{
		Pixel: o.format, Width: int(o.width), Height: int(o.height),
		Stride: int(o.stride), SizeImage: int(o.sizeImage), Interval: o.interval,
	}
	f.Matrix, f.Range = o.colour()
	if f.Pixel == capture.MJPEG {
		f.Stride = 0
	} else if f.Stride == 0 {
		f.Stride = f.Packed().Stride // "zero if unused", says v4l2_pix_format
	}
	if err := f.Validate(); err != nil {
		return capture.Format{}, fmt.Errorf("the driver offers what cannot be read: %w", err)
	}
	return f, nil
}

// bayer tells the formats of bare sensors: 8 to 16 bits, packed, and compressed to 8 bits by A-law and DPCM.
func bayer(p capture.PixelFormat) bool {
	const codes = "BA81 GBRG GRBG RGGB BG10 GB10 BA10 RG10 pBAA pGAA pgAA pRAA aBA8 aGA8 agA8 aRA8 bBA8 bGA8 BD10 bRA8 " +
		"BG12 GB12 BA12 RG12 pBCC pGCC pgCC pRCC BG14 GB14 GR14 RG14 pBEE pGEE pgEE pREE BYR2 GB16 GR16 RG16 " +
		"ip3b ip3g ip3G ip3r"
	return slices.Contains(strings.Fields(codes), p.String())
}
