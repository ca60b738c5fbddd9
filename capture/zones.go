package capture

import (
	"fmt"
	"maps"
	"slices"
	"time"
)

// ZoneConfig is a part of the picture that objects enter and leave.
type ZoneConfig struct {
	Polygon []Point `yaml:"polygon"`
	// Overlap is the part of an object's box that has to be inside, 0..1; 0: its ground point counts.
	Overlap  float32                 `yaml:"overlap"`
	Labels   []string                `yaml:"labels"` // empty: all
	MinDwell time.Duration           `yaml:"min_dwell"`
	Inertia  time.Duration           `yaml:"inertia"` // how long inside or outside without a break, to be taken for it
	Filters  map[string]FilterConfig `yaml:"filters"` // by label
}

// FilterConfig says what an object of one label has to be like to be in a zone. A bound of 0 is none.
type FilterConfig struct {
	MinScore  float32       `yaml:"min_score"`
	MinArea   float32       `yaml:"min_area"` // of the box, as a part of the picture
	MaxArea   float32       `yaml:"max_area"`
	MinAspect float32       `yaml:"min_aspect"` // of the box: width over height, in pixels
	MaxAspect float32       `yaml:"max_aspect"`
	MinDwell  time.Duration `yaml:"min_dwell"`
}

// LineConfig is a directed line that objects cross: in from its left to its right as one looks from `from` to `to`, else out.
type LineConfig struct {
	From    Point         `yaml:"from"`
	To      Point         `yaml:"to"`
	Labels  []string      `yaml:"labels"` // empty: all
	Inertia time.Duration `yaml:"inertia"`
}

// IgnoreConfig is a part of the picture where detections count for nothing, by their ground point.
type IgnoreConfig struct {
	Polygon []Point  `yaml:"polygon"`
	Labels  []string `yaml:"labels"` // empty: all
}

// defaultInertia is three frames at 10 a second: a box that trembles at an edge is on one side of it.
const defaultInertia = 300 * time.Millisecond

// UnmarshalYAML starts from the default inertia, as 0 has a meaning of its own.
func (z *ZoneConfig) UnmarshalYAML(unmarshal func(any) error) error {
	type plain ZoneConfig
	zone := plain{Inertia: defaultInertia}
	if err := unmarshal(&zone); err != nil {
		return err
	}
	*z = ZoneConfig(zone)
	return nil
}

// UnmarshalYAML starts from the default inertia, as 0 has a meaning of its own.
func (l *LineConfig) UnmarshalYAML(unmarshal func(any) error) error {
	type plain LineConfig
	line := plain{Inertia: defaultInertia}
	if err := unmarshal(&line); err != nil {
		return err
	}
	*l = LineConfig(line)
	return nil
}

// Bounds of one camera: what looking at them costs is paid for each object in each frame.
const (
	maxZones = 64
	maxDwell = 24 * time.Hour
)

func (c Camera) validateZones(report func(path, problem string)) {
	if n := len(c.Zones) + len(c.Lines) + len(c.Ignore); n > maxZones {
		report("zones", fmt.Sprintf("%d zones, lines and ignored parts are more than %d", n, maxZones))
	}
	for _, name := range slices.Sorted(maps.Keys(c.Zones)) {
		at := "zones." + name
		if err := ValidateName(name); err != nil {
			report(at, err.Error())
		}
		c.Zones[name].validate(func(key, problem string) { report(at+"."+key, problem) })
	}
	for _, name := range slices.Sorted(maps.Keys(c.Lines)) {
		at := "lines." + name
		if err := ValidateName(name); err != nil {
			report(at, err.Error())
		}
		if _, taken := c.Zones[name]; taken {
			report(at, fmt.Sprintf("name %q is taken by a zone: each needs its own", name))
		}
		c.Lines[name].validate(func(key, problem string) { report(at+"."+key, problem) })
	}
	for i, part := range c.Ignore {
		if problem := polygonProblem(part.Polygon); problem != "" {
			report(fmt.Sprintf("ignore[%d].polygon", i), problem)
		}
	}
}

func (z ZoneConfig) validate(report func(key, problem string)) {
	if problem := polygonProblem(z.Polygon); problem != "" {
		report("polygon", problem)
	}
	unit(z.Overlap, "overlap", report)
	duration(z.MinDwell, "min_dwell", report)
	duration(z.Inertia, "inertia", report)
	for _, label := range slices.Sorted(maps.Keys(z.Filters)) {
		f := z.Filters[label]
		at := func(key, problem string) { report("filters."+label+"."+key, problem) }
		unit(f.MinScore, "min_score", at)
		unit(f.MinArea, "min_area", at)
		unit(f.MaxArea, "max_area", at)
		for _, aspect := range []struct {
			key   string
			value float32
		}{{"min_aspect", f.MinAspect}, {"max_aspect", f.MaxAspect}} {
			if !(aspect.value >= 0 && aspect.value <= 1000) {
				at(aspect.key, fmt.Sprintf("aspect %g is outside 0 to 1000", aspect.value))
			}
		}
		if f.MaxArea != 0 && f.MinArea > f.MaxArea {
			at("min_area", fmt.Sprintf("%g is more than max_area, %g", f.MinArea, f.MaxArea))
		}
		if f.MaxAspect != 0 && f.MinAspect > f.MaxAspect {
			at("min_aspect", fmt.Sprintf("%g is more than max_aspect, %g", f.MinAspect, f.MaxAspect))
		}
		duration(f.MinDwell, "min_dwell", at)
		if len(z.Labels) > 0 && !slices.Contains(z.Labels, label) {
			report("filters."+label, fmt.Sprintf("the zone's labels do not have %q", label))
		}
	}
}

func (l LineConfig) validate(report func(key, problem string)) {
	for _, end := range []struct {
		key   string
		point Point
	}{{"from", l.From}, {"to", l.To}} {
		if !inUnit(end.point[:]) {
			report(end.key, "it is not two numbers x, y in 0..1")
		}
	}
	if l.From == l.To {
		report("to", "it is the same as from: a line has two ends")
	}
	duration(l.Inertia, "inertia", report)
}

func unit(v float32, key string, report func(key, problem string)) {
	if !(v >= 0 && v <= 1) {
		report(key, fmt.Sprintf("%g is outside 0..1", v))
	}
}

func duration(d time.Duration, key string, report func(key, problem string)) {
	if d < 0 || d > maxDwell {
		report(key, fmt.Sprintf("%v is outside 0s to %v", d, maxDwell))
	}
}
