package pipeline

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"vedette/capture"
	"vedette/cmd/vedette/internal/config"
	"vedette/mqtt/payload"
)

func TestStatusLineIsInPlainWords(t *testing.T) {
	streaming := payload.Camera{State: "streaming", FPS: 5.04}
	ready := payload.Worker{Name: "infer-worker", State: "ready", Provider: "cpu"}
	for _, c := range []struct {
		name      string
		cameras   map[string]payload.Camera
		workers   []payload.Worker
		connected bool
		want      string
	}{
		{
			"all is well",
			map[string]payload.Camera{"yard": streaming, "gate": streaming},
			[]payload.Worker{ready},
			true,
			"2 cameras, 1 worker on cpu, 10.1 frames/s",
		},
		{
			"camera lost",
			map[string]payload.Camera{"yard": {State: "lost"}, "gate": {State: "stalled"}},
			[]payload.Worker{ready},
			true,
			"2 cameras, 1 worker on cpu, 0.0 frames/s; camera gate stalled; camera yard lost",
		},
		{
			"at the start",
			map[string]payload.Camera{"yard": {State: "opening"}},
			[]payload.Worker{{Name: "infer-worker", State: "starting"}},
			false,
			"1 camera, 1 worker, 0.0 frames/s; infer-worker starting; no connection to the MQTT broker",
		},
		{
			"one of a pool",
			map[string]payload.Camera{"yard": streaming},
			[]payload.Worker{
				{Name: "infer-worker-1", State: "ready", Provider: "cuda"},
				{
					Name: "infer-worker-2", State: "degraded", Provider: "cuda",
					LastFault: &payload.Fault{Kind: "load", Message: "not an ONNX model"},
				},
			},
			true,
			"1 camera, 2 workers on cuda, 5.0 frames/s; infer-worker-2 degraded after load: not an ONNX model",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := statusLine(payload.State{Cameras: c.cameras, Workers: c.workers}, c.connected); got != c.want {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
}

// source is a camera by its ways to fail.
type source struct {
	open func(ctx context.Context) error
	next func(ctx context.Context) error
}

func (s source) String() string { return "source" }

func (s source) Open(ctx context.Context) (capture.Stream, error) {
	if s.open != nil {
		return nil, s.open(ctx)
	}
	return stream{s}, nil
}

type stream struct{ source }

func (s stream) Format() capture.Format {
	return capture.Format{Pixel: capture.Grey, Width: 4, Height: 2}.Packed()
}

func (s stream) Next(ctx context.Context) (*capture.Frame, error) {
	if s.next != nil {
		if err := s.next(ctx); err != nil {
			return nil, err
		}
	}
	return capture.NewFrame(make([]byte, 8), 0, 0, time.Now(), func() {}), nil
}

func (stream) Dropped() map[capture.DropCause]uint64 { return nil }
func (stream) Close() error                          { return nil }

// sink takes frames; frame is its wait.
type sink struct{ frame func() }

func (sink) Opened(capture.Format) error { return nil }
func (s sink) Frame(*capture.Frame)      { s.frame() }
func (sink) Closed(error)                {}

func TestOnlyALoopThatDoesNotGoRoundIsStuck(t *testing.T) {
	until := func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
	for _, c := range []struct {
		name   string
		source func(release chan struct{}) source
		frame  func(cam *camera, release chan struct{})
		stuck  bool
	}{
		{
			"no such camera",
			func(chan struct{}) source {
				return source{open: func(context.Context) error { return errors.New("no such device") }}
			}, nil, false,
		},
		{"camera that is slow to open", func(chan struct{}) source { return source{open: until} }, nil, false},
		{"camera without frames", func(chan struct{}) source { return source{next: until} }, nil, false},
		{
			"driver that hangs in open",
			func(release chan struct{}) source {
				return source{open: func(context.Context) error { <-release; return errors.New("too late") }}
			}, nil, true,
		},
		{
			"driver that hangs in a read",
			func(release chan struct{}) source {
				return source{next: func(context.Context) error { <-release; return errors.New("too late") }}
			}, nil, true,
		},
		{
			"handing over that hangs",
			func(chan struct{}) source { return source{} },
			func(_ *camera, release chan struct{}) { <-release }, true,
		},
		{
			"lossless source that waits for a worker",
			func(chan struct{}) source { return source{} },
			func(cam *camera, release chan struct{}) {
				cam.waits.Store(true)
				<-release
				cam.waits.Store(false)
			}, false,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				release, done := make(chan struct{}), make(chan error, 1)
				cam := &camera{}
				handle := func() {
					if c.frame != nil {
						c.frame(cam, release)
					} else {
						time.Sleep(100 * time.Millisecond)
					}
				}
				cam.loop = capture.NewLoop("yard", c.source(release), sink{handle}, slog.New(slog.DiscardHandler))
				if err := cam.stuck(); err != nil {
					t.Errorf("before it runs: %v", err)
				}
				go func() { done <- cam.loop.Run(ctx) }()
				stuck := error(nil)
				for range 600 { // ten minutes
					time.Sleep(time.Second)
					if err := cam.stuck(); err != nil {
						stuck = err
					}
				}
				if (stuck != nil) != c.stuck || c.stuck && !strings.Contains(stuck.Error(), "behind its deadline") {
					t.Errorf("stuck: %v, want %t", stuck, c.stuck)
				}
				cancel()
				close(release)
				if err := <-done; err != nil {
					t.Error(err)
				}
				if err := cam.stuck(); err != nil {
					t.Errorf("after its end: %v", err)
				}
			})
		})
	}
}

// A probe, a command and a request of the control socket outlast an engine that is built.
func TestAnEngineMayBeBuiltWithinAChange(t *testing.T) {
	c := config.Default().Infer
	c.Deadlines.Load, c.Deadlines.Build = time.Minute, 20*time.Minute
	c.Providers = []string{"cpu"}
	if got := longestAttempt(c); got != time.Minute {
		t.Errorf("without TensorRT a start may take %v", got)
	}
	c.Providers = []string{"tensorrt", "cpu"}
	if got := longestAttempt(c); got != 20*time.Minute {
		t.Errorf("with TensorRT a start may take %v", got)
	}
	c.Workers = 1
	p := &Pipeline{opts: Options{Config: config.Config{Infer: c}}}
	if got := p.LongestChange(); got < 3*20*time.Minute {
		t.Errorf("a change may take %v: a probe and a restart each build an engine", got)
	}
}
