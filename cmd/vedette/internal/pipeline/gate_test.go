package pipeline

import (
	"testing"
	"time"

	"vedette/infer"
	"vedette/mqtt"
)

func TestWhichDetectionsArePublished(t *testing.T) {
	person, cup := infer.Detection{Class: 0}, infer.Detection{Class: 41}
	moved := infer.Detection{Class: 0, Box: infer.Box{X1: 0.5, X2: 1, Y2: 1}}
	frames := [][]infer.Detection{{person, cup}, {cup, moved}, {person}, {}, {}, {person, person}}
	for _, c := range []struct {
		name string
		cfg  mqtt.DetectionsConfig
		want [6]string // by frame, of which there are 10 a second
	}{
		{"always", mqtt.DetectionsConfig{Enabled: true, When: mqtt.WhenAlways}, [6]string{}},
		{"off", mqtt.DetectionsConfig{}, [6]string{"off", "off", "off", "off", "off", "off"}},
		{"on change", mqtt.DetectionsConfig{Enabled: true, When: mqtt.WhenChange}, [6]string{"", "unchanged", "", "", "unchanged", ""}},
		{"5 a second", mqtt.DetectionsConfig{Enabled: true, When: mqtt.WhenAlways, Rate: 5}, [6]string{"", "rate", "", "rate", "", "rate"}},
		{
			"on change, 5 a second",
			mqtt.DetectionsConfig{Enabled: true, When: mqtt.WhenChange, Rate: 5},
			[6]string{"", "rate", "", "rate", "", "rate"},
		},
	} {
		g := newGate(c.cfg)
		for i, frame := range frames {
			at := time.Duration(i+1) * 100 * time.Millisecond
			why := g.holds(at, frame)
			if why != c.want[i] {
				t.Errorf("%s, frame %d: %q, want %q", c.name, i, why, c.want[i])
			}
			if why == "" {
				g.passed(at, frame)
			}
		}
	}
}

// Whatever is asked for, and when: no 24 hours have more than the bound.
func TestTheBudgetHoldsOverAnyDay(t *testing.T) {
	const bound = 24 << 20
	b := &budget{bound: bound}
	start, window := time.Now(), []float64{}
	sum, most := 0.0, 0.0
	for minute := range 3 * 24 * 60 {
		taken := 0.0
		if minute > 600 { // it was saved up for hours
			for range 100 {
				if b.take(start.Add(time.Duration(minute)*time.Minute), 1000) {
					taken += 1000
				}
			}
		}
		window = append(window, taken)
		sum += taken
		if len(window) > 24*60 {
			sum -= window[len(window)-24*60-1]
		}
		most = max(most, sum)
	}
	if most > bound || most < 0.9*bound {
		t.Errorf("within 24 hours came %.1f MiB, the bound is %d", most/(1<<20), bound>>20)
	}
	if !(&budget{}).take(start, 1<<30) {
		t.Error("without a bound it is bounded")
	}
}
