// Package payload is the messages that subscribers read, as Go types.
package payload

import (
	"math"
	"strconv"
	"time"
	"unicode/utf8"
)

// Version is what every JSON message carries as "v".
const Version = 1

// Status words, retained on the status topic.
const (
	Online  = "online"
	Offline = "offline"
)

// Clock says how far times of the wall clock are to be trusted.
type Clock string

// A board without a battery boots in the past: until its clock is set, times are marked.
const (
	Synced   Clock = "synced"
	Unsynced Clock = "unsynced"
)

// Time is written as RFC 3339 in UTC with microseconds.
type Time struct{ time.Time }

const timeLayout = "2006-01-02T15:04:05.000000Z07:00"

// MarshalJSON writes the form that subscribers read.
func (t Time) MarshalJSON() ([]byte, error) { return appendTime(nil, t.Time), nil }

// appendTime writes the nearest time that RFC 3339 has, whose years have four digits: a message is worth more than its
// board's mad clock.
func appendTime(dst []byte, t time.Time) []byte {
	t = t.UTC()
	switch year := t.Year(); {
	case year < 0:
		t = time.Date(0, 1, 1, 0, 0, 0, 0, time.UTC)
	case year > 9999:
		t = time.Date(10000, 1, 1, 0, 0, 0, -1, time.UTC)
	}
	dst = append(dst, '"')
	dst = t.AppendFormat(dst, timeLayout)
	return append(dst, '"')
}

// Detections is what the model saw in one processed frame of one camera.
type Detections struct {
	Camera     string
	Sequence   uint32
	CapturedAt time.Time
	Monotonic  time.Duration // of the capture, on CLOCK_MONOTONIC
	Clock      Clock
	Width      int // of the frame, pixels
	Height     int
	Objects    []Object
	Timings    Timings
}

// Object is one detection.
type Object struct {
	Label   string
	ClassID int
	Score   float32
	Box     [4]float32 // x1, y1, x2, y2 in 0..1 of the frame
	TrackID string     // of the object that it is a sight of; empty: of none that is believed yet
}

// Timings is where one frame's time went.
type Timings struct {
	Queue, Preprocess, Infer, Decode, Total time.Duration
}

// AppendJSON appends the message to dst. It allocates only where dst is too short. Scores have 3 decimals, coordinates 5:
// a fifth of a pixel in a frame of 20,000. Scores and coordinates are kept in 0..1 and times at 0 or more, as the schema
// promises: they come from a worker, whose bytes are not to be trusted.
func (d *Detections) AppendJSON(dst []byte) []byte {
	dst = append(dst, `{"v":1,"camera":`...)
	dst = appendString(dst, d.Camera)
	dst = append(dst, `,"sequence":`...)
	dst = strconv.AppendUint(dst, uint64(d.Sequence), 10)
	dst = append(dst, `,"captured_at":`...)
	dst = appendTime(dst, d.CapturedAt)
	dst = append(dst, `,"monotonic_ns":`...)
	dst = strconv.AppendInt(dst, int64(d.Monotonic), 10)
	dst = append(dst, `,"clock":`...)
	dst = appendString(dst, string(d.Clock))
	dst = append(dst, `,"frame":{"width":`...)
	dst = strconv.AppendInt(dst, int64(d.Width), 10)
	dst = append(dst, `,"height":`...)
	dst = strconv.AppendInt(dst, int64(d.Height), 10)
	dst = append(dst, `},"detections":[`...)
	for i := range d.Objects {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = d.Objects[i].appendJSON(dst)
	}
	dst = append(dst, `],"timings_ms":{"queue":`...)
	dst = appendMillis(dst, d.Timings.Queue)
	dst = append(dst, `,"preprocess":`...)
	dst = appendMillis(dst, d.Timings.Preprocess)
	dst = append(dst, `,"infer":`...)
	dst = appendMillis(dst, d.Timings.Infer)
	dst = append(dst, `,"decode":`...)
	dst = appendMillis(dst, d.Timings.Decode)
	dst = append(dst, `,"total":`...)
	dst = appendMillis(dst, d.Timings.Total)
	return append(dst, `}}`...)
}

func (o *Object) appendJSON(dst []byte) []byte {
	dst = append(dst, `{"label":`...)
	dst = appendString(dst, o.Label)
	dst = append(dst, `,"class_id":`...)
	dst = strconv.AppendInt(dst, int64(o.ClassID), 10)
	dst = append(dst, `,"score":`...)
	dst = appendUnit(dst, o.Score, 3)
	dst = append(dst, `,"box":`...)
	dst = appendBox(dst, o.Box)
	if o.TrackID != "" {
		dst = append(dst, `,"track_id":`...)
		dst = appendString(dst, o.TrackID)
	}
	return append(dst, '}')
}

func appendMillis(dst []byte, d time.Duration) []byte {
	return appendDecimal(dst, float64(max(d, 0))/float64(time.Millisecond), 3)
}

// appendUnit writes a number in 0..1. JSON has no word for what is no number: it becomes 0.
func appendUnit(dst []byte, v float32, decimals int) []byte {
	if math.IsNaN(float64(v)) {
		v = 0
	}
	return appendDecimal(dst, float64(min(max(v, 0), 1)), decimals)
}

// appendDecimal writes a finite number with at most the given decimals.
func appendDecimal(dst []byte, v float64, decimals int) []byte {
	scale := math.Pow10(decimals)
	return strconv.AppendFloat(dst, math.Round(v*scale)/scale, 'f', -1, 64)
}

// appendString writes a JSON string. Bytes that are no UTF-8 become U+FFFD, as encoding/json has it.
func appendString(dst []byte, s string) []byte {
	const hex = "0123456789abcdef"
	dst = append(dst, '"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			dst = append(dst, '\\', byte(r))
		case r < 0x20:
			dst = append(dst, '\\', 'u', '0', '0', hex[r>>4], hex[r&15])
		default:
			dst = utf8.AppendRune(dst, r)
		}
	}
	return append(dst, '"')
}
