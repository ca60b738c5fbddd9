package bench_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"vedette/cmd/vedette/internal/bench"
)

const root = "../../../.."

// needed gives a file that the set-up makes.
func needed(t *testing.T, variable, otherwise string) string {
	t.Helper()
	path := os.Getenv(variable)
	if path == "" {
		path = filepath.Join(root, otherwise)
	}
	path, err := filepath.Abs(path)
	if err == nil {
		_, err = os.Stat(path)
	}
	if err != nil {
		t.Fatalf("%v: run make setup, or set %s", err, variable)
	}
	return path
}

func build(t *testing.T) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "vedette")
	if out, err := exec.Command("go", "build", "-o", binary, "vedette/cmd/vedette").CombinedOutput(); err != nil {
		t.Fatalf("cannot build vedette: %v\n%s", err, out)
	}
	return binary
}

// The whole measurement with short blocks: that figures are there and agree with each other, not how good they are.
func TestBench(t *testing.T) {
	runtimeLibrary := needed(t, "VEDETTE_ONNXRUNTIME", "build/onnxruntime/"+runtime.GOARCH+"/libonnxruntime.so")
	model := needed(t, "VEDETTE_MODEL", "build/models/coco.onnx")
	cmd := exec.CommandContext(t.Context(), build(t), "bench", "--json", "--model", model,
		"--blocks", "3", "--block", "300ms", "--threads", "1", "--workers", "2", "--size", "640x360",
		"--kill", "2")
	cmd.Env = append(os.Environ(), "VEDETTE_ONNXRUNTIME="+runtimeLibrary)
	began := time.Now()
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, err.(*exec.ExitError).Stderr) //nolint:errorlint,forcetypeassert // Output's only errors
	}
	var r bench.Report
	if err := json.Unmarshal(out, &r); err != nil {
		t.Fatalf("%v in %s", err, out)
	}
	if r.Raw.FPS <= 0 || r.Pipeline.FPS <= 0 || r.Frames == 0 {
		t.Errorf("a loop stood still: %s", out)
	}
	if s := r.RatioSpread; s.Min > r.Ratio || r.Ratio > s.Max || s.P25 > s.P75 || s.Min <= 0 {
		t.Errorf("ratio %g does not lie in %+v", r.Ratio, s)
	}
	// Throughput times CPU time cannot be more than the machine has.
	if busy := r.Pipeline.FPS * (r.CPU.Parent + r.CPU.Child) / 1000; busy > 1.5*float64(r.Machine.Cores) {
		t.Errorf("%g cores were busy of %d: %s", busy, r.Machine.Cores, out)
	}
	if r.CPU.Parent <= 0 || r.CPU.Child <= r.CPU.Preprocess || r.CPU.Infer <= r.CPU.Decode {
		t.Errorf("CPU times do not add up: %+v", r.CPU)
	}
	if r.Latency.Samples < 1 || r.Latency.P50 <= 0 || r.Latency.P50 > r.Latency.P99 {
		t.Errorf("latency is %+v", r.Latency)
	}
	if m := r.Memory; m.Ring < 1 || m.Parent < 5 || m.Child < m.Parent || m.Parent > 200 {
		t.Errorf("memory is %+v: frames of the measurement itself must not count", m)
	}
	if r.FirstDetection == nil || *r.FirstDetection <= 0 || *r.FirstDetection > time.Since(began).Seconds() {
		t.Errorf("first detection: %v", r.FirstDetection)
	}
	// How long the gaps and the loads are depends on the machine, and a busy one changes from one to the other.
	k := r.Recovery
	if k == nil || k.Kills != 2 || k.WithoutSpare.BeyondLoadMedian == nil || k.WithSpare.BeyondLoadMedian != nil {
		t.Fatalf("recovery is %+v: %s", k, out)
	}
	for _, g := range []bench.Gap{k.WithoutSpare, k.WithSpare} {
		if g.Median <= 0 || g.Median > g.Worst || g.LoadMedian <= 0 || g.LoadMedian > g.LoadWorst {
			t.Errorf("gap is %+v", g)
		}
	}
	if len(r.Drops) != 0 || r.Restarts != 0 {
		t.Errorf("lost %v, %d restarts: the pipeline was to wait", r.Drops, r.Restarts)
	}
	if r.Threads != 1 || r.Workers != 2 || r.Size != "640x360" || r.Machine.Kernel == "" {
		t.Errorf("the report does not say what was measured: %s", out)
	}
}

func TestBenchSaysWhyItCannotRun(t *testing.T) {
	text := filepath.Join(t.TempDir(), "text.onnx")
	if err := os.WriteFile(text, []byte("this is no model"), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), build(t), "bench", bench.RawCommand, "--model", text)
	cmd.Env = append(os.Environ(), "VEDETTE_ONNXRUNTIME="+
		needed(t, "VEDETTE_ONNXRUNTIME", "build/onnxruntime/"+runtime.GOARCH+"/libonnxruntime.so"))
	out, err := cmd.CombinedOutput()
	if err == nil || len(out) == 0 {
		t.Errorf("a bare session of no model ended with %v, saying %q", err, out)
	}
}
