package track_test

import (
	"testing"
	"time"

	"vedette/infer"
	"vedette/track"
)

func options() track.Options {
	return track.Options{
		Config: track.DefaultConfig(), Thresholds: infer.Thresholds{"default": 0.4}, Prefix: "t-",
	}
}

// lives holds events to what they promise: one new, then updates, then one end, each telling on from the one before.
type lives struct {
	told  map[string]*track.Object
	ended map[string]track.Reason
	all   []track.Event
}

func newLives() *lives { return &lives{map[string]*track.Object{}, map[string]track.Reason{}, nil} }

func (l *lives) take(t *testing.T, events []track.Event) {
	t.Helper()
	for _, e := range events {
		l.all = append(l.all, e)
		before, open := l.told[e.ID]
		if _, over := l.ended[e.ID]; over {
			t.Errorf("%s of %s, which has ended", e.Type, e.ID)
		}
		if e.After == nil || e.After.ID != e.ID || e.Before != before {
			t.Errorf("%s of %s: before %+v, after %+v, told before %+v", e.Type, e.ID, e.Before, e.After, before)
		}
		switch e.Type {
		case track.TypeNew:
			if open {
				t.Errorf("a second new of %s", e.ID)
			}
			l.told[e.ID] = e.After
		case track.TypeUpdate, track.TypeEnd:
			if !open {
				t.Errorf("%s of %s, which never began", e.Type, e.ID)
			}
			l.told[e.ID] = e.After
			if e.Type == track.TypeEnd {
				delete(l.told, e.ID)
				l.ended[e.ID] = e.Reason
			}
		default:
			t.Errorf("type %q", e.Type)
		}
	}
}

func play(t *testing.T, tracker *track.Tracker, frames []sceneFrame) *lives {
	t.Helper()
	l := newLives()
	for _, f := range frames {
		l.take(t, tracker.Update(f.frame, f.detections))
	}
	l.take(t, tracker.End(track.ServiceStop))
	if len(l.told) > 0 {
		t.Errorf("%d objects have no end", len(l.told))
	}
	for _, c := range tracker.Counts(nil) {
		if c.N != 0 {
			t.Errorf("%+v after everything has ended", c)
		}
	}
	return l
}

func TestEachObjectHasOneLife(t *testing.T) {
	for _, c := range []struct {
		name string
		cast []actor
	}{{"crossing", crossing()}, {"occlusion", occlusion()}} {
		frames := film(c.cast, sceneOptions{rate: 10, length: 32})
		l := play(t, track.New(options()), frames)
		if len(l.ended) != len(c.cast) {
			t.Errorf("%s: %d objects, not %d", c.name, len(l.ended), len(c.cast))
		}
	}
}

func TestSameFramesMakeTheSameEvents(t *testing.T) {
	frames := film(crowd(1, 40, 20), sceneOptions{seed: 1, rate: 10, length: 20, jitter: 0.03, missed: 0.2, false_: 0.2})
	a, b := play(t, track.New(options()), frames), play(t, track.New(options()), frames)
	if len(a.all) == 0 || len(a.all) != len(b.all) {
		t.Fatalf("%d and %d events", len(a.all), len(b.all))
	}
	for i := range a.all {
		if x, y := a.all[i], b.all[i]; x.Type != y.Type || x.ID != y.ID || x.Reason != y.Reason || x.After.Box != y.After.Box {
			t.Fatalf("event %d: %+v and %+v", i, x, y)
		}
	}
}

func TestAnObjectOutOfSightIsGoneInTime(t *testing.T) {
	tracker, l := track.New(options()), newLives()
	at := time.Hour
	frame := func() track.Frame { return track.Frame{Monotonic: at, Labels: []string{"person"}, Aspect: 1} }
	for range 5 {
		l.take(t, tracker.Update(frame(), []infer.Detection{{Score: 0.9, Box: infer.Box{X1: 0.4, Y1: 0.4, X2: 0.5, Y2: 0.6}}}))
		at += 100 * time.Millisecond
	}
	lastSeen := at - 100*time.Millisecond
	for len(l.ended) == 0 && at < 2*time.Hour {
		l.take(t, tracker.Update(frame(), nil))
		at += 100 * time.Millisecond
	}
	end := l.all[len(l.all)-1]
	if out := end.Monotonic - lastSeen; end.Reason != track.Gone || out <= 3*time.Second || out > 3100*time.Millisecond+1 {
		t.Errorf("%s %v after it was last seen", end.Reason, out)
	}
	if end.After.Last != lastSeen {
		t.Errorf("last seen %v, not %v", end.After.Last, lastSeen)
	}
}

// A board that looks at two frames a second, or one, believes in what stays where it is as another does, and in what flashes up no more.
func TestAnObjectIsBelievedHoweverRarelyFramesCome(t *testing.T) {
	for _, every := range []time.Duration{100 * time.Millisecond, 500 * time.Millisecond, 501 * time.Millisecond, time.Second, 2 * time.Second} {
		tracker, l := track.New(options()), newLives()
		for n := range 12 {
			seen := []infer.Detection{{Score: 0.9, Box: infer.Box{X1: 0.4, Y1: 0.4, X2: 0.5, Y2: 0.6}}}
			if n == 2 || n == 7 { // false ones, each seen once
				seen = append(seen, infer.Detection{Score: 0.9, Box: infer.Box{X1: 0.1 * float32(n), Y1: 0.1, X2: 0.1*float32(n) + 0.02, Y2: 0.13}})
			}
			l.take(t, tracker.Update(track.Frame{Monotonic: time.Hour + time.Duration(n)*every, Labels: []string{"person"}, Aspect: 1}, seen))
		}
		if len(l.told) != 1 || len(l.ended) != 0 {
			t.Errorf("every %v: %d are believed in, %d ended", every, len(l.told), len(l.ended))
		}
	}
}

// A model of fewer classes is another one, too, though all of its classes have the names that they had.
func TestAModelOfFewerClassesEndsWhatTheFirstSaw(t *testing.T) {
	tracker, l := track.New(options()), newLives()
	for n := range 8 {
		labels, class := []string{"person", "cat"}, 1
		if n >= 4 {
			labels, class = labels[:1], 0
		}
		l.take(t, tracker.Update(track.Frame{Monotonic: time.Duration(n) * time.Second / 10, Labels: labels},
			[]infer.Detection{{Class: class, Score: 0.9, Box: infer.Box{X1: 0.4, Y1: 0.4, X2: 0.5, Y2: 0.6}}}))
	}
	if len(l.ended) != 1 || len(l.told) != 1 {
		t.Fatalf("%d ended, %d open", len(l.ended), len(l.told))
	}
	for _, reason := range l.ended {
		if reason != track.ModelChanged {
			t.Error(reason)
		}
	}
	for _, o := range l.told {
		if o.Label != "person" {
			t.Errorf("a %q", o.Label)
		}
	}
}

func TestAnotherModelEndsWhatTheFirstSaw(t *testing.T) {
	tracker, l := track.New(options()), newLives()
	see := func(n int, labels ...string) {
		l.take(t, tracker.Update(track.Frame{Monotonic: time.Duration(n) * time.Second / 10, Labels: labels},
			[]infer.Detection{{Score: 0.9, Box: infer.Box{X1: 0.4, Y1: 0.4, X2: 0.5, Y2: 0.6}}}))
	}
	for n := range 4 {
		see(n, "person")
	}
	for n := range 4 {
		see(n+4, "cat")
	}
	if len(l.ended) != 1 || len(l.told) != 1 {
		t.Fatalf("%d ended, %d open", len(l.ended), len(l.told))
	}
	for _, reason := range l.ended {
		if reason != track.ModelChanged {
			t.Errorf("ended as %s", reason)
		}
	}
}

// The class names the topic of a label that has no letter that a topic may have: it is the same at the object's beginning and end.
func TestCountsHaveTheirLabelsClass(t *testing.T) {
	tracker, l := track.New(options()), newLives()
	changed := map[int]int{}
	take := func(events []track.Event) {
		l.take(t, events)
		for _, c := range tracker.Changed() {
			if c.Label != "車" || c.Class != 1 {
				t.Errorf("%+v", c)
			}
			changed[c.N]++
		}
	}
	for n := range 8 {
		take(tracker.Update(track.Frame{Monotonic: time.Duration(n) * time.Second / 10, Labels: []string{"人", "車"}},
			[]infer.Detection{{Class: 1, Score: 0.9, Box: infer.Box{X1: 0.4, Y1: 0.4, X2: 0.5, Y2: 0.6}}}))
	}
	take(tracker.End(track.Disabled))
	if changed[1] == 0 || changed[0] == 0 {
		t.Errorf("counts became %v", changed)
	}
}
