// Package preprocess turns a frame's bytes into a model's input tensor.
package preprocess

import (
	"errors"
	"fmt"

	"vedette/capture"
	"vedette/infer"
	"vedette/infer/preprocess/mask"
)

// ErrDamaged says that a frame's bytes are no picture of the stream's format: too few of them, a JPEG that is cut short
// or corrupt in any way that the decoder notices, a JPEG of another size or of a kind that cameras do not send. The
// tensor is then as it was.
var ErrDamaged = errors.New("damaged picture")

// maxInput bounds a model's input, each way.
const maxInput = 8192

// Stream is what frames of one stream have in common. Region and masks are in 0..1 of the upright frame: the sensor's
// after its turn, as a person sees it. So are the boxes that Placement gives.
type Stream struct {
	// Format is the frames' format. Matrix and range count for the raw YCbCr formats; JPEG is BT.601 with full range
	// (JFIF), grey and RGB are taken as they are.
	Format capture.Format
	// Region is x1, y1, x2, y2 of what the model looks at, rounded to whole pixels; all 0 means the whole frame.
	Region [4]float64
	// Turn brings the sensor's picture upright.
	Turn capture.Turn
	// Masks are polygons that are painted black in MJPEG frames after decoding. Raw frames are masked by whoever writes
	// them into the ring, with package mask.
	Masks [][]capture.Point
}

// Preprocessor turns frames of one stream into one model's input. It is for one goroutine at a time.
//
// The region is resized bilinearly with pixel centres at halves and without smoothing, which is what OpenCV's
// INTER_LINEAR does and what models are trained on. A JPEG is decoded at 1/2, 1/4 or 1/8 of its size where that still
// is no smaller than the resized region.
type Preprocessor struct {
	spec     infer.InputSpec
	geometry geometry
	plan     *plan    // nil once closed
	decoder  *decoder // nil for raw formats
	pads     padding[float32]
	pads8    padding[uint8]
}

// New prepares tables and scratch memory. Close frees them.
func New(spec infer.InputSpec, s Stream) (*Preprocessor, error) {
	p, err := newPreprocessor(spec, s)
	if err != nil {
		return nil, fmt.Errorf("cannot prepare %s frames for the model: %w", s.Format.Pixel, err)
	}
	return p, nil
}

func newPreprocessor(spec infer.InputSpec, s Stream) (*Preprocessor, error) {
	if err := s.Format.Validate(); err != nil {
		return nil, err
	}
	if spec.Layout > infer.NHWC || spec.Order > infer.BGR {
		return nil, errors.New("input has an unknown layout or channel order")
	}
	g, err := newGeometry(spec, s)
	if err != nil {
		return nil, err
	}
	if err := mask.Validate(s.Masks); err != nil {
		return nil, err
	}
	p := &Preprocessor{spec: spec, geometry: g}
	p.pads, p.pads8, err = newPaddings(spec)
	if err != nil {
		return nil, err
	}
	l := rawLayout(s.Format)
	if s.Format.Pixel == capture.MJPEG {
		if p.decoder, err = newDecoder(s, g); err != nil {
			return nil, err
		}
		l = p.decoder.layout()
	}
	t, err := colours(s.Format)
	if err != nil {
		return nil, err
	}
	p.plan, err = newPlan(spec, g, s.Turn, l, t)
	return p, err
}

// Run fills dst, the whole input tensor, from a frame. It reads src only, never writes it, and keeps neither.
// The error is ErrDamaged where the frame is to blame.
func (p *Preprocessor) Run(src []byte, dst []float32) error {
	src, err := p.picture(src, len(dst))
	if err != nil {
		return err
	}
	p.pads.write(p.spec, p.geometry.target, dst)
	p.plan.runFloat32(src, dst)
	return nil
}

// Again is Run for a tensor that this Preprocessor was the last to fill: the padding is there already.
func (p *Preprocessor) Again(src []byte, dst []float32) error {
	src, err := p.picture(src, len(dst))
	if err != nil {
		return err
	}
	p.plan.runFloat32(src, dst)
	return nil
}

// RunUint8 is Run for models that take bytes: values are rounded, and kept to 0..255.
func (p *Preprocessor) RunUint8(src []byte, dst []uint8) error {
	src, err := p.picture(src, len(dst))
	if err != nil {
		return err
	}
	p.pads8.write(p.spec, p.geometry.target, dst)
	p.plan.runUint8(src, dst)
	return nil
}

// picture gives the samples that the kernel reads, checked to be as many as its tables assume.
func (p *Preprocessor) picture(src []byte, dst int) ([]byte, error) {
	if p.plan == nil {
		return nil, errors.New("cannot fill a tensor: the preprocessor is closed")
	}
	if want := 3 * p.spec.Width * p.spec.Height; dst != want {
		return nil, fmt.Errorf("cannot fill a tensor of %d values: the input has %d", dst, want)
	}
	if p.decoder != nil {
		return p.decoder.decode(src)
	}
	if len(src) < p.plan.bytes {
		return nil, fmt.Errorf("%w: %d bytes of %d", ErrDamaged, len(src), p.plan.bytes)
	}
	return src, nil
}

// Placement says where the input's pixels lie in the upright frame.
func (p *Preprocessor) Placement() infer.Placement { return p.geometry.placement() }

// Close frees the tables. The preprocessor is of no use afterwards; a second call does nothing.
func (p *Preprocessor) Close() {
	if p.plan != nil {
		p.plan.close()
		p.plan = nil
	}
}
