// Package history keeps the last hour of the service's figures in memory.
package history

import (
	"context"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Bounds: an hour by 10 s, of at most so many series, takes 4 bytes * 360 * 64 = 92 KB.
const (
	Every     = 10 * time.Second
	Samples   = 360
	maxSeries = 64
)

// missing is the value of a series at a time when it was not there.
var missing = float32(math.NaN()) //nolint:gochecknoglobals // a constant, which Go has no word for

// History samples figures. Its methods may be called from any goroutine.
type History struct {
	metrics prometheus.Gatherer

	mu     sync.Mutex           // guards the rest
	series map[string][]float32 // the newest last, all of the same length
	length int
	at     time.Time // of the newest
	before totals
}

// New makes an empty history.
func New(metrics prometheus.Gatherer) *History {
	return &History{metrics: metrics, series: map[string][]float32{}}
}

// Run samples until ctx ends.
func (h *History) Run(ctx context.Context) {
	ticker := time.NewTicker(Every)
	defer ticker.Stop()
	h.sample(time.Now())
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-ticker.C:
			h.sample(now)
		}
	}
}

// sample takes in the figures of now. What cannot be gathered is missing.
func (h *History) sample(now time.Time) {
	families, _ := h.metrics.Gather() // it gives what it has beside an error, which /metrics tells
	read := readTotals(families)

	h.mu.Lock()
	defer h.mu.Unlock()
	values := figures(h.before, read, now.Sub(h.at))
	h.before, h.at = read, now
	for name := range values {
		if _, known := h.series[name]; !known && len(h.series) < maxSeries {
			h.series[name] = slices.Repeat([]float32{missing}, h.length)
		}
	}
	h.length = min(h.length+1, Samples)
	for name, samples := range h.series {
		value, ok := values[name]
		if !ok {
			value = missing
		}
		samples = append(samples, value)
		samples = samples[max(0, len(samples)-Samples):]
		if allMissing(samples) {
			delete(h.series, name)
			continue
		}
		h.series[name] = samples
	}
}

func allMissing(samples []float32) bool {
	return !slices.ContainsFunc(samples, func(v float32) bool { return v == v })
}

// Document is what the API shows.
type Document struct {
	V      int                   `json:"v"`
	Time   time.Time             `json:"time"`    // of the newest sample
	Every  float64               `json:"every_s"` // between two
	Series map[string][]*float32 `json:"series"`  // the newest last; null: it was not there
}

// Document gives a copy.
func (h *History) Document() Document {
	h.mu.Lock()
	defer h.mu.Unlock()
	d := Document{V: 1, Time: h.at.UTC(), Every: Every.Seconds(), Series: map[string][]*float32{}}
	for name, samples := range h.series {
		out := make([]*float32, len(samples))
		for i, v := range samples {
			if v == v {
				out[i] = &v
			}
		}
		d.Series[name] = out
	}
	return d
}
