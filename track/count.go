package track

import (
	"cmp"
	"slices"
)

type countKey struct{ zone, label string }

// Passage is one way over a line, for one label.
type Passage struct {
	Line, Label string
	Direction   Direction
}

// enlist lets an object count.
func (t *Tracker) enlist(o *object) {
	o.counted = t.label(o.label)
	t.countEverywhere(o, 1)
}

// delist lets an object count no longer.
func (t *Tracker) delist(o *object) {
	t.countEverywhere(o, -1)
	o.counted = ""
}

func (t *Tracker) countEverywhere(o *object, by int) {
	t.count(o, "", by)
	for i := range t.zones {
		if o.places[i].in {
			t.count(o, t.zones[i].Name, by)
		}
	}
}

// count changes one count by an object, if it counts.
func (t *Tracker) count(o *object, zone string, by int) {
	if !o.confirmed() || o.counted == "" {
		return
	}
	key := countKey{zone, o.counted}
	t.counts[key] += by
	for i := range t.changed {
		if c := &t.changed[i]; c.Zone == zone && c.Label == o.counted {
			c.N = t.counts[key]
			return
		}
	}
	t.changed = append(t.changed, Count{zone, o.counted, slices.Index(t.labels, o.counted), t.counts[key]})
}

// Changed gives the counts that the last Update or End may have changed.
func (t *Tracker) Changed() []Count { return t.changed }

// Counts appends every count that was ever other than 0, in order of zone and label.
func (t *Tracker) Counts(to []Count) []Count {
	from := len(to)
	for key, n := range t.counts {
		to = append(to, Count{key.zone, key.label, slices.Index(t.labels, key.label), n})
	}
	slices.SortFunc(to[from:], func(a, b Count) int {
		return cmp.Or(cmp.Compare(a.Zone, b.Zone), cmp.Compare(a.Label, b.Label))
	})
	return to
}

// Passages calls f for each way over a line that was taken, with how often that was told.
func (t *Tracker) Passages(f func(Passage, uint64)) {
	for p, n := range t.passages {
		f(p, n)
	}
}
