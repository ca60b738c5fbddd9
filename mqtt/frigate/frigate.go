// Package frigate speaks Frigate's dialect of MQTT, so that automations that were written for it keep working.
//
// Topics and field names are those of Frigate's documentation (docs.frigate.video, integrations/mqtt). What Vedette does not
// have, such as recordings and sub labels, is there with the value that says so.
package frigate

import (
	"encoding/json"
	"math"
	"strconv"
	"time"
)

// Topics builds topic names under a prefix, which is Frigate's own by default.
type Topics struct{ Prefix string }

// Available carries online or offline.
func (t Topics) Available() string { return t.Prefix + "/available" }

// Events carries Event.
func (t Topics) Events() string { return t.Prefix + "/events" }

// Stats carries Stats.
func (t Topics) Stats() string { return t.Prefix + "/stats" }

// Count carries how many objects of a label a camera or a zone has now.
func (t Topics) Count(place, label string) string { return t.Prefix + "/" + place + "/" + label }

// Best carries the best view of a camera's objects of a label.
func (t Topics) Best(camera, label string) string {
	return t.Prefix + "/" + camera + "/" + label + "/snapshot"
}

// All is the label under which all objects count.
const All = "all"

// Event is one message of an object's life.
type Event struct {
	Type   string  `json:"type"`
	Before *Object `json:"before"`
	After  *Object `json:"after"`
}

// Object is what is known of an object. Times are seconds since 1970, boxes and areas pixels.
type Object struct {
	ID              string   `json:"id"`
	Camera          string   `json:"camera"`
	FrameTime       Seconds  `json:"frame_time"`
	Label           string   `json:"label"`
	SubLabel        *string  `json:"sub_label"` // always null
	TopScore        Score    `json:"top_score"`
	FalsePositive   bool     `json:"false_positive"` // always false: what is told of is believed
	StartTime       Seconds  `json:"start_time"`
	EndTime         *Seconds `json:"end_time"`
	Score           Score    `json:"score"`
	Box             [4]int   `json:"box"`
	Area            int      `json:"area"`
	Ratio           float64  `json:"ratio"`
	Region          [4]int   `json:"region"`
	Active          bool     `json:"active"`
	Stationary      bool     `json:"stationary"`
	MotionlessCount int      `json:"motionless_count"`
	PositionChanges int      `json:"position_changes"`
	CurrentZones    []string `json:"current_zones"`
	EnteredZones    []string `json:"entered_zones"`
	HasClip         bool     `json:"has_clip"`
	HasSnapshot     bool     `json:"has_snapshot"`
}

// Seconds is a time in seconds since 1970, with microseconds.
type Seconds time.Time

// MarshalJSON writes a number.
func (s Seconds) MarshalJSON() ([]byte, error) {
	t := time.Time(s)
	return strconv.AppendFloat(nil, float64(t.Unix())+float64(t.Nanosecond()/1000)/1e6, 'f', 6, 64), nil
}

// Score is in 0..1.
type Score float32

// MarshalJSON keeps it there: it comes from a worker, whose bytes are not to be trusted.
func (s Score) MarshalJSON() ([]byte, error) {
	v := float64(s)
	if !(v >= 0) {
		v = 0
	}
	return strconv.AppendFloat(nil, math.Round(min(v, 1)*1e4)/1e4, 'f', -1, 64), nil
}

// Place puts a box of 0..1 into a frame of pixels: it fills box, area, ratio and region.
func (o *Object) Place(box [4]float32, width, height int) {
	scale := func(v float32, by int) int {
		if !(v > 0) {
			return 0
		}
		return int(math.Round(float64(min(v, 1)) * float64(by)))
	}
	o.Box = [4]int{scale(box[0], width), scale(box[1], height), scale(box[2], width), scale(box[3], height)}
	w, h := max(o.Box[2]-o.Box[0], 0), max(o.Box[3]-o.Box[1], 0)
	o.Area, o.Region = w*h, [4]int{0, 0, width, height}
	if h > 0 {
		o.Ratio = math.Round(float64(w)/float64(h)*1e4) / 1e4
	}
}

// AppendJSON appends the message to dst. Frigate's new has the object before as it is after.
func (e Event) AppendJSON(dst []byte) []byte {
	if e.Before == nil {
		e.Before = e.After
	}
	text, err := json.Marshal(e)
	if err != nil { // it has nothing that JSON could not say
		return strconv.AppendQuote(dst, err.Error())
	}
	return append(dst, text...)
}

// Stats is what there is of Frigate's statistics.
type Stats struct {
	Cameras   map[string]CameraStats   `json:"cameras"`
	Detectors map[string]DetectorStats `json:"detectors"`
	Service   ServiceStats             `json:"service"`
}

// CameraStats is one camera's.
type CameraStats struct {
	FPS              float64 `json:"camera_fps"`
	DetectionEnabled bool    `json:"detection_enabled"`
}

// DetectorStats is one worker's.
type DetectorStats struct {
	PID int `json:"pid"`
}

// ServiceStats is the service's.
type ServiceStats struct {
	Uptime  int    `json:"uptime"` // seconds
	Version string `json:"version"`
}
