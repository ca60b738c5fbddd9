package track

import (
	"slices"
	"time"
)

// Zone is a part of the picture that objects enter and leave.
type Zone struct {
	Name    string
	Polygon Polygon
	// Overlap is the part of an object's box that has to be inside; 0: its ground point, the middle of the lower edge, counts.
	Overlap float32
	// Labels are those that count; none: all.
	Labels []string
	// Inertia is how long an object has to be inside without a break to have entered, and outside to have left.
	Inertia time.Duration
	// Dwell is how long it has to be inside to have entered, where that is longer.
	Dwell time.Duration
	// Filters are what an object has to be like, by label.
	Filters map[string]Filter
}

// Filter says what an object has to be like to be in a zone. A bound of 0 is none.
type Filter struct {
	Score                float32 // the highest so far is at least this
	MinArea, MaxArea     float32 // of the box, as a part of the picture
	MinAspect, MaxAspect float32 // of the box: its width over its height, in pixels
	Dwell                time.Duration
}

// Line is a directed line that objects cross. See In and Out.
type Line struct {
	Name     string
	From, To Point
	Labels   []string
	// Inertia is how long an object has to be on the other side to have crossed.
	Inertia time.Duration
}

// Ignored is a part of the picture where detections count for nothing, by their ground point.
type Ignored struct {
	Polygon Polygon
	Labels  []string // none: all
}

// place is where an object is with regard to one zone.
type place struct {
	inside bool          // as the last frame had it
	since  time.Duration // when that began
	in     bool          // as it is told, after inertia and dwell
}

// crossing is where an object is with regard to one line.
type crossing struct {
	side    int8 // that it was on: -1 left, 1 right, 0 not known yet
	at      Point
	pending bool // it is on the other side, not for long enough yet
	within  bool // it went there between the line's ends
	since   time.Duration
}

func takes(labels []string, label string) bool {
	return len(labels) == 0 || slices.Contains(labels, label)
}

// passes tells whether an object is such that the zone takes it, and how long it has to be inside to have entered.
func (z *Zone) passes(o *object, label string, aspect float32) (time.Duration, bool) {
	if !takes(z.Labels, label) {
		return 0, false
	}
	dwell := max(z.Inertia, z.Dwell)
	f, ok := z.Filters[label]
	if !ok {
		return dwell, true
	}
	area, shape := o.box.Area(), aspect
	if height := o.box.Y2 - o.box.Y1; height > 0 {
		shape *= (o.box.X2 - o.box.X1) / height
	}
	return max(dwell, f.Dwell), o.top >= f.Score && within(area, f.MinArea, f.MaxArea) && within(shape, f.MinAspect, f.MaxAspect)
}

func within(v, least, most float32) bool { return v >= least && (most == 0 || v <= most) }

// lookZones finds out in which zones an object is, and tells whether that has changed.
func (t *Tracker) lookZones(o *object, now time.Duration) (changed bool) {
	label := t.label(o.label)
	for i := range t.zones {
		z, p := &t.zones[i], &o.places[i]
		dwell, ok := z.passes(o, label, t.aspect)
		inside := ok && t.inside(z, o)
		if inside != p.inside || p.since == 0 {
			p.inside, p.since = inside, now
		}
		wait := z.Inertia
		if inside {
			wait = dwell
		}
		if inside == p.in || now-p.since < wait {
			continue
		}
		p.in, changed = inside, true
		if !inside {
			o.zones--
			t.count(o, z.Name, -1)
			continue
		}
		o.zones++
		t.count(o, z.Name, 1)
		if !slices.Contains(o.were, i) {
			o.were = append(o.were, i)
		}
	}
	return changed
}

func (t *Tracker) inside(z *Zone, o *object) bool {
	if z.Overlap == 0 {
		return z.Polygon.Contains(ground(o.box))
	}
	return t.clipper.share(z.Polygon, o.box) >= z.Overlap
}

// lookLines finds out which lines an object has crossed, and tells whether it has any.
func (t *Tracker) lookLines(o *object, now time.Duration) (crossed bool) {
	p := ground(o.box)
	for i := range t.lines {
		l, c := &t.lines[i], &o.lines[i]
		on := int8(1)
		if side(l.From, l.To, p) < 0 {
			on = -1
		}
		switch {
		case c.side == 0:
			c.side = on
		case on == c.side:
			c.pending = false
		case !c.pending:
			c.pending, c.since, c.within = true, now, meets(l.From, l.To, c.at, p)
		}
		c.at = p
		if !c.pending || now-c.since < l.Inertia {
			continue
		}
		c.side, c.pending = on, false
		if !c.within || !takes(l.Labels, t.label(o.label)) {
			continue
		}
		direction := Out
		if on > 0 {
			direction = In
		}
		o.crossed = append(o.crossed, Crossing{l.Name, direction})
		crossed = true
	}
	return crossed
}
