package live

import "time"

// pace takes so many of what comes in a second, on average, however it is spread: of 15 frames a second for one who asks for 10 every third
// is left out. The zero value takes the first.
type pace struct{ next time.Time }

// due tells whether it is time for one. Frames never come quite in time: a tenth early is in time.
func (p *pace) due(now time.Time, rate float64) bool {
	return !now.Before(p.next.Add(-interval(rate) / 10))
}

// take notes that one was taken. What was missed for longer than one interval is not made up for.
func (p *pace) take(now time.Time, rate float64) {
	if now.Sub(p.next) > interval(rate) {
		p.next = now
	}
	p.next = p.next.Add(interval(rate))
}

func interval(rate float64) time.Duration { return time.Duration(float64(time.Second) / rate) }
