// Package metrics shows what the service knows of itself in Prometheus's form.
//
// What the state document or another part keeps is read at each scrape, so that there is one truth; a Recorder counts
// the rest as it happens.
package metrics

import (
	"runtime"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"vedette/capture"
	"vedette/cmd/vedette/internal/bestview"
	"vedette/cmd/vedette/internal/lives"
	"vedette/infer/client"
	"vedette/infer/wire"
	"vedette/mqtt"
	"vedette/mqtt/command"
	"vedette/mqtt/payload"
	"vedette/supervisor"
	"vedette/web/live"
)

// Snapshot is the service at one moment.
type Snapshot struct {
	State    payload.State
	Frames   map[string]uint64 // captured, by camera
	Resident map[string]int64  // bytes of resident memory, by worker
	Client   client.Stats
	MQTT     mqtt.Status
	Open     lives.Stats       // of the file of open objects
	Live     live.Stats        // of the live view
	Best     bestview.Stats    // of pictures that are published
	Withheld map[string]uint64 // results that were not published as detections, by cause
	Commands []command.Count
	// May are the names of everything that may be degraded, as State.Degraded has them.
	May []string
}

// NewRegistry gathers everything that the service exports. snapshot is called at each scrape.
func NewRegistry(version string, snapshot func() Snapshot, recorder *Recorder) *prometheus.Registry {
	registry := prometheus.NewRegistry()
	registry.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		newCollector(version, snapshot),
		recorder,
	)
	return registry
}

// collector turns a snapshot into metrics.
type collector struct {
	version  string
	snapshot func() Snapshot

	buildInfo, modelInfo, modelNodes, degraded, clockSynced, temperature *prometheus.Desc

	cameraState, cameraFrames, cameraDropped, cameraFailures, cameraAge *prometheus.Desc

	workerState, workerGeneration, workerRestarts, workerMemory, workerActive *prometheus.Desc

	cgroupMemory, cgroupPeak, cgroupPressure, cgroupLimit *prometheus.Desc

	inferred, runs, inFlight, rejected, copying *prometheus.Desc

	connected, published, dropped, queued, hangUps *prometheus.Desc

	withheld, commands *prometheus.Desc

	events, eventsWaiting, eventsLost, outboxBytes, outboxWritten, outboxSyncs, outboxDamaged *prometheus.Desc

	openWritten, openSyncs *prometheus.Desc

	viewers, viewersDropped, pictures, picturesFailed *prometheus.Desc

	best, bestDropped *prometheus.Desc
}

func newCollector(version string, snapshot func() Snapshot) *collector {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("vedette_"+name, help, labels, nil)
	}
	return &collector{
		version: version, snapshot: snapshot,

		buildInfo: desc("build_info", "Always 1; the labels tell what runs.", "version", "go_version"),
		modelInfo: desc("model_info", "Always 1, once a model is loaded; the labels tell which, and on what it runs.",
			"name", "sha256", "family", "provider", "runtime"),
		modelNodes: desc("model_nodes", "Nodes of the model's optimised graph, by the execution provider that they run on.", "provider"),
		degraded: desc("degraded", "Whether a part is not as configured: 1 or 0. The state document says why.",
			"what"),
		clockSynced: desc("clock_synced", "Whether the machine's clock is synchronised: 1 or 0."),
		temperature: desc("temperature_celsius", "The hottest thermal zone's temperature; absent where the machine has none."),

		cameraState:  desc("camera_state", "1 for the state that the camera is in, 0 for the others.", "camera", "state"),
		cameraFrames: desc("camera_frames_total", "Frames captured.", "camera"),
		cameraDropped: desc("camera_frames_dropped_total", "Frames that were not looked at, by cause. Those of cause \"driver\" come "+
			"on top of the frames captured.", "camera", "cause"),
		cameraFailures: desc("camera_failures_total", "How often the camera was lost or could not be opened, by cause.", "camera", "cause"),
		cameraAge: desc("camera_last_frame_age_seconds", "Time since the last frame was captured; absent before the first.",
			"camera"),

		workerState:      desc("worker_state", "1 for the state that the worker is in, 0 for the others.", "worker", "state"),
		workerGeneration: desc("worker_generation", "Number of the worker's present or last process, from 1.", "worker"),
		workerRestarts:   desc("worker_restarts_total", "How often the worker was started again.", "worker"),
		workerMemory: desc("worker_resident_memory_bytes", "Resident memory of the worker's process, the frame rings that it "+
			"shares with the service included; 0 while there is no process.", "worker"),

		workerActive: desc("worker_active", "Whether frames are given to the worker: 1, or 0 while it stands by.", "worker"),

		cgroupMemory: desc("worker_cgroup_memory_bytes", "What the worker's cgroup uses; absent where it has none.", "worker"),
		cgroupPeak:   desc("worker_cgroup_memory_peak_bytes", "The most that it has used in its present life.", "worker"),
		cgroupPressure: desc("worker_cgroup_memory_pressure_ratio", "Share of the last 10 s in which a process of it waited for memory.",
			"worker"),
		cgroupLimit: desc("worker_cgroup_memory_limit_bytes", "What each worker may use; absent where nothing bounds it."),

		inferred: desc("inference_frames_total", "Frames that a worker had, by what came of them: a \"result\", \"damaged\" "+
			"(the picture's bytes), \"failed\" (the inference), \"reclaimed\" (the worker or the stream ended first).", "outcome"),
		runs:     desc("inference_runs_total", "Runs of the model, each on a frame, or on several with infer.batch."),
		inFlight: desc("inference_frames_in_flight", "Frames that workers have at the moment."),
		rejected: desc("worker_messages_rejected_total", "Messages of workers that were of no use, by reason.", "reason"),
		copying:  desc("ring_copy_seconds_total", "Time that copying frames into shared memory took."),

		connected: desc("mqtt_connected", "Whether a broker is connected: 1 or 0."),
		published: desc("mqtt_messages_published_total", "Messages handed to a broker; at QoS 1, acknowledged by it."),
		dropped: desc("mqtt_messages_dropped_total", "Messages that were given up, as the queue was full or the connection ended; "+
			"but for events and faults."),
		hangUps: desc("mqtt_hang_ups_total", "Connections that the broker, or something before it, has ended. Many in a row: another "+
			"client may have this one's client id, which vedette_degraded says."),
		queued: desc("mqtt_queue_length", "Messages that wait for the broker, but for events and faults."),

		withheld: desc("mqtt_detections_withheld_total", "Frames with a result that were not published as detections, by cause: \"off\", "+
			"\"rate\", \"unchanged\" (mqtt.detections.when), \"daily\" (the bound of mqtt.detections.daily).", "cause"),
		commands: desc("mqtt_commands_total", "Commands, by what came of them: \"ok\", \"failed\", \"refused\", \"repeated\" (seen before).",
			"command", "result"),

		events: desc("outbox_messages_total", "Events and faults since the start, by what came of them so far: \"made\", "+
			"\"acknowledged\" by the broker.", "outcome"),
		eventsWaiting: desc("outbox_depth", "Events and faults that wait for the broker."),
		eventsLost: desc("outbox_messages_lost_total", "Events and faults that nobody will have, by cause: \"bound\" (of size, age or "+
			"memory), \"oversized\", \"unreadable\" (the disk does not give them back).", "cause"),
		outboxBytes:   desc("outbox_bytes", "What the outbox takes on the disk."),
		outboxWritten: desc("outbox_written_bytes_total", "Bytes that the outbox has written; times 86400 and rate() gives those of a day."),
		outboxSyncs:   desc("outbox_syncs_total", "How often the outbox had the disk sync."),
		openWritten:   desc("open_objects_written_bytes_total", "Bytes written to the file of objects that have begun and not ended."),
		openSyncs:     desc("open_objects_syncs_total", "How often the disk had to sync for the file of objects that have begun and not ended."),
		outboxDamaged: desc("outbox_damaged_total", "Stretches of the disk that held no good record when the service started."),

		viewers:        desc("live_viewers", "Who watches the live view, or waits for a snapshot, at the moment."),
		viewersDropped: desc("live_viewers_dropped_total", "Viewers that were parted with, as they did not read."),
		pictures:       desc("live_pictures_total", "Pictures made for viewers."),
		picturesFailed: desc("live_pictures_failed_total", "Frames of which no picture could be made."),

		best: desc("mqtt_snapshots_total", "Pictures of best views that were published."),
		bestDropped: desc("mqtt_snapshots_dropped_total", "Views that were the best so far and were not published, by cause: \"rate\" (a better "+
			"one came before their turn), \"memory\" (as many wait as may, or more labels are seen than have a picture), \"size\" (too many bytes "+
			"however small), \"failed\" (no picture can be made of the frame).", "cause"),
	}
}

// Describe is a prometheus.Collector's.
func (c *collector) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		c.buildInfo, c.modelInfo, c.modelNodes, c.degraded, c.clockSynced, c.temperature,
		c.cameraState, c.cameraFrames, c.cameraDropped, c.cameraFailures, c.cameraAge,
		c.workerState, c.workerGeneration, c.workerRestarts, c.workerMemory, c.workerActive,
		c.cgroupMemory, c.cgroupPeak, c.cgroupPressure, c.cgroupLimit,
		c.inferred, c.runs, c.inFlight, c.rejected, c.copying,
		c.connected, c.published, c.dropped, c.queued, c.hangUps,
		c.withheld, c.commands,
		c.events, c.eventsWaiting, c.eventsLost, c.outboxBytes, c.outboxWritten, c.outboxSyncs, c.outboxDamaged, c.openWritten, c.openSyncs,
		c.viewers, c.viewersDropped, c.pictures, c.picturesFailed, c.best, c.bestDropped,
	} {
		out <- d
	}
}

// Collect is a prometheus.Collector's.
func (c *collector) Collect(out chan<- prometheus.Metric) {
	s := c.snapshot()
	o := output(out)
	o.gauge(c.buildInfo, 1, c.version, runtime.Version())
	if w := s.State.Worker; w.Model != nil {
		o.gauge(c.modelInfo, 1, w.Model.Name, w.Model.SHA256, w.Model.Family, w.Provider, w.Runtime)
		for provider, n := range w.Nodes {
			o.gauge(c.modelNodes, float64(n), provider)
		}
	}
	o.gauge(c.clockSynced, truth(s.State.Clock == payload.Synced))
	if t := s.State.Resources.Temperature; t != nil {
		o.gauge(c.temperature, *t)
	}
	degraded := map[string]bool{}
	for _, what := range s.May {
		degraded[what] = false
	}
	for _, d := range s.State.Degraded {
		degraded[d.What] = true
	}
	for what, is := range degraded {
		o.gauge(c.degraded, truth(is), what)
	}
	c.collectCameras(o, s)
	c.collectWorkers(o, s)
	c.collectMQTT(o, s.MQTT)
	o.counter(c.openWritten, float64(s.Open.Written))
	o.counter(c.openSyncs, float64(s.Open.Syncs))
	c.collectLive(o, s.Live)
	c.collectBest(o, s.Best)
	for cause, n := range s.Withheld {
		o.counter(c.withheld, float64(n), cause)
	}
	for _, n := range s.Commands {
		o.counter(c.commands, float64(n.N), n.Command, n.Result)
	}
}

func (c *collector) collectCameras(o output, s Snapshot) {
	for name, cam := range s.State.Cameras {
		for _, state := range capture.States() {
			o.gauge(c.cameraState, truth(cam.State == string(state)), name, string(state))
		}
		if frames, ok := s.Frames[name]; ok { // not while a reload takes the camera away
			o.counter(c.cameraFrames, float64(frames), name)
		}
		for _, cause := range capture.DropCauses() {
			o.counter(c.cameraDropped, float64(cam.Drops[string(cause)]), name, string(cause))
		}
		for _, cause := range capture.FailureCauses() {
			o.counter(c.cameraFailures, float64(cam.Failures[string(cause)]), name, string(cause))
		}
		if cam.LastFrameAge != nil {
			o.gauge(c.cameraAge, *cam.LastFrameAge, name)
		}
	}
}

func (c *collector) collectWorkers(o output, s Snapshot) {
	for _, w := range s.State.Workers {
		for _, state := range supervisor.States() {
			o.gauge(c.workerState, truth(w.State == string(state)), w.Name, string(state))
		}
		o.gauge(c.workerGeneration, float64(w.Generation), w.Name)
		o.counter(c.workerRestarts, float64(w.Restarts), w.Name)
		o.gauge(c.workerMemory, float64(s.Resident[w.Name]), w.Name)
		o.gauge(c.workerActive, truth(w.Role == string(client.RoleActive)), w.Name)
		if m := w.Memory; m != nil {
			o.gauge(c.cgroupMemory, float64(m.Current), w.Name)
			o.gauge(c.cgroupPeak, float64(m.Peak), w.Name)
			o.gauge(c.cgroupPressure, m.Pressure/100, w.Name)
		}
	}
	if limits := s.State.Resources.Limits; limits != nil && limits.Memory > 0 {
		o.gauge(c.cgroupLimit, float64(limits.Memory))
	}
	o.counter(c.inferred, float64(s.Client.Results), "result")
	o.counter(c.inferred, float64(s.Client.Damaged), "damaged")
	o.counter(c.inferred, float64(s.Client.Failed), "failed")
	o.counter(c.inferred, float64(s.Client.Reclaimed), "reclaimed")
	o.counter(c.runs, float64(s.Client.Runs))
	o.gauge(c.inFlight, float64(s.Client.InFlight))
	for _, reason := range wire.Reasons() {
		o.counter(c.rejected, float64(s.Client.Rejected[reason]), string(reason))
	}
	o.counter(c.copying, s.Client.Copy.Seconds())
}

func (c *collector) collectMQTT(o output, s mqtt.Status) {
	o.gauge(c.connected, truth(s.Connected))
	o.counter(c.published, float64(s.Published))
	o.counter(c.dropped, float64(s.Dropped))
	o.gauge(c.queued, float64(s.Queued))
	o.counter(c.hangUps, float64(s.HangUps))
	b := s.Outbox
	o.counter(c.events, float64(b.Appended), "made")
	o.counter(c.events, float64(b.Acked), "acknowledged")
	o.gauge(c.eventsWaiting, float64(b.Depth))
	o.counter(c.eventsLost, float64(b.Dropped), "bound")
	o.counter(c.eventsLost, float64(b.Oversized), "oversized")
	o.counter(c.eventsLost, float64(b.Unreadable), "unreadable")
	o.gauge(c.outboxBytes, float64(b.Bytes))
	o.counter(c.outboxWritten, float64(b.Written))
	o.counter(c.outboxSyncs, float64(b.Syncs))
	o.counter(c.outboxDamaged, float64(b.Damaged))
}

func (c *collector) collectBest(o output, s bestview.Stats) {
	o.counter(c.best, float64(s.Published))
	for cause, n := range s.Dropped {
		o.counter(c.bestDropped, float64(n), cause)
	}
}

func (c *collector) collectLive(o output, s live.Stats) {
	o.gauge(c.viewers, float64(s.Viewers))
	o.counter(c.viewersDropped, float64(s.Dropped))
	o.counter(c.pictures, float64(s.Pictures))
	o.counter(c.picturesFailed, float64(s.Failed))
}

// output takes metrics.
type output chan<- prometheus.Metric

func (o output) gauge(d *prometheus.Desc, v float64, labels ...string) {
	o <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, valid(labels)...)
}

func (o output) counter(d *prometheus.Desc, v float64, labels ...string) {
	o <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, v, valid(labels)...)
}

// valid makes label values fit to be shown. Some come from outside: a worker, a configuration.
func valid(labels []string) []string {
	for i, label := range labels {
		labels[i] = strings.ToValidUTF8(label, "\uFFFD")
	}
	return labels
}

func truth(v bool) float64 {
	if v {
		return 1
	}
	return 0
}
