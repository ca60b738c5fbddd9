package infer

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Validate tells report each mistake: the key, and what is wrong with its value. The limits are left to whoever sets them.
func (c Config) Validate(report func(path, problem string)) {
	if c.Model == "" {
		report("model", "a model is needed: a name in the store, or a path of an .onnx file")
	}
	if len(c.Providers) == 0 {
		report("providers", "at least one of tensorrt, cuda and cpu is needed")
	}
	for i, p := range c.Providers {
		if !slices.Contains([]string{"tensorrt", "cuda", "cpu"}, p) {
			report(fmt.Sprintf("providers[%d]", i), fmt.Sprintf("%q is none of tensorrt, cuda and cpu", p))
		}
	}
	oneOf(c.Fallback, "fallback", report, "fail", "cpu")
	oneOf(c.Unreapable, "unreapable", report, "degrade", "exit")
	oneOf(c.Preprocess, "preprocess", report, "host", "graph")
	if c.Preprocess == "graph" && slices.Contains(c.Providers, "tensorrt") {
		report("preprocess", "the conversion is put before the model when the first camera opens, which is no time to build an engine: "+
			"use cuda or host with tensorrt")
	}
	between(c.Accelerator, 0, 63, "accelerator", report)
	below := func(prefix string) func(path, problem string) {
		return func(path, problem string) { report(prefix+path, problem) }
	}
	c.CUDA.validate(below("cuda."))
	c.TensorRT.validate(below("tensorrt."))
	between(c.Workers, 1, 16, "workers", report)
	between(c.Threads, 0, 256, "threads", report)
	c.Batch.validate(c, below("batch."))
	for label, v := range c.Thresholds {
		if !(v >= 0 && v <= 1) {
			report("thresholds."+label, fmt.Sprintf("score %g is outside 0..1", v))
		}
	}
	for _, d := range []struct {
		key   string
		value time.Duration
	}{{"run", c.Deadlines.Run}, {"load", c.Deadlines.Load}, {"build", c.Deadlines.Build}} {
		if d.value < 100*time.Millisecond || d.value > 24*time.Hour {
			report("deadlines."+d.key, fmt.Sprintf("%v is outside 100ms to 24h", d.value))
		}
	}
}

func oneOf(value, path string, report func(path, problem string), allowed ...string) {
	if !slices.Contains(allowed, value) {
		report(path, fmt.Sprintf("%q is none of %s", value, strings.Join(allowed, ", ")))
	}
}

func between(value, least, most int, path string, report func(path, problem string)) {
	if value < least || value > most {
		report(path, fmt.Sprintf("%d is outside %d to %d", value, least, most))
	}
}
