package client

import "time"

// pacer thins a stream out to a rate, on the frames' own clock.
//
// It keeps a schedule: frames are due one period apart, whenever the last one really came, so that 10 of 30 frames a
// second are every third frame and 12 of 30 are 12 on average. A frame is due from half a frame interval before its
// time: the frame nearest to it in time is the one that is taken, jitter or not. A frame that is due and cannot be
// taken leaves the next one due. After a gap the schedule starts anew: it is never caught up with by a burst.
type pacer struct {
	period   time.Duration // 0: every frame is due
	interval time.Duration // between frames as the format says; 0: as seen

	running bool
	next    time.Duration // when a frame is due
	last    time.Duration // when the last frame was captured, due or not
}

func newPacer(rate float64, interval time.Duration) pacer {
	if rate <= 0 {
		return pacer{}
	}
	return pacer{period: time.Duration(float64(time.Second) / rate), interval: interval}
}

// due tells whether a frame captured at that time may be taken.
func (p *pacer) due(at time.Duration) bool {
	if p.period == 0 {
		return true
	}
	gap := p.interval
	if gap == 0 {
		gap = at - p.last
	}
	p.last = at
	if at < p.next-2*p.period { // the source's clock has been set back
		p.running = false
	}
	return !p.running || at+min(gap, p.period)/2 >= p.next
}

// taken moves the schedule on, past a frame that was due.
func (p *pacer) taken(at time.Duration) {
	p.next += p.period
	if !p.running || p.next <= at {
		p.next = at + p.period
	}
	p.running = true
}
