package payload

// State is the one document that says how a device is: MQTT's state topic and `vedette doctor --json` carry it.
type State struct {
	V         int               `json:"v"`
	Time      Time              `json:"time"`
	Clock     Clock             `json:"clock"`
	Version   string            `json:"version"`
	Device    string            `json:"device"`
	BootID    string            `json:"boot_id"`
	Uptime    float64           `json:"uptime_s"` // of the service
	Worker    Worker            `json:"worker"`   // of a pool, the active one that is worst off
	Workers   []Worker          `json:"workers"`  // every one of the pool, and the spare
	Cameras   map[string]Camera `json:"cameras"`
	Outbox    Outbox            `json:"outbox"`
	Resources Resources         `json:"resources"`
	Degraded  []Degradation     `json:"degraded"` // what is not as configured; empty when all is well
}

// Worker is an inference process.
type Worker struct {
	Name       string `json:"name"`
	State      string `json:"state"`
	Role       string `json:"role"` // active: it gets frames; standby: while ready, it takes an active one's place at once
	Generation uint64 `json:"generation"`
	Restarts   uint64 `json:"restarts"`
	Provider   string `json:"provider,omitempty"` // the execution provider that runs the model
	Degraded   string `json:"degraded,omitempty"` // why a provider that was asked for is not in use
	// Nodes counts the optimised graph's nodes by the provider that they run on; TensorRT makes one node of many.
	Nodes     map[string]int `json:"nodes,omitempty"`
	Runtime   string         `json:"runtime,omitempty"` // ONNX Runtime's version
	Model     *Model         `json:"model,omitempty"`
	LastFault *Fault         `json:"last_fault,omitempty"`
	PID       int            `json:"pid,omitempty"`
	// Memory is what its cgroup has used; missing where it has none.
	Memory *Memory `json:"memory,omitempty"`
}

// Memory is a cgroup's.
type Memory struct {
	Current  int64   `json:"current_bytes"`
	Peak     int64   `json:"peak_bytes"`
	Pressure float64 `json:"pressure_percent"` // of the last 10 s, in which a process waited for memory
}

// Model is what a worker runs.
type Model struct {
	Name   string `json:"name"`
	SHA256 string `json:"sha256"`
	Family string `json:"family"`
}

// Camera is one configured camera.
type Camera struct {
	State        string            `json:"state"`
	Disabled     bool              `json:"disabled,omitempty"` // by the configuration
	Source       string            `json:"source"`
	Format       string            `json:"format,omitempty"` // of the pixels
	Width        int               `json:"width,omitempty"`
	Height       int               `json:"height,omitempty"`
	FPS          float64           `json:"fps"` // frames captured a second
	Drops        map[string]uint64 `json:"drops"`
	Failures     map[string]uint64 `json:"failures"` // how often it was lost or could not be opened, by cause
	LastFrameAge *float64          `json:"last_frame_age_s,omitempty"`
	LastError    string            `json:"last_error,omitempty"`
}

// Outbox is what waits for the broker: events and faults.
type Outbox struct {
	Depth   int    `json:"depth"`
	Dropped uint64 `json:"dropped"` // that were given up
	Bytes   int64  `json:"bytes"`   // on the disk
	Damaged uint64 `json:"damaged"` // stretches of the disk that could not be read
	// Epoch is what this life's messages count up in.
	Epoch string `json:"epoch"`
	// Written is how much the disk takes in a day, at the rate since the start.
	Written float64 `json:"written_mib_per_day"`
}

// Resources is what the service uses.
type Resources struct {
	ParentRSS   int64    `json:"parent_rss_bytes"`
	ChildRSS    int64    `json:"child_rss_bytes"` // of all workers
	Temperature *float64 `json:"temperature_c,omitempty"`
	// Limits bound each worker; missing where nothing does.
	Limits *Limits `json:"limits,omitempty"`
}

// Limits are a worker's, by its cgroup. 0 and empty are no limit.
type Limits struct {
	Controllers []string `json:"controllers"` // that the service may use
	Memory      int64    `json:"memory_bytes,omitempty"`
	CPU         float64  `json:"cpu_cores,omitempty"`
	CPUSet      string   `json:"cpuset,omitempty"`
	PIDs        int      `json:"pids,omitempty"`
}

// Degradation is one thing that is not as configured.
type Degradation struct {
	What   string `json:"what"`
	Why    string `json:"why"`
	Remedy string `json:"remedy"`
}

// Fault is a worker's failure.
type Fault struct {
	V          int      `json:"v"`
	Epoch      string   `json:"epoch,omitempty"` // of the message, as Seq: missing where it is no message of its own
	Seq        uint64   `json:"seq,omitempty"`
	Time       Time     `json:"time"`
	Clock      Clock    `json:"clock"`
	Process    string   `json:"process"`
	Kind       string   `json:"kind"`
	Exception  string   `json:"exception,omitempty"` // what was thrown, such as "runtime error" or "SIGSEGV"
	Message    string   `json:"message"`
	Traceback  string   `json:"traceback,omitempty"`
	Generation uint64   `json:"generation"`
	ExitCode   int      `json:"exit_code"`        // -1 when a signal ended it
	Signal     string   `json:"signal,omitempty"` // such as SIGKILL
	Uptime     float64  `json:"uptime_s"`
	PeakRSS    int64    `json:"peak_rss_bytes"`
	LastLog    []string `json:"last_log,omitempty"`
}

// Healths.
const (
	HealthGood    = "good"
	HealthPending = "pending" // it has not come up yet, and may
	HealthBad     = "bad"
)

// Health says in one word whether a device does its work: what an update is kept or taken back by.
type Health struct {
	V       int      `json:"v"`
	Health  string   `json:"health"`
	Reasons []string `json:"reasons"` // why it is not good, in plain words; empty where it is
	// Building is while an engine is built for the accelerator, which takes minutes and is no reason to wait any shorter for
	// the rest. The build has a deadline of its own.
	Building bool `json:"building,omitempty"`
}
