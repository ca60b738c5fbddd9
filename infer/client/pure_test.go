package client

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"vedette/infer"
	"vedette/infer/wire"
)

const ms = time.Millisecond

func TestPacer(t *testing.T) {
	thirty := time.Second / 30
	for _, c := range []struct {
		name     string
		rate     float64
		interval time.Duration
		at       func(i int) time.Duration
		frames   int
		want     string // of the first frames: x is taken
		total    int
	}{
		{"no rate", 0, thirty, func(i int) time.Duration { return time.Duration(i) * thirty }, 30, "xxxx", 30},
		{"10 of 30", 10, thirty, func(i int) time.Duration { return time.Duration(i) * thirty }, 300, "x..x..x..x", 100},
		{"10 of 30, late by turns", 10, thirty, func(i int) time.Duration {
			return time.Duration(i)*thirty + time.Duration(i%2)*12*ms
		}, 300, "x..x..x..x..x", 100},
		{
			"10 of 30, interval unknown", 10, 0, func(i int) time.Duration { return time.Duration(i) * thirty },
			300, "x..x..x..x", 100,
		},
		{"12 of 30", 12, thirty, func(i int) time.Duration { return time.Duration(i) * thirty }, 300, "x", 120},
		{"25 of 30", 25, thirty, func(i int) time.Duration { return time.Duration(i) * thirty }, 300, "x", 250},
		{"30 of 30", 30, thirty, func(i int) time.Duration {
			return time.Duration(i)*thirty + time.Duration(i%3)*5*ms
		}, 300, "xxxxxxxxx", 300},
		{"30 of 10", 30, 100 * ms, func(i int) time.Duration { return time.Duration(i) * 100 * ms }, 100, "xxxx", 100},
		{
			"one in two seconds", 0.5, thirty, func(i int) time.Duration { return time.Duration(i) * thirty },
			300, "x.....", 5,
		},
		{"after a gap there is no burst", 10, thirty, func(i int) time.Duration {
			if i >= 6 {
				return time.Minute + time.Duration(i)*thirty
			}
			return time.Duration(i) * thirty
		}, 30, "x..x..x..x..x..", 10},
		{"a clock set back", 10, thirty, func(i int) time.Duration {
			if i >= 6 {
				return time.Duration(i) * thirty
			}
			return time.Hour + time.Duration(i)*thirty
		}, 30, "x..x..x..x..x..", 10},
	} {
		p := newPacer(c.rate, c.interval)
		var got strings.Builder
		for i := range c.frames {
			if at := c.at(i); p.due(at) {
				p.taken(at)
				got.WriteByte('x')
			} else {
				got.WriteByte('.')
			}
		}
		if total := strings.Count(got.String(), "x"); total != c.total || !strings.HasPrefix(got.String(), c.want) {
			t.Errorf("%s: %d taken: %.20s, want %d: %s", c.name, total, got.String(), c.total, c.want)
		}
	}
}

func TestPacerKeepsAFrameDueThatWasNotTaken(t *testing.T) {
	p := newPacer(10, 40*ms)
	p.taken(0)
	for at, want := range map[time.Duration]bool{40 * ms: false, 80 * ms: true, 120 * ms: true, 160 * ms: true} {
		if got := p.due(at); got != want {
			t.Errorf("at %s: %v, want %v", at, got, want)
		}
	}
}

// sim plays streams that offer frames at their intervals to places that are taken for a while each.
func sim(places int, occupancy, length time.Duration, intervals ...time.Duration) (taken []int) {
	var s scheduler
	turns, next := make([]turn, len(intervals)), make([]time.Duration, len(intervals))
	taken = make([]int, len(intervals))
	for i := range next {
		next[i] = time.Duration(i) * ms // nobody comes at the same moment
	}
	var busy []time.Duration // when each place is free again
	for now := time.Duration(0); now < length; now += ms {
		busy = slices.DeleteFunc(busy, func(until time.Duration) bool { return until <= now })
		for i := range intervals {
			if now < next[i] {
				continue
			}
			next[i] += intervals[i]
			if s.admit(&turns[i], now, places-len(busy), intervals[i], occupancy) {
				taken[i]++
				busy = append(busy, now+occupancy)
			}
		}
	}
	return taken
}

func TestSchedulerIsFair(t *testing.T) {
	for _, c := range []struct {
		name      string
		places    int
		occupancy time.Duration
		intervals []time.Duration
		least     []int // of 10 seconds
	}{
		{"one stream has every place", 2, 60 * ms, []time.Duration{33 * ms}, []int{295}},
		{"one stream that wants more than there is", 1, 100 * ms, []time.Duration{33 * ms}, []int{75}},
		{"two alike", 2, 100 * ms, []time.Duration{33 * ms, 33 * ms}, []int{74, 74}},
		{"four alike", 2, 100 * ms, []time.Duration{33 * ms, 33 * ms, 33 * ms, 33 * ms}, []int{42, 42, 42, 42}},
		{"a slow one beside a fast one", 2, 100 * ms, []time.Duration{20 * ms, 200 * ms}, []int{140, 25}},
		{"a very slow one costs the fast one little", 1, 20 * ms, []time.Duration{25 * ms, 1000 * ms}, []int{390, 5}},
	} {
		got := sim(c.places, c.occupancy, 10*time.Second, c.intervals...)
		for i, least := range c.least {
			if got[i] < least {
				t.Errorf("%s: got %v, want at least %v", c.name, got, c.least)
				break
			}
		}
		t.Log(c.name, got)
	}
}

func TestScheduler(t *testing.T) {
	var s scheduler
	var a, b, c turn
	steps := []struct {
		who  *turn
		now  time.Duration
		free int
		want bool
		why  string
	}{
		{&a, 0, 1, true, "nobody waits"},
		{&b, 1, 0, false, "there is no place"},
		{&c, 2, 0, false, "there is no place"},
		{&a, 30 * ms, 1, false, "b was refused first"},
		{&c, 31 * ms, 1, false, "b was refused first"},
		{&c, 32 * ms, 2, true, "one is left besides b's"},
		{&b, 33 * ms, 1, true, "it is b's turn"},
		{&a, 34 * ms, 1, true, "it is a's turn, and nobody else waits"},
		{&b, 40 * ms, 0, false, "there is no place"},
		{&a, 100 * ms, 1, false, "b's turn is kept"},
		{&c, 117 * ms, 1, false, "b has gone, but a waits"},
		{&a, 118 * ms, 1, true, "a's turn"},
	}
	for i, step := range steps {
		if got := s.admit(step.who, step.now, step.free, 33*ms, 50*ms); got != step.want {
			t.Fatalf("step %d (%s): %v", i, step.why, got)
		}
	}
	s.forget(&c)
	if !s.admit(&a, 119*ms, 1, 33*ms, 50*ms) || len(s.waiting) != 0 {
		t.Errorf("somebody is kept a place who has gone: %v", s.waiting)
	}
}

func TestWatch(t *testing.T) {
	opts := Options{
		RunDeadline: 5 * time.Second, LoadDeadline: 60 * time.Second, BuildDeadline: 30 * time.Minute,
		HeartbeatTimeout: 10 * time.Second,
	}
	const s = time.Second
	for _, c := range []struct {
		name        string
		watch       watch
		now, oldest time.Duration
		want        string // the failure's kind, or how long none comes
	}{
		{"at the start", watch{}, 0, 0, "5s"},
		{"silence while loading", watch{}, 10 * s, 0, "5s"},
		{"long silence while loading", watch{}, 30 * s, 0, "hang"},
		{"soon silent", watch{stage: wire.StageReady, heard: 50 * s}, 58 * s, 0, "2s"},
		{"load deadline near", watch{heard: 57 * s}, 57 * s, 0, "3s"},
		{"load deadline", watch{heard: 60 * s}, 60 * s, 0, "hang"},
		{"a build takes longer", watch{heard: 60 * s, built: true}, 60 * s, 0, "5s"},
		{"build deadline", watch{heard: 30 * 60 * s, built: true}, 30 * 60 * s, 0, "hang"},
		{"loaded", watch{stage: wire.StageReady, heard: 90 * s}, 90 * s, 0, "5s"},
		{"frame in flight", watch{stage: wire.StageReady, heard: 93 * s}, 93 * s, 90 * s, "2s"},
		{"no result", watch{stage: wire.StageReady, heard: 95 * s}, 95 * s, 90 * s, "hang"},
		{"it waited for another", watch{stage: wire.StageReady, heard: 95 * s, progress: 94 * s}, 95 * s, 90 * s, "4s"},
		{"idle for long", watch{stage: wire.StageReady, heard: 990 * s, progress: 94 * s}, 990 * s, 989 * s, "4s"},
		{"dead and idle", watch{stage: wire.StageReady, heard: 95 * s}, 105 * s, 0, "hang"},
	} {
		c.watch.opts = opts
		failure, wait := c.watch.check(c.now, c.oldest)
		got := fmt.Sprint(wait)
		if failure != nil {
			got = failure.Kind
		}
		if got != c.want {
			t.Errorf("%s: %s, want %s (%v)", c.name, got, c.want, failure)
		}
	}
}

func TestWatchForgivesTheTimeItWasStopped(t *testing.T) {
	w := newWatch(Options{
		RunDeadline: time.Second, LoadDeadline: time.Minute, HeartbeatTimeout: time.Second, BuildDeadline: time.Hour,
	}, time.Second)
	w.forgive(time.Hour, time.Hour-2*time.Second)
	if failure, wait := w.check(time.Hour, 2*time.Second); failure != nil || wait != time.Second {
		t.Errorf("%v, %s", failure, wait)
	}
}

// Whatever a configuration may ask for, a ring has room for the frames of every worker.
func TestEveryWorkerHasSlots(t *testing.T) {
	for workers := 1; workers <= 16; workers++ {
		for frames := 1; (infer.Batch{Max: frames}).Check(workers) == nil; frames++ {
			o := Options{Workers: workers, InFlight: 2 * frames}
			if got := o.withDefaults(); got.Workers != workers || got.InFlight != o.InFlight {
				t.Errorf("%d workers with batches of %d get %+v", workers, frames, got)
			}
		}
	}
}
