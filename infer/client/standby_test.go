package client

import (
	"errors"
	"math/rand/v2"
	"strings"
	"syscall"
	"testing"
	"time"

	"vedette/capture"
	"vedette/infer/wire"
)

func TestStandbyGetsEveryStreamAndNoFrameUntilItTakesOver(t *testing.T) {
	c := newClient(Options{InFlight: 2})
	s, results := stream(t, c, "yard")
	a := connectReady(t, c, 1)
	receive[*wire.OpenStream](a)
	b := connectReady(t, c, 2)
	receive[*wire.OpenStream](b)
	if a.link.Role() != RoleActive || b.link.Role() != RoleStandby || c.Stats().Ready != 1 {
		t.Fatalf("roles %q and %q, %d take frames", a.link.Role(), b.link.Role(), c.Stats().Ready)
	}
	gate, _ := stream(t, c, "gate")
	if got := receive[*wire.OpenStream](b); got.Name != "gate" {
		t.Errorf("the worker on standby was told of %s", got.Name)
	}
	receive[*wire.OpenStream](a)
	offer(t, s, 1)
	offer(t, gate, 1)
	refused(t, s, 2, capture.DropSuperseded) // the one on standby is no place
	a.answer(a.record())
	result(t, results)

	_ = a.conn.Close() // with gate's frame in flight
	a.failure(KindExit)
	if a.link.Role() != RoleNone || b.link.Role() != RoleActive {
		t.Errorf("roles %q and %q after the end of the first", a.link.Role(), b.link.Role())
	}
	if got := gate.Drops()[capture.DropWorkerDown]; got != 1 {
		t.Errorf("%d frames were dropped by worker_down, want the one in flight", got)
	}
	offer(t, s, 3)
	b.answer(b.record())
	if r := result(t, results); r.Sequence != 3 || r.Generation != 2 {
		t.Errorf("frame %d of worker %d", r.Sequence, r.Generation)
	}

	// The successor is the next to wait. An active one that is asked to end gives its place up at once.
	a = connectReady(t, c, 3)
	if a.link.Role() != RoleStandby {
		t.Errorf("the successor is %q", a.link.Role())
	}
	offer(t, s, 4)
	fourth := b.record()
	if err := b.link.Shutdown("new configuration"); err != nil {
		t.Fatal(err)
	}
	if a.link.Role() != RoleActive || b.link.Role() != RoleNone {
		t.Errorf("roles %q and %q while the second ends", a.link.Role(), b.link.Role())
	}
	offer(t, s, 5)
	b.answer(fourth)
	for range 2 {
		receive[*wire.OpenStream](a)
	}
	a.answer(a.record())
	for want := uint32(4); want <= 5; want++ {
		if r := result(t, results); r.Sequence != want {
			t.Errorf("frame %d, want %d", r.Sequence, want)
		}
	}
}

func TestStandbyThatEndsTakesNothingWithIt(t *testing.T) {
	c := newClient(Options{})
	s, results := stream(t, c, "yard")
	a := connectReady(t, c, 1)
	receive[*wire.OpenStream](a)
	b := connectReady(t, c, 2)
	offer(t, s, 1)
	_ = b.conn.Close()
	b.failure(KindExit)
	a.answer(a.record())
	if r := result(t, results); r.Sequence != 1 || len(s.Drops()) != 0 {
		t.Errorf("frame %d, drops %v", r.Sequence, s.Drops())
	}
	if a.link.Role() != RoleActive {
		t.Errorf("role %q", a.link.Role())
	}
}

func TestStandbyProcessTakesOverFromAKilledOne(t *testing.T) {
	const lives = 10
	c := newClient(Options{InFlight: 2})
	before := held(t)
	s, results := stream(t, c, "yard")
	active, standby := start(t, c, 1), start(t, c, 2)
	sequence := 0
	var worst time.Duration
	for life := range uint64(lives) {
		sequence++
		if err := s.Submit(t.Context(), frame(sequence)); err != nil {
			t.Fatal(err)
		}
		if r := result(t, results); r.Generation != life+1 {
			t.Fatalf("frame %d is worker %d's, want %d's", r.Sequence, r.Generation, life+1)
		}
		killed, victim := make(chan time.Time, 1), active.cmd.Process
		time.AfterFunc(time.Duration(rand.IntN(3000))*time.Microsecond, func() {
			killed <- time.Now()
			_ = victim.Kill()
		})
		for r := (Result{}); r.Generation != life+2; {
			sequence++
			if err := s.Submit(t.Context(), frame(sequence)); err != nil {
				t.Fatal(err)
			}
			for len(results) > 0 {
				r = <-results
			}
		}
		worst = max(worst, time.Since(<-killed))
		var failure *Failure
		if err := active.end(t); !errors.As(err, &failure) || failure.Kind != KindExit {
			t.Fatalf("life %d ended by %v", life, err)
		}
		if err := s.Drain(t.Context()); err != nil {
			t.Fatal(err)
		}
		for len(results) > 0 {
			<-results
		}
		if got := s.Drops()[capture.DropWorkerDown]; got > 2*(life+1) {
			t.Fatalf("%d frames lost in %d lives, at most 2 can be in flight", got, life+1)
		}
		active, standby = standby, start(t, c, life+3)
	}
	t.Logf("worst time from the kill to a result of the other: %s", worst)
	stats := c.Stats()
	if stats.Submitted != stats.Results+stats.Reclaimed || stats.InFlight != 0 || freeSlots(s) != 4 {
		t.Errorf("frames do not add up: %+v", stats)
	}
	if err := c.Shutdown("test ends"); err != nil {
		t.Error(err)
	}
	for _, p := range []*process{active, standby} {
		if err := p.end(t); err != nil {
			t.Error(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	sameHeld(t, before)
}

func TestPoolOfProcessesSharesTheWork(t *testing.T) {
	const workers, frames = 3, 30
	c := newClient(Options{InFlight: 2, Workers: workers})
	s, results := stream(t, c, "yard")
	var pool [workers]*process
	for i := range pool {
		pool[i] = start(t, c, uint64(i+1))
	}
	had := map[uint64]int{}
	for i := range frames { // one at a time: each worker is as free as the others
		offer(t, s, i)
		had[result(t, results).Generation]++
	}
	for generation, n := range had {
		if n != frames/workers {
			t.Errorf("worker %d had %d of %d frames, want a third", generation, n, frames)
		}
	}

	// One that is stopped has its frames in flight until it dies: they are all that is lost. All stop until each has as many as it may.
	for _, p := range pool {
		stop(t, p.cmd.Process)
	}
	lost, sequence := map[uint32]bool{}, uint32(100)
	for range 2 * workers {
		if cause, ok := s.Offer(frame(int(sequence))); !ok {
			t.Fatalf("frame %d was dropped by %s", sequence, cause)
		}
		sequence++
	}
	for _, p := range []*process{pool[0], pool[2]} {
		if err := p.cmd.Process.Signal(syscall.SIGCONT); err != nil {
			t.Fatal(err)
		}
	}
	waitFor(t, func() bool { return c.Stats().InFlight == 2 })
	c.mu.Lock()
	for _, le := range pool[1].link.flights {
		lost[le.result.Sequence] = true
	}
	c.mu.Unlock()
	if err := pool[1].cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := pool[1].end(t); err == nil {
		t.Error("the kill is no failure")
	}
	for want := uint32(100); want < sequence; want++ {
		if lost[want] {
			continue
		}
		if r := result(t, results); r.Sequence != want {
			t.Errorf("frame %d, want %d", r.Sequence, want)
		}
	}
	if drops := s.Drops(); len(lost) != 2 || drops[capture.DropWorkerDown] != 2 || drops[capture.DropNoSlot] != 0 {
		t.Errorf("frames %v were in flight, drops are %v", lost, drops)
	}
	if err := c.Shutdown("test ends"); err != nil {
		t.Error(err)
	}
	for _, p := range []*process{pool[0], pool[2]} {
		if err := p.end(t); err != nil {
			t.Error(err)
		}
	}
}

func TestStoppedStandbyIsAHang(t *testing.T) {
	c := newClient(Options{HeartbeatTimeout: time.Second})
	s, results := stream(t, c, "yard")
	active, standby := start(t, c, 1), start(t, c, 2)
	stop(t, standby.cmd.Process)
	began := time.Now()
	sequence := 0
	var err error
	for over := false; !over; {
		sequence++
		offer(t, s, sequence)
		if r := result(t, results); r.Generation != 1 || r.Sequence != uint32(sequence) {
			t.Fatalf("frame %d of worker %d", r.Sequence, r.Generation)
		}
		select {
		case err = <-standby.served:
			over = true
		default:
		}
	}
	var failure *Failure
	if !errors.As(err, &failure) || failure.Kind != KindHang || !strings.Contains(failure.Message, "no sign of life") {
		t.Errorf("ended by %v", err)
	}
	if took := time.Since(began); took > 30*time.Second {
		t.Errorf("it took %s to see", took)
	}
	if len(s.Drops()) != 0 {
		t.Errorf("drops %v", s.Drops())
	}
	_ = standby.cmd.Process.Kill()
	_ = standby.cmd.Wait()
	if err := c.Shutdown("test ends"); err != nil {
		t.Error(err)
	}
	if err := active.end(t); err != nil {
		t.Error(err)
	}
}

func TestProcessThatNeverGetsReadyIsAHang(t *testing.T) {
	opts := Options{LoadDeadline: 500 * ms, BuildDeadline: time.Second}
	for role, want := range map[string]string{
		"loading":  "loading: the model was not loaded within the load deadline of 500ms",
		"building": "building: the engine was not built within the build deadline of 1s",
	} {
		t.Run(role, func(t *testing.T) {
			c := newClient(opts)
			s, _ := stream(t, c, "yard")
			p := launch(t, c, role, 1)
			var failure *Failure
			if err := p.end(t); !errors.As(err, &failure) || failure.Kind != KindHang || failure.Message != want {
				t.Errorf("ended by %v, want %s", err, want)
			}
			refused(t, s, 1, capture.DropWorkerDown)
		})
	}
}

func TestFramesThatWaitForAPlaceAreNotGivenUpWhenOvertaken(t *testing.T) {
	c := newClient(Options{InFlight: 1, Workers: 2})
	s, results := stream(t, c, "yard")
	a, b := connectReady(t, c, 1), connectReady(t, c, 2)
	for _, p := range []*peer{a, b} {
		receive[*wire.OpenStream](p)
	}
	submit := func(sequence int) {
		t.Helper()
		if err := s.Submit(t.Context(), frame(sequence)); err != nil {
			t.Fatal(err)
		}
	}
	submit(1)
	first := a.record()
	for sequence := 2; sequence <= 4; sequence++ { // these three, and the first, are all slots
		submit(sequence)
		b.answer(b.record())
		waitFor(t, func() bool { return c.Stats().Results == uint64(sequence-1) })
	}
	submitted := make(chan error, 1)
	go func() { submitted <- s.Submit(t.Context(), frame(5)) }()
	waitFor(t, func() bool { c.mu.Lock(); defer c.mu.Unlock(); return s.patient })
	a.answer(first)
	for want := uint32(1); want <= 4; want++ {
		if r := result(t, results); r.Sequence != want {
			t.Errorf("frame %d, want %d", r.Sequence, want)
		}
	}
	if err := <-submitted; err != nil || len(s.Drops()) != 0 {
		t.Errorf("the fifth: %v, drops %v", err, s.Drops())
	}
}

// TestFrozenProcessDoesNotHoldUpThePool has one of two workers stop with frames in flight for which later ones wait.
func TestFrozenProcessDoesNotHoldUpThePool(t *testing.T) {
	c := newClient(Options{InFlight: 2, Workers: 2, RunDeadline: 2 * time.Second})
	s, results := stream(t, c, "yard")
	frozen, other := start(t, c, 1), start(t, c, 2)
	for i := range 2 {
		offer(t, s, i)
		result(t, results)
	}
	stop(t, frozen.cmd.Process)
	last, got := uint32(1), 0
	var ended error
	for sequence := 2; ended == nil; sequence++ {
		s.Offer(frame(sequence))
		select {
		case r := <-results:
			if r.Sequence <= last {
				t.Fatalf("frame %d comes after %d", r.Sequence, last)
			}
			last = r.Sequence
			got++
		case ended = <-frozen.served:
		default:
		}
	}
	var failure *Failure
	if !errors.As(ended, &failure) || !strings.Contains(failure.Message, "running: no result") {
		t.Errorf("ended by %v", ended)
	}
	if got < 100 { // thousands on a quiet machine; 4 are as many as slots
		t.Errorf("%d results while one worker was frozen", got)
	}
	if err := s.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	if drops := s.Drops(); drops[capture.DropDeadline] != 2 {
		t.Errorf("drops %v, want the two frames that the frozen worker had", drops)
	}
	if stats := c.Stats(); stats.Submitted != stats.Results+stats.Reclaimed || stats.InFlight != 0 || freeSlots(s) != 6 {
		t.Errorf("frames do not add up, %d slots of 6 are free: %+v", freeSlots(s), stats)
	}
	_ = frozen.cmd.Process.Kill()
	_ = frozen.cmd.Wait()
	if err := c.Shutdown("test ends"); err != nil {
		t.Error(err)
	}
	if err := other.end(t); err != nil {
		t.Error(err)
	}
}
