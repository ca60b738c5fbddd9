package pipeline

import (
	"slices"
	"sync"
	"time"

	"vedette/infer"
	"vedette/mqtt"
)

// Why a frame's detections were not published.
const (
	heldByOff    = "off"
	heldByRate   = "rate"
	heldByChange = "unchanged"
	heldByDaily  = "daily"
)

func heldCauses() []string { return []string{heldByOff, heldByRate, heldByChange, heldByDaily} }

// gate decides which of one camera's results are published as detections.
type gate struct {
	off      bool
	onChange bool
	every    time.Duration // between two messages; 0: every result
	last     time.Duration // when the last message's frame was captured; 0: there was none
	classes  []int         // that it had, sorted
	now      []int
}

func newGate(cfg mqtt.DetectionsConfig) gate {
	g := gate{off: !cfg.Enabled, onChange: cfg.When == mqtt.WhenChange}
	if cfg.Rate > 0 {
		g.every = time.Duration(float64(time.Second) / cfg.Rate)
	}
	return g
}

// holds says why a result is not to be published, "" where it is. A change is one of which labels are seen, and how often each.
func (g *gate) holds(at time.Duration, detections []infer.Detection) string {
	switch {
	case g.off:
		return heldByOff
	case g.last == 0:
		return ""
	case g.every > 0 && at-g.last < g.every:
		return heldByRate
	case g.onChange && slices.Equal(g.sorted(detections), g.classes):
		return heldByChange
	}
	return ""
}

func (g *gate) sorted(detections []infer.Detection) []int {
	g.now = g.now[:0]
	for _, d := range detections {
		g.now = append(g.now, d.Class)
	}
	slices.Sort(g.now)
	return g.now
}

// passed notes a message that was published.
func (g *gate) passed(at time.Duration, detections []infer.Detection) {
	g.last = at
	if g.onChange {
		g.classes = append(g.classes[:0], g.sorted(detections)...)
	}
}

// budget bounds the bytes of all detections in any 24 hours, in topics and payloads. It may be taken from any goroutine. It is a
// bucket that holds a 24th of the bound and fills at 23/24 of it a day: what was saved up and what comes in within 24 hours are
// never more than the bound, and a burst does not use up the day. A restart fills it.
type budget struct {
	bound float64 // bytes; 0: none

	mu   sync.Mutex // guards the rest
	left float64
	last time.Time
}

func newBudget(cfg mqtt.DetectionsConfig) *budget {
	bytes, _ := cfg.DailyBytes() // the configuration was validated
	return &budget{bound: float64(bytes)}
}

func (b *budget) take(now time.Time, bytes int) bool {
	if b.bound == 0 {
		return true
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	most := b.bound / 24
	if b.last.IsZero() {
		b.left = most
	} else {
		b.left = min(most, b.left+b.bound*23/24*now.Sub(b.last).Hours()/24)
	}
	b.last = now
	if b.left < float64(bytes) {
		return false
	}
	b.left -= float64(bytes)
	return true
}

// withheld counts results that were not published, by cause.
type withheld struct {
	mu     sync.Mutex
	causes map[string]uint64
}

func (w *withheld) add(cause string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.causes == nil {
		w.causes = map[string]uint64{}
	}
	w.causes[cause]++
}

// counts has every cause, also those that never were.
func (w *withheld) counts() map[string]uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	all := map[string]uint64{}
	for _, cause := range heldCauses() {
		all[cause] = w.causes[cause]
	}
	return all
}
