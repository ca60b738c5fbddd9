package metrics

import (
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"vedette/infer"
	"vedette/supervisor"
	"vedette/track"
)

// OtherLabel counts what has no label of its own: beyond maxLabels, or in a model without labels.
const OtherLabel = "other"

// maxLabels bounds what one camera's detections may add to every scrape; a model may have thousands.
const maxLabels = 256

// latencyBuckets are in seconds: from what a small model takes on an accelerator to the default run deadline.
func latencyBuckets() []float64 {
	return []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5}
}

// Recorder counts what no other part of the service keeps. Its methods may be called from any goroutine.
type Recorder struct {
	detections *prometheus.CounterVec
	faults     *prometheus.CounterVec
	events     *prometheus.CounterVec
	crossings  *prometheus.CounterVec
	latency    *prometheus.HistogramVec

	queue, preprocess, infer, decode, total prometheus.Observer // of latency

	mu      sync.Mutex // guards crossed
	crossed map[crossing]struct{}
}

// crossing is a way over a line, for one label.
type crossing struct{ camera, line, direction, label string }

// maxCrossings bounds what crossings may add to every scrape.
const maxCrossings = 1024

// NewRecorder makes one with everything at 0.
func NewRecorder() *Recorder {
	r := &Recorder{
		detections: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "vedette_detections_total",
			Help: "Objects detected, over all frames. A camera's labels beyond the first 256 count as \"other\".",
		}, []string{"camera", "label"}),
		faults: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "vedette_worker_faults_total",
			Help: "Failures of a worker, by kind.",
		}, []string{"worker", "kind"}),
		events: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "vedette_events_total",
			Help: "Messages of the lives of objects, by camera and type.",
		}, []string{"camera", "type"}),
		crossings: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "vedette_line_crossings_total",
			Help: "How often objects of a label have crossed a line, by direction: \"in\", \"out\". Beyond 1024 of these sets of labels, the label is \"other\".",
		}, []string{"camera", "line", "direction", "label"}),
		crossed: map[crossing]struct{}{},
		latency: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "vedette_inference_duration_seconds",
			Help: "Where the time of a frame with a result went. \"queue\" is from its submission to the worker's start on it, " +
				"\"total\" from its submission to the result's arrival.",
			Buckets: latencyBuckets(),
		}, []string{"stage"}),
	}
	r.queue = r.latency.WithLabelValues("queue")
	r.preprocess = r.latency.WithLabelValues("preprocess")
	r.infer = r.latency.WithLabelValues("infer")
	r.decode = r.latency.WithLabelValues("decode")
	r.total = r.latency.WithLabelValues("total")
	return r
}

// Worker makes a worker's faults known as 0, so that the first one is an increase.
func (r *Recorder) Worker(name string) {
	for _, kind := range supervisor.Kinds() {
		r.faults.WithLabelValues(name, string(kind))
	}
}

// Fault counts a failure. The kind may be a worker's own word: one that nobody knows breaks the protocol.
func (r *Recorder) Fault(f supervisor.Fault) {
	kind := f.Kind
	if !slices.Contains(supervisor.Kinds(), kind) {
		kind = supervisor.KindProtocol
	}
	r.faults.WithLabelValues(f.Process, string(kind)).Inc()
}

// Event counts a message of an object's life.
func (r *Recorder) Event(camera, kind string) { r.events.WithLabelValues(camera, kind).Inc() }

// Crossing counts an object that has crossed a line.
func (r *Recorder) Crossing(camera, line, direction, label string) {
	c := crossing{camera, line, direction, strings.ToValidUTF8(label, "\uFFFD")} // a label comes from a model, by way of a worker
	r.mu.Lock()
	if _, known := r.crossed[c]; !known {
		if len(r.crossed) < maxCrossings {
			r.crossed[c] = struct{}{}
		} else {
			c.label = OtherLabel
		}
	}
	r.mu.Unlock()
	r.crossings.WithLabelValues(c.camera, c.line, c.direction, c.label).Inc()
}

// Describe is a prometheus.Collector's.
func (r *Recorder) Describe(out chan<- *prometheus.Desc) {
	r.detections.Describe(out)
	r.faults.Describe(out)
	r.events.Describe(out)
	r.crossings.Describe(out)
	r.latency.Describe(out)
}

// Collect is a prometheus.Collector's.
func (r *Recorder) Collect(out chan<- prometheus.Metric) {
	r.detections.Collect(out)
	r.faults.Collect(out)
	r.events.Collect(out)
	r.crossings.Collect(out)
	r.latency.Collect(out)
}

// Camera records one camera's results. It is used by one goroutine, and allocates only when the model changes.
type Camera struct {
	name     string
	recorder *Recorder
	model    string                        // SHA-256 of the one whose classes counters are for
	counters []prometheus.Counter          // by class
	labels   map[string]prometheus.Counter // of every model so far: at most maxLabels
	other    prometheus.Counter
}

// Camera begins a camera's record.
func (r *Recorder) Camera(name string) *Camera {
	for _, kind := range []track.Type{track.TypeNew, track.TypeUpdate, track.TypeEnd} { // so that the first one is an increase
		r.events.WithLabelValues(name, string(kind))
	}
	return &Camera{
		name: name, recorder: r,
		labels: map[string]prometheus.Counter{}, other: r.detections.WithLabelValues(name, OtherLabel),
	}
}

// Result records what was found in one frame, and where its time went.
func (c *Camera) Result(model *infer.Model, detections []infer.Detection, t infer.Timings) {
	if c.counters == nil || c.model != model.SHA256 {
		c.learn(model)
	}
	for _, d := range detections {
		if d.Class >= 0 && d.Class < len(c.counters) {
			c.counters[d.Class].Inc()
		} else {
			c.other.Inc()
		}
	}
	r := c.recorder
	observe(r.queue, t.Queue)
	observe(r.preprocess, t.Preprocess)
	observe(r.infer, t.Infer)
	observe(r.decode, t.Decode)
	observe(r.total, t.Total)
}

func observe(o prometheus.Observer, d time.Duration) { o.Observe(d.Seconds()) }

// learn makes every label of the model known as 0, so that the first detection is an increase.
func (c *Camera) learn(model *infer.Model) {
	c.model = model.SHA256
	c.counters = make([]prometheus.Counter, len(model.Labels))
	for class, label := range model.Labels {
		counter, known := c.labels[label]
		switch {
		case known:
		case len(c.labels) < maxLabels:
			// A label comes from a model's metadata by way of a worker, and what is not UTF-8 would be refused.
			counter = c.recorder.detections.WithLabelValues(c.name, strings.ToValidUTF8(label, "\uFFFD"))
			c.labels[label] = counter
		default:
			counter = c.other
		}
		c.counters[class] = counter
	}
}
