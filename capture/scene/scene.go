// Package scene makes frames of a known scene, for machines without a camera.
//
// Photographs of a person and of a cup glide over a plain background. What is in a frame follows from its sequence number
// alone, so a test knows where each object is, and the same frame has the same bytes each time.
package scene

import (
	"bytes"
	"context"
	"embed"
	"fmt"
	"image"
	"image/color"
	_ "image/jpeg" // the photographs
	"math"
	"time"

	"vedette/capture"

	"golang.org/x/image/draw"
	"golang.org/x/sys/unix"
)

//go:embed photographs/*.jpg
var photographs embed.FS

// Object is something in a frame: its box in 0..1 of the frame, cut at the frame's edges.
type Object struct {
	Label          string
	X1, Y1, X2, Y2 float32
}

// actor is a photograph that moves.
type actor struct {
	file   string
	label  string
	crop   [4]float64 // the part of the photograph that is shown, 0..1
	inside [4]float64 // where the object is in that part, 0..1: measured by hand on the picture
	height float64    // of that part, as a part of the frame's height
	x, y   path       // of the photograph's centre, in 0..1 of the frame
}

// path is a swing around a place.
type path struct {
	centre, swing float64
	period        float64 // frames
	phase         float64 // of the period
}

func (p path) at(sequence uint32) float64 {
	turn := math.Mod(float64(sequence)/p.period+p.phase, 1)
	return p.centre + p.swing*math.Sin(2*math.Pi*turn)
}

// stretch is how much wider than in life photographs are shown. A model that takes the whole frame squeezes 16:9 into a
// square and so sees them as they are.
const stretch = 16.0 / 9

func cast() []actor {
	return []actor{
		{
			file: "astronaut.jpg", label: "person",
			crop: [4]float64{0.2, 0, 0.72, 1}, inside: [4]float64{0, 0.02, 1, 1},
			height: 0.86, x: path{0.235, 0.01, 240, 0}, y: path{0.57, 0.015, 170, 0.2},
		},
		{
			file: "coffee.jpg", label: "cup",
			crop: [4]float64{0.2, 0, 0.75, 0.85}, inside: [4]float64{0.16, 0.06, 0.87, 0.9},
			height: 0.6, x: path{0.755, 0.012, 200, 0.5}, y: path{0.51, 0.03, 130, 0},
		},
	}
}

// Scene is a capture.Source.
type Scene struct {
	config     capture.SceneConfig
	format     capture.Format
	background []byte
	sprites    []sprite
	loop       [][]byte // frames rendered beforehand; empty: each is rendered when it is asked for
}

// sprite is an actor in the frame's size and format. Its own size is even both ways, and it moves by even pixels, so that it can
// be pasted into formats with shared chroma.
type sprite struct {
	actor
	format capture.Format
	pixels []byte
	image  *image.RGBA // for MJPEG, which is composed before it is coded
}

// Option changes a scene.
type Option func(*Scene) error

// Prerendered renders n frames beforehand, which are then shown over and over: their cost is not in a measurement. Truth goes
// by the sequence number modulo n.
func Prerendered(n int) Option {
	return func(s *Scene) error {
		if n < 1 {
			return fmt.Errorf("a loop of %d frames has nothing to show", n)
		}
		loop := make([][]byte, n)
		for i := range loop {
			frame := make([]byte, s.format.SizeImage)
			used, err := s.render(uint32(i), frame)
			if err != nil {
				return err
			}
			loop[i] = frame[:used]
		}
		s.loop = loop
		return nil
	}
}

// The loop of a scene in MJPEG, which Go's encoder is too slow to code as it goes: 4 s at 25 frames a second.
const mjpegLoop = 100

// New prepares a scene. A rate of 0 gives frames as fast as they are taken.
func New(config capture.SceneConfig, options ...Option) (*Scene, error) {
	s := &Scene{config: config}
	s.format = capture.Format{
		Pixel: config.Format, Width: config.Size.Width, Height: config.Size.Height,
		Matrix: capture.BT601, Range: capture.Limited,
	}
	if config.Format == capture.MJPEG {
		s.format.Range = capture.Full // JFIF
	}
	if config.Rate < 0 || math.IsNaN(config.Rate) || config.Rate > 1000 {
		return nil, fmt.Errorf("cannot make a scene: %g is outside 0 to 1000 frames a second", config.Rate)
	}
	if config.Rate > 0 {
		s.format.Interval = time.Duration(float64(time.Second) / config.Rate)
	}
	s.format = s.format.Packed()
	if err := s.format.Validate(); err != nil {
		return nil, fmt.Errorf("cannot make a scene: %w", err)
	}
	if err := s.prepare(); err != nil {
		return nil, fmt.Errorf("cannot make a scene: %w", err)
	}
	if config.Format == capture.MJPEG {
		options = append([]Option{Prerendered(mjpegLoop)}, options...)
	}
	for _, option := range options {
		if err := option(s); err != nil {
			return nil, fmt.Errorf("cannot make a scene: %w", err)
		}
	}
	return s, nil
}

func (s *Scene) prepare() error {
	if s.format.Pixel != capture.MJPEG {
		s.background = convert(s.backdrop(), s.format)
	}
	for _, a := range cast() {
		text, err := photographs.ReadFile("photographs/" + a.file)
		if err != nil {
			return err
		}
		photo, _, err := image.Decode(bytes.NewReader(text))
		if err != nil {
			return fmt.Errorf("%s: %w", a.file, err)
		}
		shown := part(photo.Bounds(), a.crop)
		height := a.height * float64(s.format.Height)
		width := height * float64(shown.Dx()) / float64(shown.Dy()) * stretch
		size := image.Rect(0, 0, even(width), even(height))
		if size.Dx() < 2 || size.Dy() < 2 || size.Dx() > s.format.Width || size.Dy() > s.format.Height {
			return fmt.Errorf("a frame of %dx%d is too small or too narrow for the photographs", s.format.Width, s.format.Height)
		}
		scaled := image.NewRGBA(size)
		draw.CatmullRom.Scale(scaled, size, photo, shown, draw.Src, nil)
		sp := sprite{actor: a, image: scaled}
		if s.format.Pixel != capture.MJPEG {
			sp.format = s.format
			sp.format.Width, sp.format.Height = size.Dx(), size.Dy()
			sp.format = sp.format.Packed()
			sp.pixels = convert(scaled, sp.format)
		}
		s.sprites = append(s.sprites, sp)
	}
	return nil
}

// backdrop is a grey wall, a little lighter at the top: nothing that a model takes for an object.
func (s *Scene) backdrop() *image.RGBA {
	img := image.NewRGBA(image.Rect(0, 0, s.format.Width, s.format.Height))
	for y := range s.format.Height {
		grey := uint8(150 - 60*y/s.format.Height)
		for x := range s.format.Width {
			img.SetRGBA(x, y, color.RGBA{grey, grey, grey, 255})
		}
	}
	return img
}

func part(whole image.Rectangle, of [4]float64) image.Rectangle {
	w, h := float64(whole.Dx()), float64(whole.Dy())
	return image.Rect(int(of[0]*w), int(of[1]*h), int(of[2]*w), int(of[3]*h)).Add(whole.Min)
}

func even(v float64) int { return int(math.Round(v/2)) * 2 }

// place is where a sprite's top left corner is in a frame. It may lie outside.
func (s *Scene) place(sp *sprite, sequence uint32) image.Point {
	if len(s.loop) > 0 {
		sequence %= uint32(len(s.loop))
	}
	size := sp.image.Bounds()
	return image.Pt(
		even(sp.x.at(sequence)*float64(s.format.Width)-float64(size.Dx())/2),
		even(sp.y.at(sequence)*float64(s.format.Height)-float64(size.Dy())/2),
	)
}

// Truth is what is in the frame with this sequence number.
func (s *Scene) Truth(sequence uint32) []Object {
	var objects []Object
	for i := range s.sprites {
		sp := &s.sprites[i]
		at, size := s.place(sp, sequence), sp.image.Bounds()
		x := func(v float64) float32 {
			return float32(min(max((float64(at.X)+v*float64(size.Dx()))/float64(s.format.Width), 0), 1))
		}
		y := func(v float64) float32 {
			return float32(min(max((float64(at.Y)+v*float64(size.Dy()))/float64(s.format.Height), 0), 1))
		}
		in := sp.inside
		objects = append(objects, Object{sp.label, x(in[0]), y(in[1]), x(in[2]), y(in[3])})
	}
	return objects
}

// String names the source.
func (s *Scene) String() string {
	return fmt.Sprintf("scene %s %s", s.config.Size, s.config.Format)
}

// Open starts the scene at sequence number 0.
func (s *Scene) Open(context.Context) (capture.Stream, error) {
	st := &stream{scene: s, start: monotonic()}
	if len(s.loop) == 0 {
		st.buffer = make([]byte, s.format.SizeImage)
	}
	return st, nil
}

func monotonic() time.Duration {
	var ts unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts) // the clock is always there
	return time.Duration(ts.Nano())
}
