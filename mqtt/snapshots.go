package mqtt

import (
	"fmt"
	"time"
)

// SnapshotsConfig is the pictures of best views.
type SnapshotsConfig struct {
	Enabled bool          `yaml:"enabled"`
	Every   time.Duration `yaml:"every"` // least time between two pictures of one camera and label
	Width   int           `yaml:"width"` // most pixels across
	Size    string        `yaml:"size"`  // most bytes of a picture, with a unit, "100KiB"
	Box     bool          `yaml:"box"`   // whether the object's box is drawn
	Crop    bool          `yaml:"crop"`  // whether the picture is of the object and what is close to it, instead of all
}

func defaultSnapshots() SnapshotsConfig {
	return SnapshotsConfig{Every: 5 * time.Second, Width: 640, Size: "100KiB"}
}

// Bytes is the size as a number.
func (c SnapshotsConfig) Bytes() (int, error) {
	if bytes, ok := parseSize(c.Size); ok && bytes >= 8<<10 && bytes <= 1<<20 {
		return int(bytes), nil
	}
	return 0, fmt.Errorf("%q is no size of 8KiB to 1MiB, such as 100KiB", c.Size)
}

func (c SnapshotsConfig) validate(report func(path, problem string)) {
	if c.Every < time.Second || c.Every > time.Hour {
		report("every", fmt.Sprintf("%v is outside 1s to 1h", c.Every))
	}
	if c.Width < 64 || c.Width > 3840 {
		report("width", fmt.Sprintf("%d is outside 64 to 3840 pixels", c.Width))
	}
	if _, err := c.Bytes(); err != nil {
		report("size", err.Error())
	}
}
