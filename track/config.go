package track

import (
	"fmt"
	"time"
)

// Config is the `track` section of the configuration.
type Config struct {
	// PerClass keeps detections of one class from continuing objects of another. Without it, an object has the label that
	// most of what was seen of it has.
	PerClass bool `yaml:"per_class"`
	// Low is the least score of a detection that may continue an object. One begins with a score of infer.thresholds.
	Low float32 `yaml:"low"`
	// Confirm is how often an object has to be seen before it is told of.
	Confirm int `yaml:"confirm"`
	// Timeout is how long an object may be out of sight before it is gone.
	Timeout time.Duration `yaml:"timeout"`
	// Stationary is how long an object has to stay where it is to be stationary; 0: none is.
	Stationary time.Duration `yaml:"stationary"`
	// UpdateEvery is the least time between two updates of one object.
	UpdateEvery time.Duration `yaml:"update_every"`
}

// DefaultConfig is what holds where the configuration is silent.
func DefaultConfig() Config {
	return Config{
		PerClass:    true,
		Low:         0.1,
		Confirm:     3,
		Timeout:     3 * time.Second,
		Stationary:  10 * time.Second,
		UpdateEvery: time.Second,
	}
}

// Validate tells report each mistake: the key, and what is wrong with its value.
func (c Config) Validate(report func(path, problem string)) {
	if !(c.Low >= 0 && c.Low <= 1) {
		report("low", fmt.Sprintf("score %g is outside 0..1", c.Low))
	}
	if c.Confirm < 1 || c.Confirm > 100 {
		report("confirm", fmt.Sprintf("%d is outside 1 to 100 sightings", c.Confirm))
	}
	for _, d := range []struct {
		key         string
		value       time.Duration
		least, most time.Duration
	}{
		{"timeout", c.Timeout, 100 * time.Millisecond, time.Hour},
		{"stationary", c.Stationary, 0, 24 * time.Hour},
		{"update_every", c.UpdateEvery, 0, time.Hour},
	} {
		if d.value < d.least || d.value > d.most {
			report(d.key, fmt.Sprintf("%v is outside %v to %v", d.value, d.least, d.most))
		}
	}
}
