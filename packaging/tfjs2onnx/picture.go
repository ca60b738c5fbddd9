package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"vedette/infer/onnxfile"
)

// sliding is how a window moves over a picture, and what it leaves.
type sliding struct {
	kernel, stride, dilation [2]int64 // height, width
	padding                  string   // TensorFlow's: SAME or VALID
}

func (n *node) sliding() (s sliding, err error) {
	if format := n.text("data_format"); format != "" && format != "NHWC" {
		return s, fmt.Errorf("attribute data_format is %q: only NHWC can be converted", format)
	}
	if s.stride[0], s.stride[1], err = n.window("strides"); err != nil {
		return s, err
	}
	s.dilation = [2]int64{1, 1}
	if len(n.Attrs["dilations"].List.I) > 0 {
		if s.dilation[0], s.dilation[1], err = n.window("dilations"); err != nil {
			return s, err
		}
	}
	s.padding = n.text("padding")
	if s.padding != "SAME" && s.padding != "VALID" {
		return s, fmt.Errorf("attribute padding is %q: only SAME and VALID can be converted", s.padding)
	}
	return s, nil
}

// over gives the size that remains of a picture's height and width (TensorFlow's tf.nn.convolution), and the ONNX
// attributes. TensorFlow's SAME pads the end more than the beginning, which ONNX calls SAME_UPPER.
func (s sliding) over(shape []int64) (h, w int64, attributes []onnxfile.Attribute, err error) {
	var out [2]int64
	for i, size := range shape[1:3] {
		if s.padding == "VALID" {
			size -= (s.kernel[i] - 1) * s.dilation[i]
		}
		if size < 1 {
			return 0, 0, nil, fmt.Errorf("a window of %v is larger than the picture %v", s.kernel, shape)
		}
		out[i] = (size + s.stride[i] - 1) / s.stride[i]
	}
	pad := map[string]string{"SAME": "SAME_UPPER", "VALID": "VALID"}[s.padding]
	attributes = []onnxfile.Attribute{
		onnxfile.String("auto_pad", pad), onnxfile.Ints("kernel_shape", s.kernel[:]...),
		onnxfile.Ints("strides", s.stride[:]...),
	}
	return out[0], out[1], attributes, nil
}

// convolution is each of the four kinds of it. A filter is [H W in out] in TensorFlow and [out in H W] in ONNX; a
// depthwise one [H W in multiplier], which ONNX has as one group for each input channel: [in*multiplier 1 H W].
func (c *converter) convolution(n *node, in []tensor) (tensor, error) {
	filter := in[1]
	if len(in[0].shape) != 4 || in[0].kind != onnxfile.Float32 {
		return tensor{}, errors.New("its first input is no picture of float32")
	}
	if filter.value == nil || filter.kind != onnxfile.Float32 || len(filter.shape) != 4 {
		return tensor{}, errors.New("its filter is no constant of float32 with 4 dimensions")
	}
	depthwise := strings.Contains(n.Op, "Depthwise")
	channels, group := filter.shape[3], int64(1)
	if depthwise {
		channels, group = filter.shape[2]*filter.shape[3], filter.shape[2]
	}
	if in[0].shape[3] != filter.shape[2] {
		return tensor{}, fmt.Errorf("the filter %v does not fit the picture %v", filter.shape, in[0].shape)
	}
	s, err := n.sliding()
	if err != nil {
		return tensor{}, err
	}
	s.kernel = [2]int64{filter.shape[0], filter.shape[1]}
	h, w, attributes, err := s.over(in[0].shape)
	if err != nil {
		return tensor{}, err
	}
	x, err := c.picture(in[0])
	if err != nil {
		return tensor{}, err
	}
	payer := *filter.value
	if x.factor != 1 {
		payer = payer.scaled(x.factor)
	}
	var turned weight
	if depthwise {
		turned = payer.permute(2, 3, 0, 1)
		turned.shape = []int64{channels, 1, s.kernel[0], s.kernel[1]}
	} else {
		turned = payer.permute(3, 2, 0, 1)
	}
	inputs := []string{x.name, c.constant(onnxfile.Float32s(filter.name+"/"+n.Name, turned.shape, turned.floats))}

	last, biased, err := n.epilogue()
	if err != nil {
		return tensor{}, err
	}
	if biased != (len(in) == 3) {
		return tensor{}, fmt.Errorf("%d inputs do not fit the fused operations %q", len(in), n.fused())
	}
	if biased {
		if in[2].value == nil || in[2].kind != onnxfile.Float32 || !slices.Equal(in[2].shape, []int64{channels}) {
			return tensor{}, fmt.Errorf("its bias is no constant of float32 [%d]", channels)
		}
		inputs = append(inputs, c.store(in[2]).name)
	}
	attributes = append(attributes, onnxfile.Ints("dilations", s.dilation[:]...), onnxfile.Int("group", group))
	t := tensor{name: n.Name, shape: []int64{in[0].shape[0], h, w, channels}, layout: nchw, kind: onnxfile.Float32, factor: 1}
	if last == "" {
		c.add("Conv", n.Name, inputs, attributes...)
	} else {
		c.activation(last, n.Name, c.add("Conv", n.Name+"/conv", inputs, attributes...))
	}
	return t, nil
}

// epilogue says what a convolution does last: add a bias or not, then an activation or none ("").
func (n *node) epilogue() (activation string, biased bool, err error) {
	fused := n.fused()
	rest := fused
	if len(rest) > 0 && rest[0] == "BiasAdd" {
		biased, rest = true, rest[1:]
	}
	if len(rest) == 1 && slices.Contains([]string{"Relu", "Relu6", "Sigmoid"}, rest[0]) {
		return rest[0], biased, nil
	}
	if len(rest) > 0 {
		return "", false, fmt.Errorf("the fused operations %q cannot be converted", fused)
	}
	return "", biased, nil
}

func (c *converter) maxPool(n *node, in []tensor) (tensor, error) {
	s, err := n.sliding()
	if err != nil {
		return tensor{}, err
	}
	if s.kernel[0], s.kernel[1], err = n.window("ksize"); err != nil {
		return tensor{}, err
	}
	x, err := c.picture(in[0])
	if err != nil {
		return tensor{}, err
	}
	h, w, attributes, err := s.over(x.shape)
	if err != nil {
		return tensor{}, err
	}
	x.name, x.shape = c.add("MaxPool", n.Name, []string{x.name}, attributes...), []int64{x.shape[0], h, w, x.shape[3]}
	return x, nil
}

// resize is bilinear. Without half_pixel_centers a pixel lies at its upper left corner, which ONNX calls asymmetric.
func (c *converter) resize(n *node, in []tensor) (tensor, error) {
	size, err := in[1].ints()
	if err != nil || len(size) != 2 || size[0] < 1 || size[1] < 1 || len(in[0].shape) != 4 {
		return tensor{}, errors.New("it needs a picture and a constant with its new height and width")
	}
	x, err := c.picture(in[0])
	if err != nil {
		return tensor{}, err
	}
	mode := "asymmetric"
	switch {
	case n.flag("align_corners"):
		mode = "align_corners"
	case n.flag("half_pixel_centers"):
		mode = "half_pixel"
	}
	inputs := []string{x.name, "", ""}
	scaleH, scaleW := float32(size[0])/float32(x.shape[1]), float32(size[1])/float32(x.shape[2])
	if size[0]%x.shape[1] == 0 && size[1]%x.shape[2] == 0 { // exact, and a form that runtimes have fast paths for
		scales := []float32{1, 1, scaleH, scaleW}
		inputs[2] = c.constant(onnxfile.Float32s(n.Name+"/scales", []int64{4}, scales))
	} else {
		sizes := c.constant(onnxfile.Int64s(n.Name+"/sizes", x.shape[0], x.shape[3], size[0], size[1]))
		inputs = append(inputs, sizes)
	}
	x.name = c.add("Resize", n.Name, inputs,
		onnxfile.String("mode", "linear"), onnxfile.String("coordinate_transformation_mode", mode))
	x.shape = []int64{x.shape[0], size[0], size[1], x.shape[3]}
	return x, nil
}

// mean over height and width, which is the one that pictures need.
func (c *converter) mean(n *node, in []tensor) (tensor, error) {
	axes, err := in[1].ints()
	if err != nil || !slices.Equal(axes, []int64{1, 2}) || !n.flag("keep_dims") || in[0].kind != onnxfile.Float32 {
		return tensor{}, errors.New("only a mean over axes 1 and 2 that keeps the dimensions can be converted")
	}
	x, err := c.picture(in[0])
	if err != nil {
		return tensor{}, err
	}
	x.name, x.shape = c.add("GlobalAveragePool", n.Name, []string{x.name}), []int64{x.shape[0], 1, 1, x.shape[3]}
	return x, nil
}
