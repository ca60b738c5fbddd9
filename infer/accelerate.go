package infer

import "path/filepath"

// CUDA sets ONNX Runtime's CUDA provider up. What is as the provider has it of itself is not passed on to it, so that older
// libraries, which lack some of it, serve. Nothing of it was run on a GPU.
type CUDA struct {
	MemoryMiB  int    `yaml:"memory_mib" json:"memory_mib"`   // most of the GPU's memory for the provider's arena; 0: no limit
	Arena      string `yaml:"arena" json:"arena"`             // how the arena grows: next_power_of_two | same_as_requested
	Search     string `yaml:"search" json:"search"`           // for a convolution's algorithm: exhaustive | heuristic | default
	Workspace  bool   `yaml:"workspace" json:"workspace"`     // convolutions may use as much scratch memory as is fastest
	CopyStream bool   `yaml:"copy_stream" json:"copy_stream"` // copies go on a stream of their own
	TF32       bool   `yaml:"tf32" json:"tf32"`               // float32 is multiplied with a mantissa of 10 bits where that is faster
	Graphs     bool   `yaml:"graphs" json:"graphs"`           // CUDA graphs: not there yet, see validate
}

// TensorRT sets ONNX Runtime's TensorRT provider up. Nothing of it was run on a GPU.
type TensorRT struct {
	Precision string `yaml:"precision" json:"precision"` // fp32 | fp16 | int8 (and fp16, where the table has no scale)
	// Calibration is the path of the table that int8 takes its scales from; empty for a model that has them itself (QDQ).
	Calibration       string `yaml:"calibration" json:"calibration"`
	NativeCalibration bool   `yaml:"native_calibration" json:"native_calibration"` // the table is TensorRT's own, not ONNX Runtime's
	DLA               int    `yaml:"dla" json:"dla"`                               // the core of the deep learning accelerator; -1: the GPU
	WorkspaceMiB      int    `yaml:"workspace_mib" json:"workspace_mib"`           // scratch memory of an engine; 0: as the provider has it
	Level             int    `yaml:"level" json:"level"`                           // how hard a build looks for speed: 0 to 5
	Graphs            bool   `yaml:"graphs" json:"graphs"`                         // CUDA graphs: not there yet, see validate
}

func defaultCUDA() CUDA {
	return CUDA{Arena: "next_power_of_two", Search: "exhaustive", Workspace: true, TF32: true}
}

// defaultTensorRT is the provider's own defaults: lower precision is somebody's explicit choice.
func defaultTensorRT() TensorRT { return TensorRT{Precision: "fp32", DLA: -1, Level: 3} }

// noGraphs is why a setting is refused that would give the first frame's detections for ever: a graph is replayed on the device's memory
// that it was recorded with, and an input in the host's memory is copied to other memory of the device whenever it is bound (onnx.Feed).
const noGraphs = "CUDA graphs replay on the memory of the first run, and this version's inputs are in the host's: leave it false"

func (c CUDA) validate(report func(path, problem string)) {
	between(c.MemoryMiB, 0, 1<<20, "memory_mib", report)
	oneOf(c.Arena, "arena", report, "next_power_of_two", "same_as_requested")
	oneOf(c.Search, "search", report, "exhaustive", "heuristic", "default")
	if c.Graphs {
		report("graphs", noGraphs)
	}
}

func (t TensorRT) validate(report func(path, problem string)) {
	oneOf(t.Precision, "precision", report, "fp32", "fp16", "int8")
	if t.Calibration != "" && t.Precision != "int8" {
		report("calibration", "a table is for precision: int8")
	}
	if t.Calibration != "" && !filepath.IsAbs(t.Calibration) {
		report("calibration", "the table's path must be absolute")
	}
	if t.NativeCalibration && t.Calibration == "" {
		report("native_calibration", "there is no table: name it in calibration")
	}
	between(t.DLA, -1, 15, "dla", report)
	if t.DLA >= 0 && t.Precision == "fp32" {
		report("dla", "the accelerator knows no fp32: set precision to fp16 or int8")
	}
	between(t.WorkspaceMiB, 0, 1<<20, "workspace_mib", report)
	between(t.Level, 0, 5, "level", report)
	if t.Graphs {
		report("graphs", noGraphs)
	}
}
