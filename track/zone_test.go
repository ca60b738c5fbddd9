package track_test

import (
	"slices"
	"testing"
	"time"

	"vedette/infer"
	"vedette/track"
)

// step is where the middle of an object's lower edge is in one frame; frames are 100 ms apart.
type step struct{ x, y float32 }

func straight(from, to step, n int) (way []step) {
	for i := range n {
		s := float32(i) / float32(n-1)
		way = append(way, step{from.x + s*(to.x-from.x), from.y + s*(to.y-from.y)})
	}
	return way
}

func stay(at step, n int) []step { return straight(at, at, n) }

// walkers follows objects of one label each, without noise.
func follow(t *testing.T, o track.Options, label string, ways ...[]step) (*track.Tracker, *lives) {
	t.Helper()
	o.Config.UpdateEvery = 0
	tracker, l := track.New(o), newLives()
	for n := range len(ways[0]) {
		var seen []infer.Detection
		for _, way := range ways {
			if n < len(way) {
				p := way[n]
				seen = append(seen, infer.Detection{Score: 0.9, Box: infer.Box{X1: p.x - 0.05, Y1: p.y - 0.2, X2: p.x + 0.05, Y2: p.y}})
			}
		}
		l.take(t, tracker.Update(track.Frame{
			Sequence: uint32(n), Monotonic: time.Minute + time.Duration(n)*100*time.Millisecond, Labels: []string{label}, Aspect: 1,
		}, seen))
	}
	return tracker, l
}

func square(x1, y1, x2, y2 float32) track.Polygon {
	return track.Polygon{{X: x1, Y: y1}, {X: x2, Y: y1}, {X: x2, Y: y2}, {X: x1, Y: y2}}
}

func reasons(l *lives) (all []track.Reason) {
	for _, e := range l.all {
		if e.Reason != track.BetterView {
			all = append(all, e.Reason)
		}
	}
	return all
}

func TestAnObjectEntersAndLeavesAZone(t *testing.T) {
	o := options()
	o.Zones = []track.Zone{{Name: "yard", Polygon: square(0.4, 0, 0.6, 1), Inertia: 300 * time.Millisecond}}
	tracker, l := follow(t, o, "person", straight(step{0.1, 0.5}, step{0.9, 0.5}, 60))
	if got, want := reasons(l), []track.Reason{track.Confirmed, track.ZoneChange, track.ZoneChange}; !slices.Equal(got, want) {
		t.Fatalf("%v, not %v", got, want)
	}
	var zones [][]string
	for _, e := range l.all {
		if e.Reason == track.ZoneChange {
			zones = append(zones, e.After.Zones)
		}
	}
	if len(zones[0]) != 1 || len(zones[1]) != 0 {
		t.Errorf("in %v", zones)
	}
	if last := l.all[len(l.all)-1].After; !slices.Equal(last.Entered, []string{"yard"}) {
		t.Errorf("entered %v", last.Entered)
	}
	for _, c := range tracker.Counts(nil) {
		if c.N != map[string]int{"": 1, "yard": 0}[c.Zone] {
			t.Errorf("%+v", c)
		}
	}
}

func TestABoxThatTremblesAtAnEdgeDoesNotFlicker(t *testing.T) {
	o := options()
	o.Zones = []track.Zone{{Name: "yard", Polygon: square(0.5, 0, 1, 1), Inertia: 300 * time.Millisecond}}
	o.Lines = []track.Line{{Name: "gate", From: track.Point{X: 0.5}, To: track.Point{X: 0.5, Y: 1}, Inertia: 300 * time.Millisecond}}
	way := stay(step{0.49, 0.5}, 10)
	for range 40 {
		way = append(way, step{0.53, 0.5}, step{0.47, 0.5})
	}
	_, l := follow(t, o, "person", way)
	if got := reasons(l); len(got) != 1 {
		t.Errorf("%v", got)
	}
}

func TestWhoIsInAZoneLongEnough(t *testing.T) {
	whole := square(0, 0, 1, 1)
	for _, c := range []struct {
		name  string
		zone  track.Zone
		label string
		in    bool
	}{
		{"all", track.Zone{Polygon: whole}, "person", true},
		{"its label", track.Zone{Polygon: whole, Labels: []string{"person"}}, "person", true},
		{"another label", track.Zone{Polygon: whole, Labels: []string{"person"}}, "car", false},
		{"dwell", track.Zone{Polygon: whole, Dwell: 2 * time.Second}, "person", true},
		{"too short", track.Zone{Polygon: whole, Dwell: 5 * time.Second}, "person", false},
		{"score", track.Zone{Polygon: whole, Filters: map[string]track.Filter{"person": {Score: 0.95}}}, "person", false},
		{"score of another", track.Zone{Polygon: whole, Filters: map[string]track.Filter{"car": {Score: 0.95}}}, "person", true},
		{"too small", track.Zone{Polygon: whole, Filters: map[string]track.Filter{"person": {MinArea: 0.05}}}, "person", false},
		{"too large", track.Zone{Polygon: whole, Filters: map[string]track.Filter{"person": {MaxArea: 0.01}}}, "person", false},
		{"too wide", track.Zone{Polygon: whole, Filters: map[string]track.Filter{"person": {MaxAspect: 0.3}}}, "person", false},
		{"upright", track.Zone{Polygon: whole, Filters: map[string]track.Filter{"person": {MinAspect: 0.3, MaxAspect: 0.7}}}, "person", true},
		{"its dwell", track.Zone{Polygon: whole, Filters: map[string]track.Filter{"person": {Dwell: 5 * time.Second}}}, "person", false},
		{"overlap", track.Zone{Polygon: square(0.45, 0, 0.5, 1), Overlap: 0.45}, "person", true},
		{"less overlap", track.Zone{Polygon: square(0.45, 0, 0.5, 1), Overlap: 0.6}, "person", false},
	} {
		o := options()
		c.zone.Name = "yard"
		o.Zones = []track.Zone{c.zone}
		_, l := follow(t, o, c.label, stay(step{0.5, 0.6}, 40))
		if last := l.all[len(l.all)-1].After; (len(last.Zones) == 1) != c.in {
			t.Errorf("%s: in %v", c.name, last.Zones)
		}
	}
}

func TestLinesAreCountedByDirection(t *testing.T) {
	o := options()
	o.Lines = []track.Line{
		{Name: "gate", From: track.Point{X: 0.5, Y: 0.2}, To: track.Point{X: 0.5, Y: 0.8}, Inertia: 300 * time.Millisecond},
		{Name: "wicket", From: track.Point{X: 0.5, Y: 0.85}, To: track.Point{X: 0.5, Y: 1}, Inertia: 300 * time.Millisecond},
		{Name: "for cars", From: track.Point{X: 0.5, Y: 0.2}, To: track.Point{X: 0.5, Y: 0.8}, Labels: []string{"car"}},
	}
	// One goes to the right, one to the left: seen from above the line's start, looking down, the left of the picture is to the right.
	tracker, l := follow(t, o, "person", straight(step{0.1, 0.4}, step{0.9, 0.4}, 50), straight(step{0.9, 0.75}, step{0.1, 0.75}, 50),
		append(straight(step{0.2, 0.6}, step{0.7, 0.6}, 25), straight(step{0.7, 0.6}, step{0.2, 0.6}, 25)...))
	got := map[track.Passage]uint64{}
	tracker.Passages(func(p track.Passage, n uint64) { got[p] = n })
	want := map[track.Passage]uint64{
		{Line: "gate", Label: "person", Direction: track.Out}: 2, {Line: "gate", Label: "person", Direction: track.In}: 2,
	}
	if len(got) != len(want) {
		t.Errorf("%v", got)
	}
	for p, n := range want {
		if got[p] != n {
			t.Errorf("%v: %d, not %d", p, got[p], n)
		}
	}
	told := 0
	for _, e := range l.all {
		told += len(e.Crossed)
	}
	if told != 4 {
		t.Errorf("%d crossings are told", told)
	}
}

func TestWhatLiesInAnIgnoredPartIsNotSeen(t *testing.T) {
	o := options()
	o.Ignored = []track.Ignored{{Polygon: square(0, 0, 0.5, 1), Labels: []string{"person"}}}
	for label, want := range map[string]int{"person": 1, "car": 2} {
		_, l := follow(t, o, label, stay(step{0.2, 0.5}, 10), stay(step{0.8, 0.5}, 10))
		if len(l.told) != want {
			t.Errorf("%s: %d objects", label, len(l.told))
		}
	}
}

func TestWhatStandsStillCostsNoUpdates(t *testing.T) {
	way := append(stay(step{0.5, 0.5}, 200), straight(step{0.5, 0.5}, step{0.9, 0.5}, 30)...)
	_, l := follow(t, options(), "car", way)
	got := reasons(l)
	if want := []track.Reason{track.Confirmed, track.Stopped, track.Moved}; !slices.Equal(got, want) {
		t.Errorf("%v, not %v", got, want)
	}
}

func TestUpdatesAreBoundInRate(t *testing.T) {
	o := options()
	o.Zones = []track.Zone{{Name: "a", Polygon: square(0.5, 0, 1, 1)}}
	o.Config.UpdateEvery = time.Second
	tracker, l := track.New(o), newLives()
	for n := range 300 {
		x := float32(0.4)
		if n/5%2 == 1 {
			x = 0.6
		}
		at := time.Minute + time.Duration(n)*100*time.Millisecond
		l.take(t, tracker.Update(track.Frame{Monotonic: at, Labels: []string{"car"}, Aspect: 1},
			[]infer.Detection{{Score: 0.9, Box: infer.Box{X1: x - 0.3, Y1: 0.2, X2: x + 0.3, Y2: 0.8}}}))
	}
	last, updates := time.Duration(0), 0
	for _, e := range l.all {
		if e.Type != track.TypeUpdate {
			continue
		}
		updates++
		if last != 0 && e.Monotonic-last < time.Second {
			t.Errorf("updates %v apart", e.Monotonic-last)
		}
		last = e.Monotonic
	}
	if updates < 10 || len(l.ended) > 0 {
		t.Errorf("%d updates, %d ended", updates, len(l.ended))
	}
}

func TestLabelsAreVotedOn(t *testing.T) {
	o := options()
	o.Config.PerClass, o.Config.UpdateEvery = false, 0
	tracker, l := track.New(o), newLives()
	for n := range 30 {
		class := 0
		if n > 4 && n%4 != 0 {
			class = 1
		}
		l.take(t, tracker.Update(track.Frame{Monotonic: time.Minute + time.Duration(n)*100*time.Millisecond, Labels: []string{"car", "truck"}},
			[]infer.Detection{{Class: class, Score: 0.9, Box: infer.Box{X1: 0.4, Y1: 0.4, X2: 0.6, Y2: 0.6}}}))
	}
	if got := reasons(l); !slices.Equal(got, []track.Reason{track.Confirmed, track.Relabelled}) {
		t.Errorf("%v", got)
	}
	for _, c := range tracker.Counts(nil) {
		if c.N != map[string]int{"car": 0, "truck": 1}[c.Label] {
			t.Errorf("%+v", c)
		}
	}
}
