package onnx

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	ort "github.com/yalue/onnxruntime_go"

	"vedette/infer"
)

func TestProvidersAsTheyAreNeedNoOptions(t *testing.T) {
	c := infer.DefaultConfig()
	if o := cudaOptions(c.CUDA); len(o) != 0 {
		t.Errorf("CUDA as it is: %v", o)
	}
	if o := tensorRTOptions(c.TensorRT, ""); len(o) != 0 {
		t.Errorf("TensorRT as it is: %v", o)
	}
}

func everyOption() (infer.CUDA, infer.TensorRT) {
	return infer.CUDA{MemoryMiB: 1500, Arena: "same_as_requested", Search: "heuristic", CopyStream: true},
		infer.TensorRT{
			Precision: "int8", Calibration: "/etc/vedette/yard.table", NativeCalibration: true, DLA: 1, WorkspaceMiB: 512, Level: 5,
		}
}

func TestProviderOptions(t *testing.T) {
	cuda, tensorrt := everyOption()
	if got, want := cudaOptions(cuda), map[string]string{
		"gpu_mem_limit": "1572864000", "arena_extend_strategy": "kSameAsRequested", "cudnn_conv_algo_search": "HEURISTIC",
		"cudnn_conv_use_max_workspace": "0", "do_copy_in_default_stream": "0", "use_tf32": "0",
	}; !maps.Equal(got, want) {
		t.Errorf("CUDA: %v\nwant %v", got, want)
	}
	if got, want := tensorRTOptions(tensorrt, "/var/lib/vedette/cache/engines/ab"), map[string]string{
		"trt_fp16_enable": "1", "trt_int8_enable": "1", "trt_int8_calibration_table_name": "calibration.table",
		"trt_int8_use_native_calibration_table": "1", "trt_dla_enable": "1", "trt_dla_core": "1", "trt_max_workspace_size": "536870912",
		"trt_builder_optimization_level": "5", "trt_engine_cache_enable": "1",
		"trt_engine_cache_path":   "/var/lib/vedette/cache/engines/ab",
		"trt_timing_cache_enable": "1", "trt_timing_cache_path": "/var/lib/vedette/cache/engines",
	}; !maps.Equal(got, want) {
		t.Errorf("TensorRT: %v\nwant %v", got, want)
	}
}

// The real providers' own word on the names: VEDETTE_GPU_RUNTIME is a library that has them beside it, with what they need to be
// loaded (test/providers/run makes such a folder on a machine without a GPU).
func TestProvidersKnowTheOptions(t *testing.T) {
	path := os.Getenv("VEDETTE_GPU_RUNTIME")
	if path == "" {
		t.Skip("VEDETTE_GPU_RUNTIME names no ONNX Runtime with CUDA and TensorRT")
	}
	if err := load(Candidate{Path: path}); err != nil {
		t.Fatal(err)
	}
	c, r := everyOption()
	update := map[string]func(map[string]string) error{
		CUDA: func(settings map[string]string) error {
			o, err := ort.NewCUDAProviderOptions()
			if err != nil {
				t.Fatal(err)
			}
			defer destroy(o)
			return o.Update(settings)
		},
		TensorRT: func(settings map[string]string) error {
			o, err := ort.NewTensorRTProviderOptions()
			if err != nil {
				t.Fatal(err)
			}
			defer destroy(o)
			return o.Update(settings)
		},
	}
	for provider, settings := range map[string]map[string]string{CUDA: cudaOptions(c), TensorRT: tensorRTOptions(r, t.TempDir()+"/x")} {
		settings["device_id"] = "0"
		if err := update[provider](settings); err != nil {
			t.Errorf("%s does not take %v: %v", provider, settings, err)
		}
		if err := update[provider](map[string]string{"no_such_option": "1"}); err == nil {
			t.Errorf("%s takes an option that nobody knows", provider)
		}
	}
}

func TestAnEngineIsForOneMachineAndModel(t *testing.T) {
	e := Engine{
		Model: "aa", Shapes: map[string][]int64{"images": {1, 3, 640, 640}}, Settings: infer.DefaultConfig().TensorRT, Runtime: "1.23.2",
		TensorRT: "10.3.0", L4T: "# R36 (release), REVISION: 4.3", Driver: 12060, Device: "Orin", Compute: "8.7",
	}
	folders := []string{e.Folder("/c")}
	for _, change := range []func(*Engine){
		func(e *Engine) { e.Model = "ab" },
		func(e *Engine) { e.Shapes = map[string][]int64{"images": {1, 3, 384, 640}} },
		func(e *Engine) { e.Settings.Precision = "fp16" },
		func(e *Engine) { e.Settings.DLA = 0 },
		func(e *Engine) { e.Calibration = "cc" },
		func(e *Engine) { e.Runtime = "1.24.0" },
		func(e *Engine) { e.TensorRT = "10.7.0" },
		func(e *Engine) { e.L4T = "# R36 (release), REVISION: 5.0" },
		func(e *Engine) { e.Driver = 12090 },
		func(e *Engine) { e.Compute = "8.6" },
	} {
		other := e
		change(&other)
		if folder := other.Folder("/c"); slices.Contains(folders, folder) {
			t.Errorf("%+v has another's folder", other)
		} else {
			folders = append(folders, folder)
		}
	}
	if again := e.Folder("/c"); again != folders[0] {
		t.Error("the same engine has two folders")
	}
}

func TestAnEngineIsBuiltToTheEndOrNot(t *testing.T) {
	table := filepath.Join(t.TempDir(), "yard.table")
	if err := os.WriteFile(table, []byte("scales"), 0o600); err != nil {
		t.Fatal(err)
	}
	e := Engine{Settings: infer.TensorRT{Precision: "int8", Calibration: table}}
	folder := e.Folder(filepath.Join(t.TempDir(), "engines"))
	if err := e.Prepare(folder); err != nil {
		t.Fatal(err)
	}
	if copied, err := os.ReadFile(filepath.Join(folder, calibrationName)); err != nil || string(copied) != "scales" {
		t.Errorf("the provider finds the table %q, %v", copied, err)
	}
	if e.Built(folder) {
		t.Error("an engine that was begun counts as built")
	}
	if err := e.Note(folder); err != nil || !e.Built(folder) {
		t.Errorf("an engine that was built does not count: %v", err)
	}
	e.Settings.Calibration = table + "x"
	if err := e.Prepare(folder); err == nil || !strings.Contains(err.Error(), "yard.tablex") {
		t.Errorf("a table that is not there gives %v", err)
	}
}

func TestNoDriverIsSaid(t *testing.T) {
	var e Engine
	for library, want := range map[string]string{
		"/nowhere/libcuda.so.1": "/nowhere/libcuda.so.1: cannot open shared object file", "libm.so.6": "it is not NVIDIA's driver",
	} {
		if err := e.askDevice(library, 0); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s gives %v: want %q", library, err, want)
		}
	}
}

func TestNodesAreCountedWhereTheyRun(t *testing.T) {
	for _, options := range []Options{{}, {Providers: []string{CUDA}, Fallback: FallbackCPU}} {
		options.Model = "testdata/pick.onnx"
		s := open(t, options)
		if n := s.Nodes(); len(n) != 1 || n[CPU] < 1 {
			t.Errorf("%v: nodes %v: want some on the CPU, and no others", options.Providers, n)
		}
	}
}
