package capture

import "time"

// meter counts frames over a sliding window, in buckets, so that its cost does not grow with the rate.
type meter struct {
	first  time.Time // the first frame ever; the zero time before it
	counts [meterBuckets]uint32
	newest int64 // number of the newest bucket since first
}

const (
	meterBuckets = 16
	meterBucket  = 250 * time.Millisecond
)

// add counts a frame that came now. Time is the monotonic one that a time.Time carries.
func (m *meter) add(now time.Time) {
	if m.first.IsZero() {
		m.first = now
	}
	m.advance(now)
	m.counts[m.newest%meterBuckets]++
}

// rate is in frames per second.
func (m *meter) rate(now time.Time) float64 {
	if m.first.IsZero() {
		return 0
	}
	m.advance(now)
	var sum uint32
	for _, n := range m.counts {
		sum += n
	}
	// The window ends now, inside the newest bucket, and begins with the oldest bucket, or with the first frame.
	window := now.Sub(m.first)
	if m.newest >= meterBuckets {
		window -= time.Duration(m.newest-meterBuckets+1) * meterBucket
	} else if sum > 0 {
		sum-- // n frames from the first on are n-1 intervals
	}
	if window < meterBucket {
		return 0 // too soon to tell
	}
	return float64(sum) / window.Seconds()
}

// advance empties the buckets whose time has passed.
func (m *meter) advance(now time.Time) {
	bucket := int64(now.Sub(m.first) / meterBucket)
	if bucket-m.newest >= meterBuckets {
		m.counts = [meterBuckets]uint32{}
		m.newest = bucket
	}
	for m.newest < bucket {
		m.newest++
		m.counts[m.newest%meterBuckets] = 0
	}
}
