package history

import (
	"encoding/json"
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

func TestFiguresAreRatesAndMeans(t *testing.T) {
	registry := prometheus.NewRegistry()
	frames := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "vedette_camera_frames_total"}, []string{"camera"})
	took := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "vedette_inference_duration_seconds"}, []string{"stage"})
	warm := prometheus.NewGauge(prometheus.GaugeOpts{Name: "vedette_temperature_celsius"})
	registry.MustRegister(frames, took, warm)
	frames.WithLabelValues("yard").Add(1000)
	warm.Set(41)
	h := New(registry)
	began := time.Now()
	h.sample(began)
	frames.WithLabelValues("yard").Add(250)
	frames.WithLabelValues("gate").Add(10)
	for range 10 {
		took.WithLabelValues("total").Observe(0.05)
		took.WithLabelValues("queue").Observe(7)
	}
	h.sample(began.Add(Every))
	frames.DeleteLabelValues("yard") // as a reload does
	h.sample(began.Add(2 * Every))
	text, err := json.Marshal(h.Document())
	if err != nil {
		t.Fatal(err)
	}
	var got Document
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	say := func(name string) (s string) {
		for _, v := range got.Series[name] {
			if v == nil {
				s += "- "
			} else {
				s += fmt.Sprintf("%g ", math.Round(float64(*v)*1000)/1000)
			}
		}
		return s
	}
	for name, want := range map[string]string{
		"frames_per_s/yard": "- 25 - ", "frames_per_s/gate": "", "latency_ms": "- 50 - ", "temperature_c": "41 41 41 ",
	} {
		if name == "frames_per_s/gate" {
			want = "- - 0 "
		}
		if say(name) != want {
			t.Errorf("%s: %q, want %q", name, say(name), want)
		}
	}
}

func TestMemoryIsBounded(t *testing.T) {
	registry := prometheus.NewRegistry()
	many := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "vedette_camera_frames_total"}, []string{"camera"})
	registry.MustRegister(many)
	h := New(registry)
	began := time.Now()
	for i := range 2 * Samples {
		many.Reset()
		for j := range 200 {
			many.WithLabelValues(fmt.Sprintf("camera-%d-%d", i/7, j)).Set(1)
		}
		h.sample(began.Add(time.Duration(i) * Every))
	}
	if len(h.series) > maxSeries {
		t.Errorf("%d series", len(h.series))
	}
	for name, samples := range h.series {
		if len(samples) != Samples || cap(samples) > 3*Samples {
			t.Errorf("%s has %d samples in memory for %d", name, len(samples), cap(samples))
		}
	}
}
