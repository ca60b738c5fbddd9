package payload

import (
	"strconv"
	"time"
)

// Event is one message of the life of a tracked object.
type Event struct {
	Type      string // new, update or end
	ID        string // the object's, shared by all messages of its life
	Camera    string
	BootID    string
	Sequence  uint32        // of the frame that brought it about
	Monotonic time.Duration // of that frame's capture, on CLOCK_MONOTONIC
	Time      time.Time     // the same by the wall clock
	Clock     Clock
	Reason    string
	Crossed   []Crossing     // lines, since the last message
	Before    *TrackedObject // as the last message had it; nil in a new
	After     *TrackedObject
}

// TrackedObject is what is known of an object at one time.
type TrackedObject struct {
	Label      string
	ClassID    int
	Score      float32 // when it was last seen
	TopScore   float32 // the highest so far
	Box        [4]float32
	First      time.Duration // when it was first and last seen, on CLOCK_MONOTONIC
	Last       time.Duration
	Zones      []string // in which it is
	Entered    []string // in which it ever was, the first first
	Stationary bool
}

// Crossing is a line that was crossed, and which way.
type Crossing struct{ Line, Direction string }

// AppendJSON appends the message to dst, with what makes it known again: the outbox's epoch and the number in it. Scores and
// coordinates are written as those of Detections.
func (e *Event) AppendJSON(dst []byte, epoch string, seq uint64) []byte {
	dst = append(dst, `{"v":1,"type":`...)
	dst = appendString(dst, e.Type)
	dst = append(dst, `,"id":`...)
	dst = appendString(dst, e.ID)
	dst = append(dst, `,"camera":`...)
	dst = appendString(dst, e.Camera)
	dst = append(dst, `,"reason":`...)
	dst = appendString(dst, e.Reason)
	dst = append(dst, `,"epoch":`...)
	dst = appendString(dst, epoch)
	dst = append(dst, `,"seq":`...)
	dst = strconv.AppendUint(dst, seq, 10)
	dst = append(dst, `,"time":`...)
	dst = appendTime(dst, e.Time)
	dst = append(dst, `,"clock":`...)
	dst = appendString(dst, string(e.Clock))
	dst = append(dst, `,"boot_id":`...)
	dst = appendString(dst, e.BootID)
	dst = append(dst, `,"monotonic_ns":`...)
	dst = appendNanos(dst, e.Monotonic)
	dst = append(dst, `,"sequence":`...)
	dst = strconv.AppendUint(dst, uint64(e.Sequence), 10)
	if len(e.Crossed) > 0 {
		dst = append(dst, `,"crossed":[`...)
		for i, c := range e.Crossed {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = append(dst, `{"line":`...)
			dst = appendString(dst, c.Line)
			dst = append(dst, `,"direction":`...)
			dst = appendString(dst, c.Direction)
			dst = append(dst, '}')
		}
		dst = append(dst, ']')
	}
	dst = append(dst, `,"before":`...)
	dst = e.Before.appendJSON(dst)
	dst = append(dst, `,"after":`...)
	dst = e.After.appendJSON(dst)
	return append(dst, '}')
}

func (o *TrackedObject) appendJSON(dst []byte) []byte {
	if o == nil {
		return append(dst, "null"...)
	}
	dst = append(dst, `{"label":`...)
	dst = appendString(dst, o.Label)
	dst = append(dst, `,"class_id":`...)
	dst = strconv.AppendInt(dst, int64(o.ClassID), 10)
	dst = append(dst, `,"score":`...)
	dst = appendUnit(dst, o.Score, 3)
	dst = append(dst, `,"top_score":`...)
	dst = appendUnit(dst, o.TopScore, 3)
	dst = append(dst, `,"box":`...)
	dst = appendBox(dst, o.Box)
	dst = append(dst, `,"first_seen_ns":`...)
	dst = appendNanos(dst, o.First)
	dst = append(dst, `,"last_seen_ns":`...)
	dst = appendNanos(dst, o.Last)
	dst = append(dst, `,"zones":`...)
	dst = appendStrings(dst, o.Zones)
	dst = append(dst, `,"entered":`...)
	dst = appendStrings(dst, o.Entered)
	dst = append(dst, `,"stationary":`...)
	dst = strconv.AppendBool(dst, o.Stationary)
	return append(dst, '}')
}

func appendNanos(dst []byte, d time.Duration) []byte {
	return strconv.AppendInt(dst, int64(max(d, 0)), 10)
}

func appendBox(dst []byte, box [4]float32) []byte {
	dst = append(dst, '[')
	for i, v := range box {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendUnit(dst, v, 5)
	}
	return append(dst, ']')
}

func appendStrings(dst []byte, texts []string) []byte {
	dst = append(dst, '[')
	for i, text := range texts {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendString(dst, text)
	}
	return append(dst, ']')
}
