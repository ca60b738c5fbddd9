package capture

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

var cameraName = regexp.MustCompile(`^[a-z0-9_-]{1,32}$`)

// ReservedNames are parts of topics: no camera, zone or label may have them.
func ReservedNames() []string {
	return []string{"status", "state", "faults", "command", "events", "detections", "snapshot", "all"}
}

// ValidateName reports a name that cannot be part of a topic.
func ValidateName(name string) error {
	if !cameraName.MatchString(name) {
		return fmt.Errorf("name %q is not 1 to 32 of a-z, 0-9, _ and -", name)
	}
	if slices.Contains(ReservedNames(), name) {
		return fmt.Errorf("name %q is reserved: it is a part of a topic", name)
	}
	return nil
}

// ValidateCameras tells report each mistake: where, as a path from the list, and what.
func ValidateCameras(cameras []Camera, report func(path, problem string)) {
	seen := map[string]int{}
	for i, camera := range cameras {
		at := func(key string) string { return fmt.Sprintf("[%d].%s", i, key) }
		if err := ValidateName(camera.Name); err != nil {
			report(at("name"), err.Error())
		} else if first, ok := seen[camera.Name]; ok {
			report(at("name"), fmt.Sprintf("name %q is taken by camera %d: each needs its own", camera.Name, first+1))
		} else {
			seen[camera.Name] = i
		}
		camera.validate(func(path, problem string) { report(at(path), problem) })
	}
}

func (c Camera) validate(report func(path, problem string)) {
	c.Source.validate(func(path, problem string) { report("source"+path, problem) })
	if !(c.Rate >= 0 && c.Rate <= 1000) { // what is no number included
		report("rate", fmt.Sprintf("%g is outside 0 to 1000 inferences a second", c.Rate))
	}
	if r := c.Region; !inUnit(r[:]) || r[0] >= r[2] || r[1] >= r[3] {
		report("region", "it is not four numbers x1, y1, x2, y2 in 0..1 with x1 < x2 and y1 < y2")
	}
	if !slices.Contains([]int{0, 90, 180, 270}, c.Rotate) {
		report("rotate", fmt.Sprintf("%d is not 0, 90, 180 or 270", c.Rotate))
	}
	if err := (Turn{Flip: c.Flip}).Validate(); err != nil {
		report("flip", err.Error())
	}
	for i, mask := range c.Masks {
		if problem := polygonProblem(mask); problem != "" {
			report(fmt.Sprintf("masks[%d]", i), problem)
		}
	}
	c.validateZones(report)
	if c.Motion.Enabled && c.Source.givesMJPEG() {
		report("motion.enabled", "the gate compares raw pixels, and the service decodes no MJPEG outside its worker: "+
			"leave mjpeg out of the source's formats, such as formats: [nv12, yuyv]")
	}
}

// givesMJPEG tells whether the source may come to send MJPEG.
func (s SourceConfig) givesMJPEG() bool {
	return s.V4L2 != nil && slices.Contains(s.V4L2.Formats, MJPEG) || s.Scene != nil && s.Scene.Format == MJPEG
}

func inUnit(values []float64) bool {
	for _, v := range values {
		if !(v >= 0 && v <= 1) { // so written, NaN is outside
			return false
		}
	}
	return true
}

func (s SourceConfig) validate(report func(path, problem string)) {
	var set []string
	if s.V4L2 != nil {
		set = append(set, "v4l2")
	}
	if s.Command != nil {
		set = append(set, "command")
	}
	if s.Scene != nil {
		set = append(set, "scene")
	}
	switch len(set) {
	case 0:
		report("", "a camera needs a source: v4l2, command or scene")
	case 1:
	default:
		report("", "a camera has one source, not "+strings.Join(set, " and "))
	}
	if v := s.V4L2; v != nil {
		validateSizeRate(v.Size, v.Rate, "v4l2", ".v4l2", report)
		if len(v.Formats) == 0 {
			report(".v4l2.formats", "at least one pixel format is needed, such as mjpeg")
		}
	}
	if c := s.Command; c != nil {
		c.validate(func(path, problem string) { report(".command"+path, problem) })
	}
	if c := s.Scene; c != nil {
		validateSizeRate(c.Size, c.Rate, "scene", ".scene", report)
		if err := (Format{Pixel: c.Format, Width: c.Size.Width, Height: c.Size.Height}).Packed().Validate(); err != nil {
			report(".scene", err.Error())
		}
	}
}

func (c CommandConfig) validate(report func(path, problem string)) {
	if len(c.Argv) == 0 || c.Argv[0] == "" {
		report(".argv", "the program is missing, as in [ffmpeg, -i, in.mp4, -f, yuv4mpegpipe, -]")
	}
	if c.Format != "y4m" {
		pixel, err := ParsePixelFormat(c.Format)
		switch {
		case err != nil:
			report(".format", fmt.Sprintf("%q is neither y4m nor the name of a raw pixel format", c.Format))
		case pixel == MJPEG:
			report(".format", "mjpeg has no fixed frame size on a pipe: let the program decode it, to y4m for instance")
		default:
			validateSizeRate(c.Size, c.Rate, "raw frames", "", report)
		}
	}
	for name := range c.Env {
		if _, twice := c.EnvFile[name]; twice {
			report(".env_file."+name, "the variable is in env as well: keep one")
		}
	}
	if c.Timeout < 0 {
		report(".timeout", "a time cannot be negative")
	}
}

func validateSizeRate(size Size, rate float64, what, path string, report func(path, problem string)) {
	if size == (Size{}) {
		report(path+".size", what+" need a size, such as 1280x720")
	}
	if !(rate > 0 && rate <= 1000) {
		report(path+".rate", fmt.Sprintf("%g is outside 0 to 1000 frames a second, 0 excluded", rate))
	}
}
