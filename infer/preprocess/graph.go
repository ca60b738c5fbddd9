package preprocess

import (
	"errors"
	"fmt"

	"vedette/capture"
	"vedette/infer"
	"vedette/infer/onnxfile"
)

// FrameInput is the name of the input that a model has with Graph before it: a frame's bytes, uint8.
const FrameInput = "vedette/frame"

// Graph is what Run does, as nodes to put before a model: the frame's bytes go in, and what comes out is the model's image input, of that
// name. So the conversion runs where the model does, and a device is sent the frame instead of its tensor. It is made for one format and
// one model; values are within a grey level of Run's. Raw formats only.
func Graph(spec infer.InputSpec, s Stream, image string) (onnxfile.Graph, error) {
	g, err := newGraph(spec, s, image)
	if err != nil {
		return onnxfile.Graph{}, fmt.Errorf("cannot convert %s frames in the model's graph: %w", s.Format.Pixel, err)
	}
	return g, nil
}

func newGraph(spec infer.InputSpec, s Stream, image string) (onnxfile.Graph, error) {
	if s.Format.Pixel == capture.MJPEG {
		return onnxfile.Graph{}, errors.New("compressed frames are decoded on the processor: use preprocess: host")
	}
	if err := s.Format.Validate(); err != nil {
		return onnxfile.Graph{}, err
	}
	geometry, err := newGeometry(spec, s)
	if err != nil {
		return onnxfile.Graph{}, err
	}
	norms, err := normals(spec)
	if err != nil {
		return onnxfile.Graph{}, err
	}
	colour, err := colours(s.Format)
	if err != nil {
		return onnxfile.Graph{}, err
	}
	b := &builder{geometry: geometry, turn: s.Turn}
	b.horizontal, b.vertical = geometry.axes(s.Turn, 1)
	var samples []string // Y, U, V; R, G, B; or grey
	for k, p := range samplePlanes(s.Format) {
		samples = append(samples, b.sample(fmt.Sprintf("sample%d", k), p))
	}
	var channels []string
	for c := range 3 {
		rgb := rgbOf(spec.Order, c)
		channels = append(channels, b.channel(c, samples, colour[rgb], norms[rgb], spec))
	}
	out := b.stack(channels, spec)
	b.node("Identity", image, []string{out})
	kind := map[infer.ElementType]onnxfile.DataType{
		infer.Float32: onnxfile.Float32, infer.Float16: onnxfile.Float16, infer.Uint8: onnxfile.Uint8,
	}[spec.Type]
	shape := []int64{1, 3, int64(spec.Height), int64(spec.Width)}
	if spec.Layout == infer.NHWC {
		shape = []int64{1, int64(spec.Height), int64(spec.Width), 3}
	}
	b.graph.Name = "vedette"
	b.graph.Inputs = []onnxfile.ValueInfo{{Name: FrameInput, Type: onnxfile.Uint8, Shape: []int64{int64(s.Format.FrameBytes())}}}
	b.graph.Outputs = []onnxfile.ValueInfo{{Name: image, Type: kind, Shape: shape}}
	return b.graph, nil
}

// samplePlane is how one kind of sample lies in a frame that is seen as lines of width bytes: sample (x, y) at line + y, byte first +
// x*step.
type samplePlane struct {
	width, line, first, step int
	subX, subY               int // pixels that share a sample, each way
}

func samplePlanes(f capture.Format) []samplePlane {
	s, h := f.Stride, f.Height
	packed := func(y, u, v int) []samplePlane {
		return []samplePlane{{s, 0, y, 2, 1, 1}, {s, 0, u, 4, 2, 1}, {s, 0, v, 4, 2, 1}}
	}
	// In lines of half the width, chroma begins at line 2h.
	planar := func(u, v int) []samplePlane {
		return []samplePlane{{s, 0, 0, 1, 1, 1}, {s / 2, 2*h + u, 0, 1, 2, 2}, {s / 2, 2*h + v, 0, 1, 2, 2}}
	}
	rgb := func(r, g, b int) []samplePlane {
		return []samplePlane{{s, 0, r, 3, 1, 1}, {s, 0, g, 3, 1, 1}, {s, 0, b, 3, 1, 1}}
	}
	switch f.Pixel {
	case capture.YUYV:
		return packed(0, 1, 3)
	case capture.UYVY:
		return packed(1, 0, 2)
	case capture.NV12:
		return []samplePlane{{s, 0, 0, 1, 1, 1}, {s, h, 0, 2, 2, 2}, {s, h, 1, 2, 2, 2}}
	case capture.NV21:
		return []samplePlane{{s, 0, 0, 1, 1, 1}, {s, h, 1, 2, 2, 2}, {s, h, 0, 2, 2, 2}}
	case capture.I420:
		return planar(0, h/2)
	case capture.YV12:
		return planar(h/2, 0)
	case capture.RGB24:
		return rgb(0, 1, 2)
	case capture.BGR24:
		return rgb(2, 1, 0)
	}
	return []samplePlane{{s, 0, 0, 1, 1, 1}} // grey
}

// builder puts a graph together. Its tensors' names begin with "vedette/".
type builder struct {
	geometry             geometry
	turn                 capture.Turn
	horizontal, vertical axis
	graph                onnxfile.Graph
	names                int
}

func (b *builder) name(what string) string {
	b.names++
	return fmt.Sprintf("vedette/%s_%d", what, b.names)
}

// node adds one with one output, whose name it gives; out may name it.
func (b *builder) node(op, out string, inputs []string, attributes ...onnxfile.Attribute) string {
	if out == "" {
		out = b.name(op)
	}
	b.graph.Nodes = append(b.graph.Nodes, onnxfile.Node{
		Op: op, Name: "vedette/" + op + "/" + out, Inputs: inputs, Outputs: []string{out}, Attributes: attributes,
	})
	return out
}

func (b *builder) constant(t onnxfile.Tensor) string {
	t.Name = b.name("constant")
	b.graph.Initializers = append(b.graph.Initializers, t)
	return t.Name
}

func (b *builder) number(v float64) string {
	return b.constant(onnxfile.Float32s("", []int64{1}, []float32{float32(v)}))
}

// sample blends one kind of sample between the two lines and the two columns of each point of the grid: [height, width].
func (b *builder) sample(what string, p samplePlane) string {
	rows := b.node("Reshape", b.name(what), []string{FrameInput, b.constant(onnxfile.Int64s("", -1, int64(p.width)))})
	vertical := b.taps(b.vertical.n, func(i int) tap { return b.vertical.chroma(i, p.subY) }, func(i int) int { return p.line + i })
	horizontal := b.taps(b.horizontal.n, func(i int) tap { return b.horizontal.chroma(i, p.subX) },
		func(i int) int { return p.first + i*p.step })
	return b.blend(b.blend(rows, 0, vertical, true), 1, horizontal, false)
}

// gridTaps are the two places that each point of the grid lies between, and the second's weight.
type gridTaps struct {
	first, second []int64
	weight        []float32
	between       bool // whether any weight is not 0
}

func (b *builder) taps(n int, at func(i int) tap, place func(sample int) int) gridTaps {
	var t gridTaps
	for i := range n {
		tap := at(i)
		first, second := tap.i, tap.i
		if tap.w > 0 {
			second, t.between = second+1, true
		}
		t.first, t.second = append(t.first, int64(place(first))), append(t.second, int64(place(second)))
		t.weight = append(t.weight, float32(tap.w))
	}
	return t
}

func (b *builder) blend(from string, dimension int64, t gridTaps, cast bool) string {
	axis := onnxfile.Int("axis", dimension)
	pick := func(places []int64) string {
		picked := b.node("Gather", "", []string{from, b.constant(onnxfile.Int64s("", places...))}, axis)
		if cast {
			picked = b.node("Cast", "", []string{picked}, onnxfile.Int("to", int64(onnxfile.Float32)))
		}
		return picked
	}
	first := pick(t.first)
	if !t.between {
		return first
	}
	shape := []int64{1, int64(len(t.weight))}
	if dimension == 0 {
		shape = []int64{int64(len(t.weight)), 1}
	}
	more := b.node("Sub", "", []string{pick(t.second), first})
	more = b.node("Mul", "", []string{more, b.constant(onnxfile.Float32s("", shape, t.weight))})
	return b.node("Add", "", []string{first, more})
}

// channel is one channel of the tensor, normalised: [1, 1, height, width] with channels first, else [1, height, width, 1].
func (b *builder) channel(c int, samples []string, m [4]float64, n normal, spec infer.InputSpec) string {
	v := samples[0]
	switch {
	case len(samples) == 3 && m[1] == 0 && m[2] == 0 && m[0] == 1: // RGB
		v = samples[rgbOf(spec.Order, c)]
	case len(samples) == 3:
		v = b.node("Mul", "", []string{v, b.number(m[0])})
		for k := 1; k < 3; k++ {
			if m[k] != 0 {
				v = b.node("Add", "", []string{v, b.node("Mul", "", []string{samples[k], b.number(m[k])})})
			}
		}
		v = b.node("Add", "", []string{v, b.number(m[3])})
		// Kept to 0..255 by what every operator set has alike.
		v = b.node("Relu", "", []string{v})
		white := b.number(255)
		v = b.node("Sub", "", []string{white, b.node("Relu", "", []string{b.node("Sub", "", []string{white, v})})})
	}
	if n.mean != 0 {
		v = b.node("Sub", "", []string{v, b.number(n.mean)})
	}
	if n.scale != 1 {
		v = b.node("Mul", "", []string{v, b.number(n.scale)})
	}
	if b.turn.Sideways() {
		v = b.node("Transpose", "", []string{v}, onnxfile.Ints("perm", 1, 0))
	}
	v = b.padded(v, n.apply(float64(spec.Pad)), spec)
	shape := []int64{1, 1, int64(spec.Height), int64(spec.Width)}
	if spec.Layout == infer.NHWC {
		shape = []int64{1, int64(spec.Height), int64(spec.Width), 1}
	}
	return b.node("Reshape", "", []string{v, b.constant(onnxfile.Int64s("", shape...))})
}

// padded puts the picture into its place in the whole input.
func (b *builder) padded(v string, pad float64, spec infer.InputSpec) string {
	t := b.geometry.target
	block := func(height, width int) string {
		values := make([]float32, height*width)
		for i := range values {
			values[i] = float32(pad)
		}
		return b.constant(onnxfile.Float32s("", []int64{int64(height), int64(width)}, values))
	}
	put := func(before, after, height, width int, dimension int64) {
		parts := []string{v}
		size := func(n int) (int, int) {
			if dimension == 0 {
				return n, width
			}
			return height, n
		}
		if before > 0 {
			parts = append([]string{block(size(before))}, parts...)
		}
		if after > 0 {
			parts = append(parts, block(size(after)))
		}
		if len(parts) > 1 {
			v = b.node("Concat", "", parts, onnxfile.Int("axis", dimension))
		}
	}
	put(t.x0, spec.Width-t.x1, t.height(), 0, 1)
	put(t.y0, spec.Height-t.y1, 0, spec.Width, 0)
	return v
}

// stack puts the channels together, in the input's type.
func (b *builder) stack(channels []string, spec infer.InputSpec) string {
	dimension := int64(1)
	if spec.Layout == infer.NHWC {
		dimension = 3
	}
	v := b.node("Concat", "", channels, onnxfile.Int("axis", dimension))
	switch spec.Type {
	case infer.Float16:
		v = b.node("Cast", "", []string{v}, onnxfile.Int("to", int64(onnxfile.Float16)))
	case infer.Uint8: // rounded
		v = b.node("Floor", "", []string{b.node("Add", "", []string{v, b.number(0.5)})})
		v = b.node("Cast", "", []string{v}, onnxfile.Int("to", int64(onnxfile.Uint8)))
	}
	return v
}
