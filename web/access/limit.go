package access

import (
	"sync"
	"time"
)

// How often passwords may be tried: by one address, and by all together, who could be many.
const (
	burst      = 5
	every      = 20 * time.Second // until one more may be tried
	burstAll   = 30
	everyAll   = 2 * time.Second
	maxRemotes = 256
)

// bucket holds tries; it fills by itself.
type bucket struct {
	tries float64
	at    time.Time
}

func (b *bucket) fill(now time.Time, every time.Duration, most float64) {
	b.tries = min(most, b.tries+now.Sub(b.at).Seconds()/every.Seconds())
	b.at = now
}

// wait is how long until there is a try.
func (b *bucket) wait(every time.Duration) time.Duration {
	if b.tries >= 1 {
		return 0
	}
	return max(time.Duration((1-b.tries)*float64(every)), time.Millisecond)
}

// limiter counts tries to log in.
type limiter struct {
	mu      sync.Mutex // guards the rest
	all     bucket
	remotes map[string]*bucket
}

func newLimiter() *limiter {
	return &limiter{all: bucket{burstAll, time.Now()}, remotes: map[string]*bucket{}}
}

// take notes a try; where it is one too many it gives the time until the next.
func (l *limiter) take(from string) time.Duration {
	now := time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all.fill(now, everyAll, burstAll)
	one, ok := l.remotes[from]
	if !ok {
		l.makeRoom(now)
		one = &bucket{burst, now}
		l.remotes[from] = one
	}
	one.fill(now, every, burst)
	if wait := max(one.wait(every), l.all.wait(everyAll)); wait > 0 {
		return wait
	}
	one.tries--
	l.all.tries--
	return 0
}

// makeRoom forgets whoever has tried least of late, while the table is full.
func (l *limiter) makeRoom(now time.Time) {
	for len(l.remotes) >= maxRemotes {
		var most string
		best := -1.0
		for name, b := range l.remotes {
			b.fill(now, every, burst)
			if b.tries > best {
				most, best = name, b.tries
			}
		}
		delete(l.remotes, most)
	}
}

// forgive gives back the try of who knew the password, and no more: who knows the viewer's could guess at the administrator's for ever.
func (l *limiter) forgive(from string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if one, ok := l.remotes[from]; ok {
		one.tries = min(burst, one.tries+1)
	}
	l.all.tries = min(burstAll, l.all.tries+1)
}
