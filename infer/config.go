package infer

import (
	"maps"
	"time"
)

// Config is the `infer` section of the configuration.
type Config struct {
	Model       string   `yaml:"model"`     // a name in the store, or a path
	Runtime     string   `yaml:"runtime"`   // path of libonnxruntime.so; empty: search
	Providers   []string `yaml:"providers"` // in order: tensorrt, cuda, cpu
	Fallback    string   `yaml:"fallback"`  // fail | cpu
	Accelerator int      `yaml:"accelerator"`
	CUDA        CUDA     `yaml:"cuda"`
	TensorRT    TensorRT `yaml:"tensorrt"`
	Workers     int      `yaml:"workers"`
	Threads     int      `yaml:"threads"` // of one session; 0: the best for this machine
	Batch       Batch    `yaml:"batch"`
	Spare       bool     `yaml:"spare"`
	Preprocess  string   `yaml:"preprocess"` // host | graph
	// Unreapable says what to do when a worker sleeps in the kernel and SIGKILL does not end it: degrade (go on without it)
	// or exit (with code 75, so that the service manager may reboot the board).
	Unreapable string     `yaml:"unreapable"`
	Thresholds Thresholds `yaml:"thresholds"`
	Deadlines  Deadlines  `yaml:"deadlines"`
	Limits     Limits     `yaml:"limits"`
}

// Thresholds are the least scores that count, by label; the key "default" serves every label without its own.
type Thresholds map[string]float32

// rest is the key that serves every label without its own.
const rest = "default"

// UnmarshalYAML adds to what earlier layers of the configuration have: a threshold for one label leaves the others.
func (t *Thresholds) UnmarshalYAML(unmarshal func(any) error) error {
	var added map[string]float32
	if err := unmarshal(&added); err != nil {
		return err
	}
	whole := Thresholds{}
	maps.Copy(whole, *t)
	maps.Copy(whole, added)
	*t = whole
	return nil
}

// For gives a label's threshold.
func (t Thresholds) For(label string) float32 {
	if v, ok := t[label]; ok {
		return v
	}
	return t[rest]
}

// Over lays the configuration's thresholds over those that a model's manifest has: what t says of a label comes before what the
// manifest says of it, then the manifest's default, then t's.
func (t Thresholds) Over(manifest Thresholds) Thresholds {
	whole := Thresholds{}
	maps.Copy(whole, t)
	maps.Copy(whole, manifest)
	for label, v := range t {
		if label != rest {
			whole[label] = v
		}
	}
	return whole
}

// AtMost lowers every threshold that is above low to it.
func (t Thresholds) AtMost(low float32) Thresholds {
	lowered := Thresholds{}
	for label, v := range t {
		lowered[label] = min(v, low)
	}
	return lowered
}

// Deadlines bound what a worker may take.
type Deadlines struct {
	Run   time.Duration `yaml:"run"`   // one frame, or a batch of them
	Load  time.Duration `yaml:"load"`  // a model
	Build time.Duration `yaml:"build"` // a TensorRT engine
}

// Limits bound what a worker may use.
type Limits struct {
	Memory string `yaml:"memory"` // bytes with a unit, or a percentage of the machine's; empty: no limit
	CPU    string `yaml:"cpu"`    // cores, or a percentage; empty: no limit
	CPUSet string `yaml:"cpuset"` // as the kernel writes it, "0-2,5"; empty: every one
	PIDs   int    `yaml:"pids"`   // processes and threads; 0: no limit
}

// DefaultConfig is what holds where the configuration is silent.
func DefaultConfig() Config {
	return Config{
		Model:      "coco",
		Providers:  []string{"cpu"},
		Fallback:   "fail",
		CUDA:       defaultCUDA(),
		TensorRT:   defaultTensorRT(),
		Workers:    1,
		Batch:      Batch{Max: 1, Wait: 10 * time.Millisecond},
		Preprocess: "host",
		Unreapable: "degrade",
		Thresholds: Thresholds{"default": 0.4},
		Deadlines:  Deadlines{Run: 5 * time.Second, Load: time.Minute, Build: 30 * time.Minute},
		Limits:     Limits{Memory: "60%", PIDs: 64},
	}
}
