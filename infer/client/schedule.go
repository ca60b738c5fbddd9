package client

import (
	"math"
	"slices"
	"time"
)

// scheduler shares places among streams. It has no clock and no lock of its own.
//
// A stream that is refused queues up, and a free place belongs to the one that was refused first. So streams that all
// want more than there is get the same each, one that wants little has at least every other of its frames looked at,
// and a stream alone has every place.
//
// A place is not kept idle for longer than it takes: a stream whose next frame is not expected before a frame that
// starts now would be done is passed by, and one that lets two of its frame intervals go without an offer has lost its
// turn.
type scheduler struct {
	waiting []*turn // first come, first served
}

// turn is one stream's place in the queue. The zero value waits for nothing.
type turn struct {
	due    time.Duration // when its next frame is expected
	lapses time.Duration // when it is taken for gone
}

// jitter is how late a frame may be beyond what its interval says, such as for want of a processor.
const jitter = 10 * time.Millisecond

const never = time.Duration(math.MaxInt64)

// admit decides whether a stream may have one of the free places now. interval is the time to its next offer, 0 where
// it waits on the spot (and will call forget when it does no more); occupancy is how long a frame takes its place.
func (s *scheduler) admit(t *turn, now time.Duration, free int, interval, occupancy time.Duration) bool {
	s.waiting = slices.DeleteFunc(s.waiting, func(w *turn) bool { return w != t && now > w.lapses })
	ahead, queued := 0, false
	for _, w := range s.waiting {
		if queued = w == t; queued {
			break
		}
		if w.due < now+occupancy {
			ahead++
		}
	}
	if free > ahead {
		s.forget(t)
		return true
	}
	if !queued {
		s.waiting = append(s.waiting, t)
	}
	t.due, t.lapses = now+interval, now+2*interval+jitter
	if interval == 0 {
		t.lapses = never
	}
	return false
}

// forget takes a stream out of the queue.
func (s *scheduler) forget(t *turn) {
	s.waiting = slices.DeleteFunc(s.waiting, func(w *turn) bool { return w == t })
}
