package capture

import "fmt"

// Flip says which sides of a picture change places.
type Flip string

// Every flip. Both at once are a rotation by 180 degrees.
const (
	NoFlip         Flip = ""
	FlipHorizontal Flip = "horizontal" // left and right
	FlipVertical   Flip = "vertical"   // top and bottom
)

// Turn brings a sensor's picture upright, as a person is to see it: it is rotated, and then flipped.
type Turn struct {
	Rotate int  `json:"rotate"` // 0, 90, 180 or 270 degrees clockwise
	Flip   Flip `json:"flip,omitempty"`
}

// Validate reports a turn that is none.
func (t Turn) Validate() error {
	switch t.Rotate {
	case 0, 90, 180, 270:
	default:
		return fmt.Errorf("rotation of %d degrees is none of 0, 90, 180, 270", t.Rotate)
	}
	switch t.Flip {
	case NoFlip, FlipHorizontal, FlipVertical:
		return nil
	}
	return fmt.Errorf("flip %q is neither horizontal nor vertical", string(t.Flip))
}

// Sideways tells whether the upright picture's width is the sensor's height.
func (t Turn) Sideways() bool { return t.Rotate == 90 || t.Rotate == 270 }

// Upright is the size of the upright picture.
func (t Turn) Upright(width, height int) (int, int) {
	if t.Sideways() {
		return height, width
	}
	return width, height
}

// ToSensor takes a point of the upright picture to the sensor's, both in 0..1. The turn is a valid one.
func (t Turn) ToSensor(p Point) Point {
	switch t.Flip {
	case FlipHorizontal:
		p[0] = 1 - p[0]
	case FlipVertical:
		p[1] = 1 - p[1]
	}
	switch t.Rotate {
	case 90:
		return Point{p[1], 1 - p[0]}
	case 180:
		return Point{1 - p[0], 1 - p[1]}
	case 270:
		return Point{1 - p[1], p[0]}
	}
	return p
}
