package main

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"vedette/capture"
	"vedette/cmd/vedette/internal/config"
	"vedette/cmd/vedette/internal/pipeline"
	"vedette/infer"
	"vedette/infer/client"
	"vedette/mqtt/payload"
	"vedette/supervisor"
)

// killsEnv says how many workers TestKilledWorkersLeaveNothing kills.
const killsEnv = "VEDETTE_TEST_KILLS"

// insideService is the whole service in this process, so that what it holds can be counted; its workers are processes.
type insideService struct {
	*pipeline.Pipeline
	detections chan *infer.Model // of the worker that saw something: each has its own
	handled    uint64            // frames; to be read after stop
	cancel     context.CancelFunc
	done       chan error
}

func startInside(t *testing.T, change func(*infer.Config)) *insideService {
	t.Helper()
	t.Setenv("VEDETTE_ONNXRUNTIME", onnxRuntime(t))
	t.Setenv("VEDETTE_MODEL", cocoModel(t))
	cfg := config.Default()
	cfg.Device, cfg.StateDir, cfg.Web.Listen = "test", t.TempDir(), ""
	camera := capture.DefaultCamera()
	scene := capture.DefaultScene()
	scene.Size, scene.Rate = capture.Size{Width: 640, Height: 360}, 20
	camera.Name, camera.Source.Scene, camera.Rate = "yard", &scene, 0
	cfg.Cameras = []capture.Camera{camera}
	change(&cfg.Infer)
	policy := supervisor.DefaultPolicy()
	policy.GoodLife = 0 // lives are short here
	s := &insideService{detections: make(chan *infer.Model, 1), done: make(chan error, 1)}
	var err error
	s.Pipeline, err = pipeline.New(pipeline.Options{
		Config: cfg, Executable: os.Args[0], Policy: policy, Logger: slog.New(slog.NewTextHandler(t.Output(), nil)),
		Handled: func(r *client.Result) {
			s.handled++
			if len(r.Detections) == 0 {
				return
			}
			select {
			case <-s.detections: // the latest counts
			default:
			}
			s.detections <- r.Model
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	s.cancel = cancel
	go func() { s.done <- s.Run(ctx) }()
	t.Cleanup(func() { s.stop(t) })
	return s
}

func (s *insideService) stop(t *testing.T) {
	t.Helper()
	s.cancel()
	if err := <-s.done; err != nil {
		t.Error(err)
	}
	s.done <- nil // for those who stop it again
}

// detected waits for a detection of another worker than the given one, which may be nil.
func (s *insideService) detected(t *testing.T, other *infer.Model) *infer.Model {
	t.Helper()
	timeout := time.After(3 * time.Minute)
	for {
		select {
		case model := <-s.detections:
			if model != other {
				return model
			}
		case <-timeout:
			t.Fatalf("no detection: %+v", s.State())
		}
	}
}

// await polls the state, which has no event that says all of what a test waits for.
func (s *insideService) await(t *testing.T, what string, condition func(payload.State) bool) payload.State {
	t.Helper()
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	for deadline := time.Now().Add(3 * time.Minute); ; <-ticker.C {
		state := s.State()
		if condition(state) {
			return state
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s does not come about: %+v", what, state)
		}
	}
}

func ready(state payload.State) bool {
	for _, w := range state.Workers {
		if w.State != string(supervisor.Ready) {
			return false
		}
	}
	return true
}

// inRole is the first worker of a role.
func inRole(state payload.State, role client.Role) payload.Worker {
	for _, w := range state.Workers {
		if w.Role == string(role) {
			return w
		}
	}
	return payload.Worker{}
}

func signalWorker(t *testing.T, w payload.Worker, signal syscall.Signal) {
	t.Helper()
	if err := syscall.Kill(w.PID, signal); err != nil {
		t.Fatalf("cannot signal %+v: %v", w, err)
	}
}

// holdings are what a service holds of the machine while it is in full work.
type holdings struct{ descriptors, mappings, children, goroutines int }

func held(t *testing.T) (h holdings) {
	t.Helper()
	descriptors, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(maps)) {
		if strings.Contains(line, "/") { // anonymous memory is the heap's, which comes and goes
			h.mappings++
		}
	}
	h.descriptors, h.children, h.goroutines = len(descriptors), len(children(t, os.Getpid())), runtime.NumGoroutine()
	return h
}

// TestKilledWorkersLeaveNothing is row 1 of the fault table, from inside. VEDETTE_TEST_KILLS=100 is the whole of it.
func TestKilledWorkersLeaveNothing(t *testing.T) {
	kills := 10
	if text := os.Getenv(killsEnv); text != "" {
		var err error
		if kills, err = strconv.Atoi(text); err != nil || kills < 1 {
			t.Fatalf("%s=%q is no number of kills", killsEnv, text)
		}
	}
	s := startInside(t, func(*infer.Config) {})
	s.await(t, "a worker", ready)
	model := s.detected(t, nil)
	before := held(t)
	for range kills {
		state := s.await(t, "a worker", ready)
		<-time.After(rand.N(100 * time.Millisecond)) // any moment of a frame's way
		signalWorker(t, state.Worker, syscall.SIGKILL)
		model = s.detected(t, model)
	}
	state := s.await(t, "a worker", ready)
	if w := state.Worker; w.Generation != uint64(kills+1) || w.Restarts != uint64(kills) || w.LastFault == nil ||
		w.LastFault.Kind != string(supervisor.KindSignal) || w.LastFault.Signal != "SIGKILL" {
		t.Errorf("after %d kills: %+v", kills, w)
	}
	var after holdings
	for deadline := time.Now().Add(2 * time.Minute); after != before; runtime.Gosched() { // what is just used comes and goes
		if after = held(t); time.Now().After(deadline) {
			t.Fatalf("before %d kills %+v, after them %+v", kills, before, after)
		}
	}
	s.stop(t)
	// Every slot came back: none was missing for a frame, and what became of each frame is known.
	drops, lost := s.Drops(), uint64(0)
	for _, n := range drops {
		lost += n
	}
	// Those in flight at the stop, which are two at most, count after the camera's last look. What the scene itself left out, it was
	// too late for: on a busy machine the scheduler chooses so now and then.
	frames := s.Frames() + drops[capture.DropDriver]
	unknown := frames - s.handled - lost
	if drops[capture.DropNoSlot] > 0 || drops[capture.DropDriver] > frames/20 || unknown > 2 {
		t.Errorf("%d frames, %d handled, drops %v", s.Frames(), s.handled, drops)
	}
}

func TestFrozenWorkerIsReplacedWhileCaptureGoesOn(t *testing.T) {
	s := startInside(t, func(cfg *infer.Config) { cfg.Deadlines.Run = time.Second })
	state := s.await(t, "a worker", ready)
	model := s.detected(t, nil)
	captured, frozen := s.Frames(), time.Now()
	signalWorker(t, state.Worker, syscall.SIGSTOP)
	s.detected(t, model)
	took, captured := time.Since(frozen), s.Frames()-captured
	fault := s.State().Worker.LastFault
	if fault == nil || fault.Kind != string(supervisor.KindHang) ||
		fault.Message != "running: no result for a frame in flight within the run deadline of 1s" {
		t.Errorf("fault %+v", fault)
	}
	if err := syscall.Kill(state.Worker.PID, 0); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("process %d is still there: %v", state.Worker.PID, err)
	}
	drops := s.Drops()
	if drops[capture.DropDeadline] == 0 || drops[capture.DropWorkerDown] == 0 || drops[capture.DropDriver] > captured/10 {
		t.Errorf("drops %v", drops)
	}
	if least := uint64(took.Seconds()*20) / 2; captured < least {
		t.Errorf("%d frames were captured in %v, want %d at least", captured, took, least)
	}
	t.Logf("detections back after %v, %d frames captured meanwhile, drops %v", took, captured, drops)
}

func TestSpareTakesOverAndIsReplaced(t *testing.T) {
	s := startInside(t, func(cfg *infer.Config) { cfg.Spare = true })
	state := s.await(t, "a worker and its spare", ready)
	model := s.detected(t, nil)
	active, spare := inRole(state, client.RoleActive), inRole(state, client.RoleStandby)
	if active.Name != "infer-worker-1" || spare.Name != "infer-worker-2" || state.Worker.Name != active.Name {
		t.Fatalf("workers %+v", state.Workers)
	}
	killed := time.Now()
	signalWorker(t, active, syscall.SIGKILL)
	model = s.detected(t, model)
	t.Logf("detections back after %v", time.Since(killed))
	state = s.State()
	if now := inRole(state, client.RoleActive); now.PID != spare.PID || state.Worker.PID != spare.PID {
		t.Errorf("not the spare took over: %+v", state.Workers)
	}
	state = s.await(t, "a new spare", ready)
	if next := inRole(state, client.RoleStandby); next.Name != active.Name || next.Generation != 2 || next.PID == active.PID {
		t.Fatalf("spare %+v", next)
	}

	// A frozen one on standby has no frames that would be missed: its heart does not beat.
	signalWorker(t, inRole(state, client.RoleStandby), syscall.SIGSTOP)
	state = s.await(t, "a third spare", func(state payload.State) bool {
		return ready(state) && inRole(state, client.RoleStandby).Generation == 3
	})
	fault := inRole(state, client.RoleStandby).LastFault
	if fault == nil || fault.Kind != string(supervisor.KindHang) ||
		!strings.Contains(fault.Message, "no sign of life from the worker within the heartbeat deadline of 5s") {
		t.Errorf("fault %+v", fault)
	}
	if drops := s.Drops(); drops[capture.DropDeadline] > 0 {
		t.Errorf("frames waited for a spare: %v", drops)
	}
	select { // what is there is old
	case <-s.detections:
	default:
	}
	if s.detected(t, nil) != model {
		t.Error("the active worker is another")
	}
	if health := s.Health(); health.Health != payload.HealthGood {
		t.Errorf("health %+v", health)
	}
}
