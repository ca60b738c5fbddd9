package main

import (
	"testing"

	"vedette/cmd/vedette/internal/config"
	"vedette/cmd/vedette/internal/pipeline"
	"vedette/infer"
)

// What is below a threshold may be there on one device and not on another, and a device's own thresholds are no reason to refuse a
// bundle.
func TestSelfTestsHoldWhatCounts(t *testing.T) {
	found := []infer.Detection{{Class: 0, Score: 0.82}, {Class: 1, Score: 0.3}, {Class: 0, Score: 0.15}}
	got := expected(found, func(class int) float32 { return []float32{0.4, 0.25}[class] })
	if len(got) != 2 || got[0].Score != 0.82 || got[1].Score != 0.3 {
		t.Errorf("written down is %+v", got)
	}
	strict := config.Default()
	strict.Infer.Thresholds, strict.Track.Low = infer.Thresholds{"default": 0.9}, 0.9
	if c := pipeline.ForSelfTest(strict); c.Infer.Thresholds.For("person") != 0.4 || c.Track.Low != config.Default().Track.Low {
		t.Errorf("tested with %v and %g", c.Infer.Thresholds, c.Track.Low)
	}
}
