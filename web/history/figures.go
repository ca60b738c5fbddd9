package history

import (
	"math"
	"time"

	dto "github.com/prometheus/client_model/go"
)

// totals are what the service counts, by series and what it is of.
type totals struct {
	gauges   map[string]float64
	counters map[string]float64
	sums     map[string]mean
}

// mean is a histogram's.
type mean struct{ sum, count float64 }

// figure says what a metric's series is called: the label's value, if there is a label, comes behind a slash.
type figure struct{ name, label string }

// The metrics that a person wants to see over an hour; docs/METRICS.md has them all.
func wanted() map[string]figure {
	return map[string]figure{
		"vedette_camera_frames_total":           {"frames_per_s", "camera"},
		"vedette_detections_total":              {"detections_per_s", "camera"},
		"vedette_inference_frames_total":        {"inferences_per_s", ""},
		"vedette_inference_duration_seconds":    {"latency_ms", ""},
		"vedette_worker_resident_memory_bytes":  {"worker_memory_bytes", ""},
		"process_resident_memory_bytes":         {"service_memory_bytes", ""},
		"vedette_temperature_celsius":           {"temperature_c", ""},
		"vedette_mqtt_queue_length":             {"waiting_messages", ""},
		"vedette_mqtt_messages_published_total": {"messages_per_s", ""},
		"vedette_camera_frames_dropped_total":   {"dropped_per_s", "camera"},
		"vedette_worker_restarts_total":         {"restarts", ""},
	}
}

func readTotals(families []*dto.MetricFamily) totals {
	t := totals{gauges: map[string]float64{}, counters: map[string]float64{}, sums: map[string]mean{}}
	figures := wanted()
	for _, family := range families {
		f, ok := figures[family.GetName()]
		if !ok {
			continue
		}
		for _, m := range family.GetMetric() {
			name, counts := f.name, true
			for _, pair := range m.GetLabel() {
				switch {
				case pair.GetName() == f.label:
					name += "/" + pair.GetValue()
				case pair.GetName() == "stage":
					counts = pair.GetValue() == "total"
				case pair.GetName() == "outcome":
					counts = pair.GetValue() == "result"
				case pair.GetName() == "cause":
					counts = pair.GetValue() != "rate" // which is as configured
				}
			}
			switch {
			case !counts:
			case m.Counter != nil:
				t.counters[name] += m.GetCounter().GetValue()
			case m.Gauge != nil:
				t.gauges[name] += m.GetGauge().GetValue()
			case m.Histogram != nil:
				t.sums[name] = mean{m.GetHistogram().GetSampleSum(), float64(m.GetHistogram().GetSampleCount())}
			}
		}
	}
	return t
}

// figures are the values of the time between two totals.
func figures(before, now totals, passed time.Duration) map[string]float32 {
	values := map[string]float32{}
	for name, v := range now.gauges {
		values[name] = float32(v)
	}
	for name, v := range now.counters {
		last, ok := before.counters[name]
		if !ok || passed <= 0 || passed > 10*Every {
			continue
		}
		change := max(v-last, 0) // a camera that was changed counts from 0 again
		if name != "restarts" {
			change /= passed.Seconds()
		}
		values[name] = float32(change)
	}
	for name, v := range now.sums {
		last := before.sums[name]
		if n := v.count - last.count; n > 0 {
			values[name] = float32((v.sum - last.sum) / n * 1000)
		}
	}
	for name, v := range values {
		if math.IsInf(float64(v), 0) || v != v { // JSON has no word for it
			delete(values, name)
		}
	}
	return values
}
