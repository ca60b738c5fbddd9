// Package track turns the boxes of one camera's frames into the lives of objects.
//
// Association is ByteTrack's (Zhang et al., "ByteTrack: Multi-Object Tracking by Associating Every Detection Box", ECCV 2022):
// first the confident detections, then the doubtful ones, which may continue an object but begin none. Where an object will
// be next is told by a Kalman filter in real time, so that a frame that was dropped makes a longer step, and no error.
//
// Everything is deterministic: the same frames make the same events.
package track

import (
	"time"

	"vedette/infer"
)

// Frame says when a frame was captured of which the detections are, and how to read them.
type Frame struct {
	Sequence  uint32
	Monotonic time.Duration // of the capture, on CLOCK_MONOTONIC
	Labels    []string      // names of the classes: the model's, one slice for all of its frames
	Aspect    float32       // the frame's width over its height, in pixels; 0 counts as 1
}

// Type is which part of an object's life an event tells of.
type Type string

// An object has exactly one new, then any number of updates, then exactly one end.
const (
	TypeNew    Type = "new"
	TypeUpdate Type = "update"
	TypeEnd    Type = "end"
)

// Reason is why there is an event.
type Reason string

// Reasons of a new and of updates. Where several things have changed since the last message, the first of this list is named;
// the object's state before and after tells of them all.
const (
	Confirmed  Reason = "confirmed"  // seen often enough to be believed
	ZoneChange Reason = "zone"       // entered or left a zone
	LineCross  Reason = "line"       // crossed a line
	Stopped    Reason = "stationary" // has not moved for a while
	Moved      Reason = "active"     // moves again
	Relabelled Reason = "label"      // most of what was seen of it has another label now
	BetterView Reason = "view"       // was seen better than before
)

// Reasons of an end.
const (
	Gone         Reason = "gone"          // not seen for track.timeout
	Left         Reason = "left"          // moved out of the picture
	CameraLost   Reason = "camera_lost"   // no frame came for track.timeout
	Stalled      Reason = "stalled"       // frames came, but nothing looked at them for track.timeout
	Disabled     Reason = "disabled"      // the camera was switched off, or its configuration changed
	ModelChanged Reason = "model_changed" // another model names other classes
	ServiceStop  Reason = "stopped"       // the service stops
	Restarted    Reason = "restarted"     // the service had ended without a word; said at its next start
)

// Object is what is known of one object at one time. It does not change once it was given out.
type Object struct {
	ID         string        `json:"id"`
	Class      int           `json:"class_id"`
	Label      string        `json:"label"`
	Score      float32       `json:"score"`     // when it was last seen
	TopScore   float32       `json:"top_score"` // the highest so far
	Box        infer.Box     `json:"box"`       // where it was last seen
	First      time.Duration `json:"first_ns"`  // when it was first and last seen, on CLOCK_MONOTONIC
	Last       time.Duration `json:"last_ns"`
	Zones      []string      `json:"zones"`   // in which it is, in the order of the configuration
	Entered    []string      `json:"entered"` // in which it ever was, the first first
	Stationary bool          `json:"stationary"`
	Best       View          `json:"best"`
}

// View is one sight of an object. The best has the highest quality: see Quality.
type View struct {
	Sequence  uint32        `json:"sequence"`
	Monotonic time.Duration `json:"monotonic_ns"`
	Box       infer.Box     `json:"box"`
	Score     float32       `json:"score"`
	Quality   float32       `json:"quality"` // 0..1
}

// Event is one message of an object's life.
type Event struct {
	Type    Type
	ID      string
	Before  *Object // as the last event told it; nil in a new
	After   *Object
	Reason  Reason
	Crossed []Crossing // lines, since the last event
	// Sequence and Monotonic are the frame's that brought it about; of an end, the last frame's that was looked at.
	Sequence  uint32
	Monotonic time.Duration
}

// Crossing is a line that an object crossed.
type Crossing struct {
	Line      string    `json:"line"`
	Direction Direction `json:"direction"`
}

// Direction is the way in which a line was crossed.
type Direction string

// Whoever stands at a line's from and looks to its to sees objects that cross from the left to the right go In, the others Out.
const (
	In  Direction = "in"
	Out Direction = "out"
)

// Count is how many objects of a label there are.
type Count struct {
	Zone  string // empty: in the whole picture
	Label string
	Class int // the first of the model that has the label
	N     int
}

// Sighting is where an object is in the latest frame.
type Sighting struct {
	ID        string
	Class     int
	Label     string
	Score     float32
	Box       infer.Box
	Predicted bool          // not seen in this frame; Box is where it should be
	Unseen    time.Duration // since it was last seen
}
