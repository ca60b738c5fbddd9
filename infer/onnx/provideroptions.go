package onnx

import (
	"path/filepath"
	"strconv"

	"vedette/infer"
)

// calibrationName is the calibration table's in the folder of engines: the provider looks for it there alone.
const calibrationName = "calibration.table"

// cudaOptions are settings in the words of
// https://onnxruntime.ai/docs/execution-providers/CUDA-ExecutionProvider.html#configuration-options. What the provider has of itself
// is left out: an older library knows fewer words.
func cudaOptions(c infer.CUDA) map[string]string {
	o := map[string]string{}
	if c.MemoryMiB > 0 {
		o["gpu_mem_limit"] = mebibytes(c.MemoryMiB)
	}
	if c.Arena == "same_as_requested" {
		o["arena_extend_strategy"] = "kSameAsRequested"
	}
	switch c.Search {
	case "heuristic":
		o["cudnn_conv_algo_search"] = "HEURISTIC"
	case "default":
		o["cudnn_conv_algo_search"] = "DEFAULT"
	}
	if !c.Workspace {
		o["cudnn_conv_use_max_workspace"] = "0"
	}
	if c.CopyStream {
		o["do_copy_in_default_stream"] = "0"
	}
	if !c.TF32 {
		o["use_tf32"] = "0"
	}
	return o
}

// tensorRTOptions are settings in the words of
// https://onnxruntime.ai/docs/execution-providers/TensorRT-ExecutionProvider.html#configurations.
func tensorRTOptions(t infer.TensorRT, engines string) map[string]string {
	o := map[string]string{}
	switch t.Precision {
	case "fp16":
		o["trt_fp16_enable"] = "1"
	case "int8": // what the table has no scale for takes fp16
		o["trt_fp16_enable"], o["trt_int8_enable"] = "1", "1"
	}
	if t.Calibration != "" {
		o["trt_int8_calibration_table_name"] = calibrationName
	}
	if t.NativeCalibration {
		o["trt_int8_use_native_calibration_table"] = "1"
	}
	if t.DLA >= 0 {
		o["trt_dla_enable"], o["trt_dla_core"] = "1", strconv.Itoa(t.DLA)
	}
	if t.WorkspaceMiB > 0 {
		o["trt_max_workspace_size"] = mebibytes(t.WorkspaceMiB)
	}
	if t.Level != 3 {
		o["trt_builder_optimization_level"] = strconv.Itoa(t.Level)
	}
	if engines != "" {
		o["trt_engine_cache_enable"], o["trt_engine_cache_path"] = "1", engines
		// Beside the engines' folders: how long a kernel takes does not depend on the model.
		o["trt_timing_cache_enable"], o["trt_timing_cache_path"] = "1", filepath.Dir(engines)
	}
	return o
}

func mebibytes(n int) string { return strconv.FormatInt(int64(n)<<20, 10) }
