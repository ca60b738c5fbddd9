package pipeline

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"vedette/capture"
	"vedette/cmd/vedette/internal/config"
	"vedette/infer"
	"vedette/infer/client"
	"vedette/infer/onnx"
	"vedette/infer/wire"
	"vedette/mqtt/mqtttest"
	"vedette/supervisor"
	"vedette/supervisor/notify"
)

// builtFile is what a test makes in the workers' cache when an engine is to be there.
const builtFile = "built"

// buildingWorker is a worker that sees nothing in any frame. Where TensorRT is its first provider it builds until a test says that
// the engine is built: no machine that this was written on has a GPU.
func buildingWorker() error {
	conn, err := wire.NewConn(os.NewFile(ControlFD, "control"))
	if err != nil {
		return err
	}
	defer conn.Close()
	m, _, err := conn.Receive(time.Time{})
	if err != nil {
		return err
	}
	load, ok := m.(*wire.Load)
	if !ok {
		return fmt.Errorf("the first message is a %T", m)
	}
	beat := func(stage wire.Stage) error {
		return conn.Send(time.Now().Add(time.Minute), &wire.Heartbeat{Generation: load.Generation, Stage: stage})
	}
	if load.Providers[0] == onnx.TensorRT {
		for {
			if _, err := os.Stat(filepath.Join(load.Cache, builtFile)); err == nil {
				break
			}
			if err := beat(wire.StageBuilding); err != nil {
				return err
			}
			time.Sleep(10 * time.Millisecond)
		}
	}
	model := infer.Model{Name: "none", Family: "centernet", Labels: []string{"person"}, Provider: load.Providers[0]}
	hello := &wire.Hello{Generation: load.Generation, Protocol: wire.ProtocolVersion, PID: os.Getpid(), Model: model}
	if err := conn.Send(time.Now().Add(time.Minute), hello); err != nil {
		return err
	}
	go func() {
		for beat(wire.StageReady) == nil {
			time.Sleep(100 * time.Millisecond)
		}
	}()
	for {
		m, files, err := conn.Receive(time.Time{})
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		for _, file := range files {
			_ = file.Close()
		}
		switch m := m.(type) {
		case *wire.Frames:
			for _, r := range m.Records {
				answer := &wire.Result{Generation: load.Generation, Stream: r.Stream, Slot: r.Slot, Sequence: r.Sequence}
				if err := conn.Send(time.Now().Add(time.Minute), answer); err != nil {
					return err
				}
			}
		case *wire.Shutdown:
			return conn.Send(time.Now().Add(time.Minute), &wire.Goodbye{Generation: load.Generation})
		}
	}
}

// CUDA serves while TensorRT's engine is built, and gives way to it without a frame lost.
func TestCUDAServesWhileAnEngineIsBuilt(t *testing.T) {
	folder := t.TempDir()
	cfg := config.Default()
	cfg.StateDir, cfg.Infer.Model = folder, file(t, folder, "models/none.onnx")
	cfg.Infer.Providers = []string{onnx.TensorRT, onnx.CUDA, "cpu"}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	logger := slog.New(slog.DiscardHandler)
	c := client.New(client.Options{HeartbeatTimeout: time.Minute}, logger)
	var faults sync.Map
	w, err := newWorkers(workerOptions{
		config: cfg, executable: self, client: c, policy: supervisor.DefaultPolicy(), standIn: wantsStandIn(cfg.Infer),
		fault:    func(f supervisor.Fault) { faults.Store(f.Generation, f) },
		changed:  func(supervisor.Status) {},
		watchdog: notify.NewWatchdog(notify.WatchdogOptions{}), logger: logger,
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() {
		if err := w.run(ctx); err != nil {
			t.Error(err)
		}
	})
	defer func() {
		stop()
		running.Wait()
		faults.Range(func(_, f any) bool {
			t.Errorf("a worker failed: %+v", f)
			return true
		})
	}()

	var mu sync.Mutex // guards served
	var served []string
	stream, err := c.OpenStream(client.StreamOptions{
		Name: "yard", Format: capture.Format{Pixel: capture.Grey, Width: 8, Height: 8, Stride: 8, SizeImage: 64}, Region: [4]float64{0, 0, 1, 1},
		Handle: func(r *client.Result) {
			mu.Lock()
			defer mu.Unlock()
			served = append(served, r.Model.Provider)
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	submitted := 0
	submitUntil := func(what string, there func() bool) {
		t.Helper()
		if !mqtttest.Eventually(func() bool {
			submitted++
			frame := capture.NewFrame(make([]byte, 64), uint32(submitted), wire.Monotonic(), time.Now(), nil)
			if err := stream.Submit(ctx, frame); err != nil {
				t.Fatal(err)
			}
			return there()
		}) {
			t.Fatalf("%s: never, in %d frames", what, submitted)
		}
	}
	by := func(provider string) func() bool {
		return func() bool {
			mu.Lock()
			defer mu.Unlock()
			return slices.Contains(served, provider)
		}
	}
	submitUntil("CUDA serves", by(onnx.CUDA))
	if state := w.supervisors[0].Status().State; state != supervisor.Building {
		t.Errorf("meanwhile the worker is %s", state)
	}
	if model := w.model(); model == nil || model.Provider != onnx.CUDA {
		t.Errorf("the model in use is %+v", model)
	}
	if seen := w.seen(); len(seen) != 1 || seen[0].state != supervisor.Building || w.startedWith(standInName) != "" {
		t.Errorf("a model's trial sees %+v, and %q against it", seen, w.startedWith(standInName))
	}
	file(t, cacheFolder(cfg), builtFile)
	submitUntil("TensorRT serves", by(onnx.TensorRT))
	submitUntil("the stand-in ends", func() bool { return w.supervisors[w.standIn].Status().State == supervisor.Stopped })
	if model := w.model(); model.Provider != onnx.TensorRT {
		t.Errorf("the model in use is %+v", model)
	}
	if err := errors.Join(stream.Drain(ctx), stream.Close()); err != nil {
		t.Error(err)
	}
	if n := len(served); n != submitted || len(stream.Drops()) > 0 {
		t.Errorf("%d of %d frames were served; dropped: %v", n, submitted, stream.Drops())
	}
	if order := slices.Compact(served); !slices.Equal(order, []string{onnx.CUDA, onnx.TensorRT}) {
		t.Errorf("served by %q", order)
	}
}
