package infer

import (
	"strings"
	"testing"
)

func TestAcceleratorSettings(t *testing.T) {
	for _, c := range []struct {
		change func(*Config)
		want   string // the key; "" for none
	}{
		{func(*Config) {}, ""},
		{func(c *Config) { c.CUDA = CUDA{MemoryMiB: 1500, Arena: "same_as_requested", Search: "default"} }, ""},
		{func(c *Config) { c.TensorRT.Precision, c.TensorRT.DLA = "fp16", 0 }, ""},
		{func(c *Config) { c.TensorRT.Precision, c.TensorRT.Calibration = "int8", "/etc/t" }, ""},
		{func(c *Config) { c.CUDA.MemoryMiB = -1 }, "cuda.memory_mib"},
		{func(c *Config) { c.CUDA.Arena = "big" }, "cuda.arena"},
		{func(c *Config) { c.CUDA.Search = "EXHAUSTIVE" }, "cuda.search"},
		{func(c *Config) { c.CUDA.Graphs = true }, "cuda.graphs"},
		{func(c *Config) { c.TensorRT.Graphs = true }, "tensorrt.graphs"},
		{func(c *Config) { c.TensorRT.Precision = "fp8" }, "tensorrt.precision"},
		{func(c *Config) { c.TensorRT.Calibration = "/etc/t" }, "tensorrt.calibration"},
		{func(c *Config) { c.TensorRT.Precision, c.TensorRT.Calibration = "int8", "t" }, "tensorrt.calibration"},
		{func(c *Config) { c.TensorRT.NativeCalibration = true }, "tensorrt.native_calibration"},
		{func(c *Config) { c.TensorRT.DLA = 0 }, "tensorrt.dla"},
		{func(c *Config) { c.TensorRT.Level = 6 }, "tensorrt.level"},
	} {
		cfg := DefaultConfig()
		c.change(&cfg)
		var said []string
		cfg.Validate(func(path, problem string) { said = append(said, path+": "+problem) })
		if c.want == "" && len(said) > 0 || c.want != "" && (len(said) != 1 || !strings.HasPrefix(said[0], c.want+": ")) {
			t.Errorf("%+v %+v: %q, want one about %q", cfg.CUDA, cfg.TensorRT, said, c.want)
		}
	}
}
