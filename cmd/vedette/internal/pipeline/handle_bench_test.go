package pipeline

import (
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"vedette/capture"
	"vedette/cmd/vedette/internal/config"
	"vedette/infer"
	"vedette/infer/client"
)

// BenchmarkHandle is what the service does with a result: it tracks two objects, counts, makes the message and hands it to the
// connection. It allocates nothing; with `infer/client` and `infer/worker` that is a frame's whole way.
func BenchmarkHandle(b *testing.B) {
	cfg := config.Default()
	cfg.Device, cfg.StateDir, cfg.Web.Listen = "test", filepath.Join(b.TempDir(), "state"), ""
	cfg.Infer.Model = os.Args[0] // never loaded: the service does not run
	cfg.MQTT.Brokers = []string{"tcp://127.0.0.1:1"}
	camera := capture.DefaultCamera()
	camera.Name = "yard"
	cfg.Cameras = []capture.Camera{camera}
	service, err := New(Options{
		Config: cfg, Executable: "/bin/false", Logger: slog.New(slog.DiscardHandler), Sources: map[string]capture.Source{"yard": source{}},
	})
	if err != nil {
		b.Fatal(err)
	}
	cam := service.newCamera(b.Context(), camera, source{})
	if err := cam.Opened(capture.Format{Pixel: capture.YUYV, Width: 1280, Height: 720}.Packed()); err != nil {
		b.Fatal(err)
	}
	defer cam.Closed(nil)
	r := &client.Result{Stream: cam.stream, Model: &infer.Model{Labels: []string{"person", "cup"}}}
	seen := []infer.Detection{
		{Class: 0, Score: 0.8, Box: infer.Box{X1: 0.1, Y1: 0.1, X2: 0.4, Y2: 0.9}},
		{Class: 1, Score: 0.7, Box: infer.Box{X1: 0.6, Y1: 0.5, X2: 0.8, Y2: 0.8}},
	}
	next := func() {
		r.Sequence++
		r.Monotonic += 40 * time.Millisecond
		r.Wall = r.Wall.Add(40 * time.Millisecond)
		r.Detections = append(r.Detections[:0], seen...)
		cam.handle(r)
	}
	for range 1000 { // the objects begin, and the queue of the connection, which there is none of, fills
		next()
	}
	b.ReportAllocs()
	b.ResetTimer()
	for b.Loop() {
		next()
	}
}
