package track

import (
	"slices"
	"time"

	"vedette/infer"
)

// object is one object's life. Its memory is used again for another.
type object struct {
	motion motion
	box    infer.Box // the motion's, kept
	seenAs infer.Box // the last detection's

	id    string // empty until it is confirmed
	class int    // of the last detection
	votes votes
	label int // the class that has most votes
	score float32
	top   float32
	first time.Duration
	last  time.Duration
	hits  int
	seen  bool // in this frame
	lost  bool // not seen in the frame before

	places []place    // by zone
	lines  []crossing // by line
	zones  int        // in how many it is
	were   []int      // zones that it entered, the first first

	rest rest
	best View

	counted string  // the label that it counts under; empty: it does not count yet
	told    *Object // as the last event told it
	toldAt  time.Duration
	pending Reason
	crossed []Crossing // since then
}

// votes are the scores of the detections of one object, by class: of the few classes that a model may take it for.
type votes [4]struct {
	class  int
	weight float32
}

// add gives one vote and tells which class leads. The weakest gives way where there are too many.
func (v *votes) add(class int, weight float32) (leader int) {
	at := 0
	for i := range v {
		if v[i].weight > 0 && v[i].class == class {
			at = i
			break
		}
		if v[i].weight < v[at].weight {
			at = i
		}
	}
	if v[at].class != class || v[at].weight == 0 {
		v[at].class, v[at].weight = class, 0
	}
	v[at].weight += weight
	lead := 0
	for i := range v {
		if v[i].weight > v[lead].weight {
			lead = i
		}
	}
	return v[lead].class
}

func (o *object) begin(d infer.Detection, frame Frame, aspect float64, zones, lines int) {
	*o = object{
		motion: newMotion(d.Box, aspect), class: d.Class, first: frame.Monotonic,
		places: refresh(o.places, zones), lines: refresh(o.lines, lines),
		were: o.were[:0], crossed: o.crossed[:0],
	}
	o.take(d, frame)
}

func refresh[T any](list []T, n int) []T {
	list = slices.Grow(list[:0], n)[:n]
	clear(list)
	return list
}

// take notes a detection of the object, after its motion was set right by it.
func (o *object) take(d infer.Detection, frame Frame) {
	o.seenAs, o.box = d.Box, o.motion.box()
	o.class, o.label = d.Class, o.votes.add(d.Class, d.Score)
	o.score, o.top = d.Score, max(o.top, d.Score)
	o.last, o.seen = frame.Monotonic, true
	o.hits++
}

// confirmed tells whether the object is believed.
func (o *object) confirmed() bool { return o.id != "" }

// betterBy is how much the quality of a view has to grow to be worth an update.
const betterBy = 1.1

// look judges the sight of the object in this frame, and tells whether it is the best so far.
func (o *object) look(frame Frame) bool {
	q := Quality(o.seenAs, o.score)
	if q <= o.best.Quality {
		return false
	}
	o.best = View{frame.Sequence, frame.Monotonic, o.seenAs, o.score, q}
	return true
}

// Quality measures a view of an object, 0..1: its score, times the side of a square of the box's area as a part of half the
// picture's, 1 at most; half of that where the box touches the picture's edge, as a part of the object is then not seen.
func Quality(box infer.Box, score float32) float32 {
	const edge = 0.005
	q := score * min(1, 2*sqrt32(box.Area()))
	if box.X1 < edge || box.Y1 < edge || box.X2 > 1-edge || box.Y2 > 1-edge {
		q /= 2
	}
	return q
}

// rest watches whether an object stays where it is.
type rest struct {
	at         infer.Box     // where it was when it last moved
	since      time.Duration // when that was
	away       time.Duration // since when it is elsewhere; 0: it is not
	stationary bool
}

// An object has moved when its box has so little in common with where it was, for so long.
const (
	restOverlap = 0.6
	restInertia = 500 * time.Millisecond
)

// watch tells whether the object has become stationary, or active again.
func (r *rest) watch(box infer.Box, now, after time.Duration) (changed bool) {
	if r.since == 0 {
		r.at, r.since = box, now
	}
	if r.at.IoU(box) >= restOverlap {
		r.away = 0
		if after > 0 && !r.stationary && now-r.since >= after {
			r.stationary = true
			return true
		}
		return false
	}
	if !r.stationary {
		r.at, r.since, r.away = box, now, 0
		return false
	}
	if r.away == 0 {
		r.away = now
	}
	if now-r.away < restInertia {
		return false
	}
	*r = rest{at: box, since: now}
	return true
}
