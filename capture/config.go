package capture

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Camera is one entry of the configuration's `cameras`.
type Camera struct {
	Name   string                `yaml:"name"`
	Source SourceConfig          `yaml:"source"`
	Rate   float64               `yaml:"rate"`   // most inferences a second; 0: as many as there is time for
	Region Region                `yaml:"region"` // x1, y1, x2, y2 in 0..1: what the model looks at
	Rotate int                   `yaml:"rotate"` // 0, 90, 180 or 270 degrees clockwise
	Flip   Flip                  `yaml:"flip"`   // horizontal or vertical, after the rotation
	Masks  [][]Point             `yaml:"masks"`  // polygons that are painted before anything looks at the pixels
	Zones  map[string]ZoneConfig `yaml:"zones"`
	Lines  map[string]LineConfig `yaml:"lines"`
	Ignore []IgnoreConfig        `yaml:"ignore"` // parts of the picture where detections count for nothing
	Motion MotionConfig          `yaml:"motion"`
	// Disabled leaves the camera alone: it is not opened.
	Disabled bool `yaml:"disabled"`
}

// Turn brings the camera's picture upright.
func (c Camera) Turn() Turn { return Turn{c.Rotate, c.Flip} }

// Point is x, y in 0..1 of the frame.
type Point [2]float64

// UnmarshalYAML takes a list of any length; validation reports one that has not two numbers.
func (p *Point) UnmarshalYAML(unmarshal func(any) error) error { return fill(p[:], unmarshal) }

// Region is x1, y1, x2, y2 in 0..1 of the frame.
type Region [4]float64

// UnmarshalYAML takes a list of any length; validation reports one that has not four numbers.
func (r *Region) UnmarshalYAML(unmarshal func(any) error) error { return fill(r[:], unmarshal) }

// fill reads a list. One of another length leaves what no validation lets through: the YAML library has no error of its own
// for that, with the place in the file, and panics over a list that is too long for an array.
func fill(into []float64, unmarshal func(any) error) error {
	var numbers []float64
	if err := unmarshal(&numbers); err != nil {
		return err
	}
	if len(numbers) != len(into) {
		for i := range into {
			into[i] = math.NaN()
		}
		return nil
	}
	copy(into, numbers)
	return nil
}

// MotionConfig is the gate that skips inference while nothing moves.
type MotionConfig struct {
	Enabled bool `yaml:"enabled"`
}

// SourceConfig names where frames come from: exactly one of its fields is set.
type SourceConfig struct {
	V4L2    *V4L2Config    `yaml:"v4l2,omitempty"`
	Command *CommandConfig `yaml:"command,omitempty"`
	Scene   *SceneConfig   `yaml:"scene,omitempty"`
}

// V4L2Config is a camera that the kernel knows.
type V4L2Config struct {
	ID       string           `yaml:"id"`      // a stable identity, or a device node; empty: the only camera there is
	Formats  []PixelFormat    `yaml:"formats"` // in order of preference
	Size     Size             `yaml:"size"`
	Rate     float64          `yaml:"rate"` // frames a second
	Controls map[string]int64 `yaml:"controls"`
}

// CommandConfig is a program that writes raw video to its standard output.
type CommandConfig struct {
	Argv    []string          `yaml:"argv"`
	Format  string            `yaml:"format"`   // y4m, or a pixel format's name for raw frames
	Size    Size              `yaml:"size"`     // of raw frames; y4m says its own
	Rate    float64           `yaml:"rate"`     // of raw frames, frames a second; y4m says its own
	Env     map[string]string `yaml:"env"`      // added to a minimal environment
	EnvFile map[string]string `yaml:"env_file"` // a variable's value is this file's content: where secrets belong
	Timeout time.Duration     `yaml:"timeout"`  // without a frame for so long the source has stalled
	// Lossless makes the program wait for the reader instead of frames being dropped: for files, not for cameras.
	Lossless bool `yaml:"lossless"`
}

// SceneConfig is a made-up scene with known objects.
type SceneConfig struct {
	Size   Size        `yaml:"size"`
	Rate   float64     `yaml:"rate"` // frames a second
	Format PixelFormat `yaml:"format"`
}

// Size is a width and a height in pixels, written as "1280x720".
type Size struct{ Width, Height int }

// String gives the form that UnmarshalText reads.
func (s Size) String() string { return fmt.Sprintf("%dx%d", s.Width, s.Height) }

// MarshalText gives the form that UnmarshalText reads; nothing for the zero size.
func (s Size) MarshalText() ([]byte, error) {
	if s == (Size{}) {
		return nil, nil
	}
	return []byte(s.String()), nil
}

// UnmarshalText reads "1280x720"; nothing means the zero size.
func (s *Size) UnmarshalText(text []byte) error {
	if len(text) == 0 {
		*s = Size{}
		return nil
	}
	w, h, ok := strings.Cut(string(text), "x")
	width, errW := strconv.Atoi(w)
	height, errH := strconv.Atoi(h)
	if !ok || errW != nil || errH != nil || width < 1 || height < 1 || width > MaxDimension || height > MaxDimension {
		return fmt.Errorf("size %q is not of the form 1280x720, with 1 to %d pixels each way", text, MaxDimension)
	}
	*s = Size{width, height}
	return nil
}

// DefaultCamera is what holds where a camera's configuration is silent.
func DefaultCamera() Camera {
	return Camera{Rate: 10, Region: [4]float64{0, 0, 1, 1}}
}

// UnmarshalYAML starts from DefaultCamera, as a rate of 0 has a meaning of its own.
func (c *Camera) UnmarshalYAML(unmarshal func(any) error) error {
	type plain Camera
	camera := plain(DefaultCamera())
	if err := unmarshal(&camera); err != nil {
		return err
	}
	*c = Camera(camera)
	return nil
}

// Amendment is a camera that is there already, of which a later layer changes the keys that it has.
type Amendment Camera

// UnmarshalYAML starts from what most USB cameras can do.
func (c *V4L2Config) UnmarshalYAML(unmarshal func(any) error) error {
	type plain V4L2Config
	config := plain{Formats: []PixelFormat{MJPEG, NV12, YUYV}, Size: Size{1280, 720}, Rate: 30}
	if err := unmarshal(&config); err != nil {
		return err
	}
	*c = V4L2Config(config)
	return nil
}

// UnmarshalYAML starts from DefaultScene.
func (c *SceneConfig) UnmarshalYAML(unmarshal func(any) error) error {
	type plain SceneConfig
	config := plain(DefaultScene())
	if err := unmarshal(&config); err != nil {
		return err
	}
	*c = SceneConfig(config)
	return nil
}

// DefaultScene is the scene that a demonstration shows.
func DefaultScene() SceneConfig {
	return SceneConfig{Size: Size{1280, 720}, Rate: 25, Format: YUYV}
}
