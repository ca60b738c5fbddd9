package client

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"vedette/capture"
	"vedette/infer"
	"vedette/infer/wire"
)

// The test binary re-executes itself as a worker: its end of the connection is number 3.
const childEnv = "VEDETTE_CLIENT_TEST_CHILD"

func child(role string) int {
	conn, err := wire.NewConn(os.NewFile(3, "control"))
	if err == nil {
		switch role {
		case "loading":
			err = prepare(conn, wire.StageLoading)
		case "building":
			err = prepare(conn, wire.StageBuilding)
		default:
			err = echo(conn)
		}
	}
	// A parent that has hung up is what several tests end with.
	if err != nil && !errors.Is(err, syscall.EPIPE) && !errors.Is(err, syscall.ECONNRESET) {
		fmt.Fprintln(os.Stderr, "worker:", err)
		return 1
	}
	return 0
}

// process is a worker that is a process, and the service of its link.
type process struct {
	cmd    *exec.Cmd
	link   *Link
	ready  chan struct{} // closed when the model is loaded
	served chan error
}

func start(t testing.TB, c *Client, generation uint64) *process {
	t.Helper()
	p := launch(t, c, "echo", generation)
	select {
	case <-p.ready:
	case err := <-p.served:
		t.Fatalf("worker %d: %v", generation, err)
	case <-time.After(patience):
		t.Fatalf("worker %d does not get ready", generation)
	}
	return p
}

// launch starts a worker of any role, and does not wait for it.
func launch(t testing.TB, c *Client, role string, generation uint64) *process {
	t.Helper()
	parent, control, err := wire.Pair()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), childEnv+"="+role)
	cmd.ExtraFiles = []*os.File{control}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if err := control.Close(); err != nil {
		t.Fatal(err)
	}
	conn, err := wire.NewConn(parent)
	if err != nil {
		t.Fatal(err)
	}
	p := &process{
		cmd: cmd, link: c.Link(conn, wire.Load{Generation: generation}),
		ready: make(chan struct{}), served: make(chan error, 1),
	}
	go func() { p.served <- p.link.Serve(context.Background(), nil, func(infer.Model) { close(p.ready) }) }()
	return p
}

func (p *process) end(t testing.TB) error {
	t.Helper()
	defer func() { _ = p.cmd.Wait() }()
	select {
	case err := <-p.served:
		return err
	case <-time.After(patience):
		_ = p.cmd.Process.Kill()
		t.Fatal("Serve goes on")
		return nil
	}
}

// resources are what must be the same before and after.
type resources struct{ files, rings, goroutines int }

func held(t testing.TB) resources {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		t.Fatal(err)
	}
	return resources{len(entries), bytes.Count(maps, []byte("memfd:vedette")), runtime.NumGoroutine()}
}

// sameHeld waits for what has ended to be gone: a goroutine is counted for a moment after the last thing that it does.
func sameHeld(t testing.TB, want resources) {
	t.Helper()
	for deadline := soon(); ; runtime.Gosched() {
		got := held(t) // there may be fewer goroutines: an earlier test's last one has gone
		if got.files == want.files && got.rings == want.rings && got.goroutines <= want.goroutines {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%+v are held, want %+v", got, want)
		}
	}
}

// TestKilledWorkers kills workers with frames in flight at random moments, and has the next serve the same streams.
func TestKilledWorkers(t *testing.T) {
	const lives = 20
	c := newClient(Options{InFlight: 2})
	before := held(t)
	yard, results := stream(t, c, "yard")
	gate, gates := stream(t, c, "gate")
	open := held(t)
	sequence := 0
	for life := range lives {
		p := start(t, c, uint64(life+1))
		for s, out := range map[*Stream]chan Result{yard: results, gate: gates} {
			sequence++
			if err := s.Submit(t.Context(), frame(sequence)); err != nil {
				t.Fatal(err)
			}
			if r := result(t, out); r.Sequence != uint32(sequence) || r.Detections[0].Class != int(byte(sequence)) ||
				r.Generation != uint64(life+1) {
				t.Fatalf("life %d, frame %d: %+v", life, sequence, r)
			}
		}
		// Frames are offered without a pause while it is killed.
		timer := time.AfterFunc(time.Duration(rand.IntN(3000))*time.Microsecond, func() { _ = p.cmd.Process.Kill() })
		for cause := capture.DropCause(""); cause != capture.DropWorkerDown; {
			sequence++
			cause, _ = yard.Offer(frame(sequence))
			runtime.Gosched()
		}
		timer.Stop()
		var failure *Failure
		if err := p.end(t); !errors.As(err, &failure) || failure.Kind != KindExit {
			t.Fatalf("life %d ended by %v", life, err)
		}
		if err := yard.Drain(t.Context()); err != nil {
			t.Fatal(err)
		}
		for len(results) > 0 {
			<-results
		}
		if free := freeSlots(yard); free != 4 {
			t.Fatalf("life %d: %d slots of 4 are free", life, free)
		}
	}
	stats := c.Stats()
	if stats.Submitted != stats.Results+stats.Reclaimed || stats.InFlight != 0 || stats.Ready != 0 {
		t.Errorf("frames do not add up: %+v", stats)
	}
	t.Logf("%+v", stats)
	sameHeld(t, open)
	for _, s := range []*Stream{yard, gate} {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	sameHeld(t, before)
}

// A worker that is killed in the middle of a batch loses all of it, and each frame is counted.
func TestAKilledWorkerLosesItsBatch(t *testing.T) {
	const batch = 8
	c := newClient(Options{InFlight: batch})
	yard, _ := stream(t, c, "yard")
	gate, _ := stream(t, c, "gate")
	p := start(t, c, 1)
	stop(t, p.cmd.Process)
	for sequence := range batch {
		offer(t, []*Stream{yard, gate}[sequence%2], sequence)
	}
	refused(t, yard, batch, capture.DropSuperseded)
	if err := p.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := p.end(t); err == nil {
		t.Error("a killed worker's end is none")
	}
	for _, s := range []*Stream{yard, gate} {
		if lost := s.Drops()[capture.DropWorkerDown]; lost != batch/2 {
			t.Errorf("%s: %d frames are counted as lost with their worker, not %d", s.Name(), lost, batch/2)
		}
		if free := freeSlots(s); free != batch+spareSlots {
			t.Errorf("%s: %d slots are free", s.Name(), free)
		}
	}
	if stats := c.Stats(); stats.Submitted != batch || stats.Reclaimed != batch || stats.Results+uint64(stats.InFlight) != 0 {
		t.Errorf("frames do not add up: %+v", stats)
	}
}

// freeSlots takes every slot that there is, and gives them back.
func freeSlots(s *Stream) int {
	n := 0
	for {
		slot, ok := s.ring.Acquire()
		if !ok {
			return n
		}
		n++
		defer slot.Release()
	}
}

// stop stops a process and waits until all its threads have stopped: they may do some work before.
func stop(t *testing.T, p *os.Process) {
	t.Helper()
	if err := p.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	var status syscall.WaitStatus
	for !status.Stopped() {
		if _, err := syscall.Wait4(p.Pid, &status, syscall.WUNTRACED, nil); err != nil && !errors.Is(err, syscall.EINTR) {
			t.Fatal(err)
		}
	}
}

func TestStoppedWorkerIsAHang(t *testing.T) {
	for name, c := range map[string]struct {
		opts   Options
		frames int
		cause  string
	}{
		"with a frame": {Options{RunDeadline: 500 * ms, HeartbeatTimeout: time.Minute}, 1, "no result"},
		"idle":         {Options{RunDeadline: time.Minute, HeartbeatTimeout: 2 * time.Second}, 0, "no sign of life"},
	} {
		t.Run(name, func(t *testing.T) {
			client := newClient(c.opts)
			s, results := stream(t, client, "yard")
			p := start(t, client, 1)
			if err := s.Submit(t.Context(), frame(1)); err != nil {
				t.Fatal(err)
			}
			result(t, results)
			stop(t, p.cmd.Process)
			for i := range c.frames {
				offer(t, s, 2+i)
			}
			began := time.Now()
			err := <-p.served
			took := time.Since(began)
			var failure *Failure
			if !errors.As(err, &failure) || failure.Kind != KindHang ||
				!strings.Contains(failure.Message, c.cause) {
				t.Errorf("ended by %v", err)
			}
			if took > 30*time.Second {
				t.Errorf("it took %s to see", took)
			}
			if got := s.Drops()[capture.DropDeadline]; got != uint64(c.frames) {
				t.Errorf("%d frames were dropped by deadline, want %d", got, c.frames)
			}
			if free := freeSlots(s); free != 4 {
				t.Errorf("%d slots of 4 are free while the process still exists", free)
			}
			// The next one takes over beside it.
			next := start(t, client, 2)
			offer(t, s, 10)
			if r := result(t, results); r.Sequence != 10 || r.Generation != 2 {
				t.Errorf("got frame %d of worker %d", r.Sequence, r.Generation)
			}
			if err := client.Shutdown("test ends"); err != nil {
				t.Error(err)
			}
			if err := next.end(t); err != nil {
				t.Error(err)
			}
			if err := p.cmd.Process.Kill(); err != nil {
				t.Error(err)
			}
			_ = p.cmd.Wait()
		})
	}
}

// BenchmarkTransport has a frame go through the ring to a process that looks at it and back, beside the copy alone.
func BenchmarkTransport(b *testing.B) {
	format := capture.Format{Pixel: capture.YUYV, Width: 1280, Height: 720}.Packed()
	data := bytes.Repeat([]byte{7}, format.SizeImage)
	b.Run("memcpy", func(b *testing.B) {
		into := make([]byte, len(data))
		copy(into, data)
		b.SetBytes(int64(len(data)))
		for b.Loop() {
			copy(into, data)
		}
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "frames/s")
	})
	b.Run("ring+seqpacket", func(b *testing.B) {
		c := newClient(Options{})
		s, err := c.OpenStream(StreamOptions{Name: "bench", Format: format, Handle: func(*Result) {}})
		if err != nil {
			b.Fatal(err)
		}
		p := start(b, c, 1)
		f := capture.NewFrame(data, 0, 0, time.Time{}, nil)
		cpu := spent(b)
		b.SetBytes(int64(len(data)))
		b.ReportAllocs()
		b.ResetTimer()
		for b.Loop() {
			f.Sequence++
			if err := s.Submit(context.Background(), f); err != nil {
				b.Fatal(err)
			}
		}
		if err := s.Drain(context.Background()); err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "frames/s")
		b.ReportMetric(float64((spent(b)-cpu).Microseconds())/float64(b.N), "parent-cpu-µs/frame")
		b.ReportMetric(float64(c.Stats().Copy.Microseconds())/float64(b.N), "copy-µs/frame")
		if err := c.Shutdown("bench ends"); err != nil {
			b.Fatal(err)
		}
		if err := p.end(b); err != nil {
			b.Fatal(err)
		}
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
	})
}

func spent(b *testing.B) time.Duration {
	b.Helper()
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
