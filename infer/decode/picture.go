package decode

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"vedette/infer"
)

// maxSide bounds a model's input, in pixels.
const maxSide = 8192

func side(d int64) bool { return d >= 1 && d <= maxSide }

// picture is the input that takes the picture.
type picture struct {
	index         int // among the inputs
	kind          infer.ElementType
	layout        infer.Layout
	width, height int64
	batch         int64 // -1: free
}

// findPicture finds the input that takes the picture: the one with four dimensions, of which one is the three colours.
func (m *model) findPicture() error {
	m.picture.index = -1
	for i, in := range m.Inputs {
		if len(in.Shape) != 4 {
			continue
		}
		if m.picture.index >= 0 {
			return errors.New("two of its inputs could take the picture")
		}
		m.picture.index = i
	}
	if m.picture.index < 0 {
		return errors.New("none of its inputs takes a picture: one with 4 dimensions does")
	}
	in := m.Inputs[m.picture.index]
	switch in.Type {
	case "float32":
		m.picture.kind = infer.Float32
	case "float16":
		m.picture.kind = infer.Float16
	case "uint8":
		m.picture.kind = infer.Uint8
	default:
		return fmt.Errorf("a picture enters as float32, float16 or uint8, not as %s", in.Type)
	}
	var err error
	if m.picture.layout, err = m.layoutOf(in.Shape); err != nil {
		return err
	}
	m.picture.batch = in.Shape[0]
	height, width := in.Shape[2], in.Shape[3]
	if m.picture.layout == infer.NHWC {
		height, width = in.Shape[1], in.Shape[2]
	}
	if height < 0 || width < 0 {
		w, h, err := m.freeSize()
		if err != nil {
			return err
		}
		if !is(width, w) || !is(height, h) {
			return fmt.Errorf("its input %v cannot be %dx%d", in.Shape, w, h)
		}
		width, height = w, h
	}
	if !side(width) || !side(height) {
		return fmt.Errorf("a picture of %dx%d is outside 1x1 to %dx%d", width, height, maxSide, maxSide)
	}
	m.picture.width, m.picture.height = width, height
	return nil
}

func (m model) layoutOf(shape []int64) (infer.Layout, error) {
	if m.manifest.Input.Layout != "" {
		layout, err := layoutNamed(m.manifest.Input.Layout)
		if channels := shape[1+2*int(layout)]; err == nil && !is(channels, 3) {
			err = fmt.Errorf("the manifest says layout %s, and its input %v has not 3 channels there", m.manifest.Input.Layout, shape)
		}
		return layout, err
	}
	switch first, last := shape[1] == 3, shape[3] == 3; {
	case first && last:
		return 0, fmt.Errorf("its input %v may have its channels first or last: say which by `input.layout` in its manifest", shape)
	case first:
		return infer.NCHW, nil
	case last:
		return infer.NHWC, nil
	}
	return 0, fmt.Errorf("its input %v has no dimension of 3 colours", shape)
}

// freeSize is the size of an input that leaves it free: the manifest's, else what Ultralytics' exports say, [height, width].
func (m model) freeSize() (width, height int64, err error) {
	if m.manifest.Input.Size != "" {
		return m.manifest.Input.Pixels()
	}
	if _, err := fmt.Sscanf(strings.ReplaceAll(m.Metadata["imgsz"], " ", ""), "[%d,%d]", &height, &width); err == nil {
		return width, height, nil
	}
	return 0, 0, errors.New("its input leaves the picture's size free: say it by `input.size` in its manifest")
}

// spec is the input with a family's ways; a uint8 one takes pixels as they are.
func (m model) spec(order infer.ChannelOrder, fit infer.Fit, mean, scale [3]float32) infer.InputSpec {
	s := infer.InputSpec{
		Width: int(m.picture.width), Height: int(m.picture.height), Batch: int(max(m.picture.batch, 0)),
		Type: m.picture.kind, Layout: m.picture.layout, Order: order, Fit: fit, Mean: mean, Scale: scale,
	}
	if fit != infer.Stretch {
		s.Pad = 114
	}
	if s.Type == infer.Uint8 {
		s.Mean, s.Scale = [3]float32{}, same(1)
	}
	return s
}

func same(v float32) [3]float32 { return [3]float32{v, v, v} }

// applyInput lays the manifest over a family's input.
func (m model) applyInput(s *infer.InputSpec) error {
	by := m.manifest.Input
	var err error
	if by.Order != "" {
		s.Order, err = named("input.order", by.Order, map[string]infer.ChannelOrder{"rgb": infer.RGB, "bgr": infer.BGR})
	}
	if by.Fit != "" && err == nil {
		s.Fit, err = named("input.fit", by.Fit, map[string]infer.Fit{
			"stretch": infer.Stretch, "letterbox": infer.Letterbox, "letterbox_top_left": infer.LetterboxTopLeft,
		})
	}
	if by.Pad != nil {
		s.Pad = *by.Pad
	}
	if s.Type == infer.Uint8 && len(by.Mean)+len(by.Deviation) > 0 {
		return errors.New("its input is uint8, which takes pixels as they are: input.mean and input.deviation have no meaning")
	}
	channels(by.Mean, func(c int, v float32) { s.Mean[c] = v })
	channels(by.Deviation, func(c int, v float32) { s.Scale[c] = 1 / v })
	return err
}

// channels spreads one number, or one for each channel.
func channels(values []float32, set func(c int, v float32)) {
	if len(values) == 0 {
		return
	}
	for c := range 3 {
		set(c, values[c%len(values)])
	}
}

func layoutNamed(name string) (infer.Layout, error) {
	return named("input.layout", name, map[string]infer.Layout{"nchw": infer.NCHW, "nhwc": infer.NHWC})
}

func named[T any](key, name string, values map[string]T) (T, error) {
	v, ok := values[name]
	if !ok {
		var known []string
		for k := range values {
			known = append(known, k)
		}
		slices.Sort(known)
		return v, fmt.Errorf("the manifest says %s %q, which is none of %s", key, name, strings.Join(known, ", "))
	}
	return v, nil
}

// onGrid tells whether grids of these strides cover the picture without a rest.
func (m model) onGrid(strides []int) bool {
	largest := int64(slices.Max(strides))
	return slices.Min(strides) > 0 && m.picture.width%largest == 0 && m.picture.height%largest == 0
}

// cells is how many cells grids of these strides have together.
func (m model) cells(strides []int) (n int64) {
	for _, s := range strides {
		n += (m.picture.height / int64(s)) * (m.picture.width / int64(s))
	}
	return n
}
