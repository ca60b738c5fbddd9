package track

import (
	"slices"
	"strconv"
	"time"
)

// tell looks at what has become of each object, and makes the events.
func (t *Tracker) tell() {
	now := t.frame.Monotonic
	for _, o := range t.objects {
		o.lost = !o.seen
		if o.seen {
			t.look(o, now)
		}
		switch {
		case !o.confirmed() && o.hits >= t.config.Confirm:
			t.made++
			o.id = t.prefix + strconv.FormatUint(t.made, 10)
			t.enlist(o)
			t.emit(o, TypeNew, Confirmed)
			o.pending = ""
		case o.confirmed() && o.pending != "" && now-o.toldAt >= t.config.UpdateEvery:
			t.emit(o, TypeUpdate, o.pending)
			o.pending = ""
		}
	}
}

// look finds out what is new about an object that was seen.
func (t *Tracker) look(o *object, now time.Duration) {
	better := o.look(t.frame)
	if t.lookZones(o, now) {
		o.ask(ZoneChange)
	}
	if t.lookLines(o, now) {
		o.ask(LineCross)
	}
	if o.rest.watch(o.box, now, t.config.Stationary) {
		if o.rest.stationary {
			o.ask(Stopped)
		} else {
			o.ask(Moved)
		}
	}
	if o.told == nil {
		return
	}
	if t.label(o.label) != o.counted {
		t.delist(o)
		t.enlist(o)
		o.ask(Relabelled)
	}
	if better && !o.rest.stationary && o.best.Quality > betterBy*o.told.Best.Quality {
		o.ask(BetterView)
	}
}

// ask wants an update. Of two reasons the weightier is told.
func (o *object) ask(reason Reason) {
	weight := func(r Reason) int {
		return slices.Index([]Reason{"", BetterView, Relabelled, Moved, Stopped, LineCross, ZoneChange}, r)
	}
	if weight(reason) > weight(o.pending) {
		o.pending = reason
	}
}

// end ends an object, and keeps its memory for another.
func (t *Tracker) end(o *object, reason Reason) {
	if o.confirmed() {
		t.delist(o)
		t.emit(o, TypeEnd, reason)
	}
	o.told, o.id = nil, ""
	t.spare = append(t.spare, o)
}

func (t *Tracker) emit(o *object, kind Type, reason Reason) {
	e := Event{
		Type: kind, ID: o.id, Before: o.told, After: t.describe(o), Reason: reason,
		Sequence: t.frame.Sequence, Monotonic: t.frame.Monotonic,
	}
	if len(o.crossed) > 0 {
		e.Crossed = slices.Clone(o.crossed)
		for _, c := range o.crossed {
			t.passages[Passage{c.Line, e.After.Label, c.Direction}]++
		}
		o.crossed = o.crossed[:0]
	}
	o.told, o.toldAt = e.After, t.frame.Monotonic
	t.events = append(t.events, e)
}

func (t *Tracker) describe(o *object) *Object {
	d := &Object{
		ID: o.id, Class: o.label, Label: t.label(o.label), Score: o.score, TopScore: o.top, Box: o.seenAs,
		First: o.first, Last: o.last, Stationary: o.rest.stationary, Best: o.best,
		Zones: make([]string, 0, o.zones), Entered: make([]string, 0, len(o.were)),
	}
	for i := range t.zones {
		if o.places[i].in {
			d.Zones = append(d.Zones, t.zones[i].Name)
		}
	}
	for _, i := range o.were {
		d.Entered = append(d.Entered, t.zones[i].Name)
	}
	return d
}
