package worker

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"reflect"

	"vedette/infer"
	"vedette/infer/decode"
	"vedette/infer/onnx"
	"vedette/infer/onnxfile"
	"vedette/infer/preprocess"
)

// preprocessInGraph is the configuration's word.
const preprocessInGraph = "graph"

// inGraph is a model that converts frames itself: it is loaded anew, with the conversion before it, for a stream that opens where no
// other is open. It then takes that stream's frames, and those that are like them in everything.
type inGraph struct {
	file   *onnx.File
	path   string
	shapes map[string][]int64 // of free inputs
	stream *preprocess.Stream // what it was last loaded for; nil before
}

// takeOn has the session take frames of a stream.
func (e *engine) takeOn(s preprocess.Stream) error {
	g := e.inGraph
	s.Masks = nil // they are in the frame
	s.Format.Interval, s.Format.SizeImage = 0, s.Format.FrameBytes()
	if g.stream != nil && reflect.DeepEqual(*g.stream, s) {
		return nil
	}
	if len(e.streams) > 0 {
		return errors.New("with preprocess: graph every camera of a session has the same format, size, region and turn as the first: " +
			"use preprocess: host")
	}
	session, err := g.open(e.family, s)
	if err != nil {
		return err
	}
	g.stream = nil // until the model has run on it
	e.session.Close()
	*e.input = input{feed: &session.Feed, pictures: 1, frame: session.InputBytes(e.family.Image)}
	fillFixed(&session.Feed, e.family)
	if err := errors.Join(e.use(session), e.warm()); err != nil {
		return err
	}
	g.stream = &s
	e.log.Info("frames are converted in the model's graph", "format", s.Format.Pixel.String(), "width", s.Format.Width,
		"height", s.Format.Height, "nodes", session.Nodes())
	return nil
}

func (g *inGraph) open(family decode.Family, s preprocess.Stream) (*onnx.Session, error) {
	if n := family.Input.Batch; n != 1 {
		return nil, fmt.Errorf("model %s takes %d pictures at a time, and preprocess: graph makes one: use preprocess: host", g.path, n)
	}
	image := g.file.Signature().Inputs[family.Image].Name
	nodes, err := preprocess.Graph(family.Input, s, image)
	if err != nil {
		return nil, err
	}
	model, err := os.ReadFile(g.path)
	if err != nil {
		return nil, fmt.Errorf("cannot read the model: %w", err)
	}
	if model, err = onnxfile.Prepend(model, nodes); err != nil {
		return nil, fmt.Errorf("model %s: %w", g.path, err)
	}
	frame := infer.Tensor{Name: preprocess.FrameInput, Shape: nodes.Inputs[0].Shape}
	shapes := maps.Clone(g.shapes)
	delete(shapes, image)
	return g.file.Behind(model, family.Image, frame).Open(shapes)
}
