package bench

// Report is what `vedette bench --json` prints. Its names are stable. Figures of blocks are medians over the blocks.
type Report struct {
	Model   string  `json:"model"`   // path of the .onnx file
	Threads int     `json:"threads"` // of one session, in both loops
	Workers int     `json:"workers"` // processes with a session each, in both loops
	Size    string  `json:"size"`    // of a frame, as "1280x720"
	Format  string  `json:"format"`  // of a frame's pixels
	Blocks  int     `json:"blocks"`  // of each loop, in turn
	Block   float64 `json:"block_s"` // how long one lasts

	Raw      Rate `json:"raw"`      // the bare ONNX Runtime session, run over and over
	Pipeline Rate `json:"pipeline"` // from the scene to a message that was handed over for publication
	// Ratio is the median over the blocks of pipeline.fps / raw.fps, each with its neighbour in time.
	Ratio       float64 `json:"ratio"`
	RatioSpread Spread  `json:"ratio_spread"`

	CPU     CPU     `json:"cpu_ms_per_frame"`
	Latency Latency `json:"added_latency_ms"`
	// Watched is absent where nobody was to watch.
	Watched *Watched `json:"watched,omitempty"`
	Memory  Memory   `json:"rss_mib"`

	// FirstDetection runs from the exec of a `vedette demo` of its own with this model to the first message with a
	// detection, received over MQTT by a subscriber. Absent where none came within a minute.
	FirstDetection *float64 `json:"first_detection_s,omitempty"`

	// Recovery is absent where no worker was to be killed.
	Recovery *Recovery `json:"recovery,omitempty"`

	Frames   uint64            `json:"frames"`   // that went through the pipeline
	Drops    map[string]uint64 `json:"drops"`    // frames and messages that were lost on the way, by cause; empty: none
	Restarts uint64            `json:"restarts"` // of workers: where there are any, the other figures mean nothing

	Machine Machine `json:"machine"`
}

// Rate is a throughput, of all workers together.
type Rate struct {
	FPS float64 `json:"fps"` // frames a second
}

// Spread says how far apart the blocks lie.
type Spread struct {
	Min float64 `json:"min"`
	P25 float64 `json:"p25"`
	P75 float64 `json:"p75"`
	Max float64 `json:"max"`
}

// CPU is where the processors' time goes, in milliseconds for one frame. Parent, Child, Raw and OutsideSession are CPU
// time of whole processes, over all their threads. Preprocess, Infer and Decode are the worker's own stopwatch: wall time, which
// is CPU time as far as the stage has one thread and nobody takes the processor away; of a session of several threads Infer is less
// than the CPU time that it takes.
type CPU struct {
	Parent     float64 `json:"parent"` // capture, copy, scheduling, messages and the embedded broker
	Preprocess float64 `json:"preprocess"`
	Infer      float64 `json:"infer"`
	Decode     float64 `json:"decode"`
	Child      float64 `json:"child"` // all workers: preprocess, infer, decode and the talk with the parent
	Raw        float64 `json:"raw"`   // one run of the bare session
	// OutsideSession is Parent + Child - Raw, block by block: what the pipeline costs beyond the model.
	OutsideSession float64 `json:"outside_session"`
}

// Latency is how much later than the session's own run a frame is done: from its capture until its message has been
// handed over for publication, less Timings.Infer, in milliseconds. Frames come at half the rate that one bare session
// reaches, and never two at a time; the first of each block is not counted.
type Latency struct {
	P50     float64 `json:"p50"`
	P99     float64 `json:"p99"`
	Samples int     `json:"samples"`
}

// Recovery is how soon detections are back after the only active worker is killed (SIGKILL) at a random moment, with a
// camera of Rate frames a second.
type Recovery struct {
	Kills        int     `json:"kills"` // of each kind
	Rate         float64 `json:"fps"`
	WithoutSpare Gap     `json:"without_spare"`
	WithSpare    Gap     `json:"with_spare"`
}

// Gap is the time from a kill to the next detection that has been handed over for publication, beside the time that the
// worker that made it had taken to load its model: from the order to do so to the end of the first run. In milliseconds.
type Gap struct {
	Median     float64 `json:"median_ms"`
	Worst      float64 `json:"worst_ms"`
	LoadMedian float64 `json:"load_median_ms"`
	LoadWorst  float64 `json:"load_worst_ms"`
	// BeyondLoad is gap less load, kill by kill; absent with a spare, which has loaded before.
	BeyondLoadMedian *float64 `json:"beyond_load_median_ms,omitempty"`
	BeyondLoadWorst  *float64 `json:"beyond_load_worst_ms,omitempty"`
}

// Memory is the most resident memory that a process had since the pipeline started (VmHWM), in MiB, without shared
// frames: the ring is the configuration's choice, and is told apart.
type Memory struct {
	Parent float64 `json:"parent"`
	Child  float64 `json:"child"` // of the largest worker
	Ring   float64 `json:"ring"`  // of one process; the same memory in both
}

// Machine is what the figures were measured on.
type Machine struct {
	CPU       string  `json:"cpu"`
	Cores     int     `json:"cores"` // that this process may use
	MemoryMiB int64   `json:"memory_mib"`
	Kernel    string  `json:"kernel"`
	Load      float64 `json:"load"` // of one minute, before the measurement: what else was running
}
