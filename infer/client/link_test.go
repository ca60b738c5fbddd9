package client

import (
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"vedette/capture"
	"vedette/infer"
	"vedette/infer/wire"
)

func TestHowAWorkerEnds(t *testing.T) {
	long := Options{HeartbeatTimeout: time.Minute}
	short := Options{LoadDeadline: 100 * ms, HeartbeatTimeout: time.Minute}
	build := Options{RunDeadline: 50 * ms, BuildDeadline: 100 * ms, HeartbeatTimeout: time.Minute}
	silent := Options{HeartbeatTimeout: 500 * ms}
	for name, c := range map[string]struct {
		opts    Options
		do      func(p *peer)
		kind    string
		message string
	}{
		"it closes while loading": {long, func(p *peer) { _ = p.conn.Close() }, KindExit, "connection closed"},
		"it closes when ready":    {long, func(p *peer) { p.hello(); _ = p.conn.Close() }, KindExit, "connection closed"},
		"it never loads":          {short, func(*peer) {}, KindHang, "loading: the model was not loaded within the load deadline of 100ms"},
		"it never builds": {build, func(p *peer) {
			p.send(&wire.Heartbeat{Generation: 1, Stage: wire.StageBuilding})
			<-p.building
		}, KindHang, "building: the engine was not built within the build deadline of 100ms"},
		"it is silent":            {silent, func(*peer) {}, KindHang, "loading: no sign of life from the worker within the heartbeat deadline of 1.5s"},
		"it is silent when ready": {silent, (*peer).hello, KindHang, "running: no sign of life from the worker within the heartbeat deadline of 500ms"},
		"it says what is wrong": {long, func(p *peer) {
			p.send(&wire.Fault{Generation: 1, Kind: "load", Message: "no such file", Traceback: "there"})
		}, "load", "no such file"},
		"it says something is wrong": {long, func(p *peer) { p.send(&wire.Fault{Generation: 1}) }, KindExit, ""},
		"it speaks another protocol": {long, func(p *peer) {
			p.send(&wire.Hello{Generation: 1, Protocol: 9})
		}, KindProtocol, "the worker speaks protocol 9: 1 is needed"},
		"it talks nonsense": {long, func(p *peer) {
			for range maxRejected {
				p.send(&wire.Heartbeat{Generation: 2, Stage: wire.StageLoading})
			}
		}, KindProtocol, "100 useless messages, the last one stale_generation"},
	} {
		t.Run(name, func(t *testing.T) {
			before := held(t)
			p := connect(t, newClient(c.opts), 1)
			c.do(p)
			failure := p.failure(c.kind)
			if !strings.Contains(failure.Message, c.message) || strings.Contains(failure.Error(), "\n") {
				t.Errorf("%q does not say %q", failure, c.message)
			}
			if strings.HasSuffix(name, "what is wrong") && failure.Traceback != "there" {
				t.Errorf("the traceback is %q", failure.Traceback)
			}
			_ = p.conn.Close()
			sameHeld(t, before)
		})
	}
}

func TestRunDeadline(t *testing.T) {
	c := newClient(Options{InFlight: 2, RunDeadline: 500 * ms})
	s, results := stream(t, c, "yard")
	p := connectReady(t, c, 1)
	receive[*wire.OpenStream](p)
	offer(t, s, 1)
	p.answer(p.record())
	result(t, results)
	offer(t, s, 2)
	failure := p.failure(KindHang)
	if failure.Message != "running: no result for a frame in flight within the run deadline of 500ms" {
		t.Error(failure)
	}
	if got := s.Drops()[capture.DropDeadline]; got != 1 || freeSlots(s) != 4 {
		t.Errorf("%d drops by deadline, %d free slots", got, freeSlots(s))
	}
}

func TestAWorkerThatTakesNothingHangs(t *testing.T) {
	c := newClient(Options{HeartbeatTimeout: time.Second})
	p := connectReady(t, c, 1)
	stop := make(chan struct{})
	beating := make(chan struct{})
	go func() { defer close(beating); beat(p.conn, 1, stop) }() // it lives, but does not read
	for range 40 {                                              // more than a socket's buffer holds
		stream(t, c, strings.Repeat("y", 10_000))
	}
	if failure := p.failure(KindHang); !strings.Contains(failure.Message, "the worker took no message") {
		t.Error(failure)
	}
	close(stop)
	<-beating
}

func TestUselessMessagesAreCounted(t *testing.T) {
	c := newClient(Options{})
	s, results := stream(t, c, "yard")
	p := connectReady(t, c, 3)
	receive[*wire.OpenStream](p)
	offer(t, s, 1)
	r := p.record()
	edit := func(change func(*wire.Result)) *wire.Result { m := p.result(r); change(m); return m }
	for _, m := range []wire.Message{
		edit(func(m *wire.Result) { m.Generation = 2 }),
		&wire.Heartbeat{Generation: 4, Stage: wire.StageReady},
		&wire.Fault{Generation: 2, Kind: "panic"},
		&wire.Goodbye{Generation: 2},
		edit(func(m *wire.Result) { m.Stream++ }),
		edit(func(m *wire.Result) { m.Slot++ }),
		edit(func(m *wire.Result) { m.Sequence++ }),
		&wire.Hello{Generation: 3, Protocol: wire.ProtocolVersion},
		&wire.Goodbye{Generation: 3},
		&wire.Shutdown{Generation: 3},
	} {
		p.send(m)
	}
	p.answer(r)
	if got := result(t, results); got.Sequence != 1 || got.Generation != 3 {
		t.Errorf("result %+v", got)
	}
	p.answer(r) // again
	waitFor(t, func() bool { return c.Stats().Rejected[wire.UnknownFrame] == 4 })
	want := map[wire.Reason]uint64{wire.StaleGeneration: 4, wire.UnknownFrame: 4, wire.Unexpected: 3}
	if diff := cmp.Diff(want, c.Stats().Rejected); diff != "" {
		t.Errorf("rejected (-want +got):\n%s", diff)
	}
}

func TestEachGenerationIsToldOfEveryStream(t *testing.T) {
	c := newClient(Options{})
	yard, _ := stream(t, c, "yard")
	gate, results := stream(t, c, "gate")
	inode := func(s *Stream) uint64 {
		var stat syscall.Stat_t
		if err := syscall.Fstat(int(s.ring.File().Fd()), &stat); err != nil {
			t.Fatal(err)
		}
		return stat.Ino
	}
	rings := map[string]uint64{"yard": inode(yard), "gate": inode(gate)}
	for generation := uint64(1); generation <= 3; generation++ {
		p := connectReady(t, c, generation)
		for range 2 {
			m, files, err := p.conn.Receive(soon())
			if err != nil {
				t.Fatal(err)
			}
			open := m.(*wire.OpenStream)
			var stat syscall.Stat_t
			if err := syscall.Fstat(int(files[0].Fd()), &stat); err != nil || stat.Ino != rings[open.Name] {
				t.Errorf("generation %d has another ring for %s: inode %d, want %d (%v)",
					generation, open.Name, stat.Ino, rings[open.Name], err)
			}
			discard(files)
		}
		offer(t, gate, int(generation))
		p.answer(p.record())
		if r := result(t, results); r.Generation != generation || r.Sequence != uint32(generation) {
			t.Errorf("generation %d: %+v", generation, r)
		}
		offer(t, gate, 100+int(generation)) // is in flight when the worker dies
		p.record()
		_ = p.conn.Close()
		p.failure(KindExit)
		refused(t, gate, 200, capture.DropWorkerDown)
	}
	if got := gate.Drops()[capture.DropWorkerDown]; got != 6 {
		t.Errorf("%d frames dropped by worker_down, want 6", got)
	}
	// One that opens later is told at once, one that was closed is not.
	if err := yard.Close(); err != nil {
		t.Fatal(err)
	}
	p := connectReady(t, c, 4)
	if got := receive[*wire.OpenStream](p); got.Name != "gate" {
		t.Errorf("told of %s", got.Name)
	}
	stream(t, c, "door")
	if got := receive[*wire.OpenStream](p); got.Name != "door" || got.Stream != 3 {
		t.Errorf("told of %s, stream %d", got.Name, got.Stream)
	}
}

func TestShutdown(t *testing.T) {
	c := newClient(Options{InFlight: 2})
	if err := c.Shutdown("nobody is there"); err == nil {
		t.Error("shutdown without a worker is no error")
	}
	s, results := stream(t, c, "yard")
	p := connectReady(t, c, 1)
	receive[*wire.OpenStream](p)
	offer(t, s, 1)
	offer(t, s, 2)
	first := p.record()
	second := p.record()
	if err := c.Shutdown("test ends"); err != nil {
		t.Fatal(err)
	}
	if got := receive[*wire.Shutdown](p); got.Reason != "test ends" {
		t.Errorf("reason %q", got.Reason)
	}
	refused(t, s, 3, capture.DropWorkerDown)
	p.answer(first)
	if r := result(t, results); r.Sequence != 1 {
		t.Errorf("frame %d", r.Sequence)
	}
	p.answer(second)
	p.send(&wire.Goodbye{Generation: 1})
	if err := p.end(); err != nil {
		t.Errorf("after goodbye: %v", err)
	}
	if r := result(t, results); r.Sequence != 2 {
		t.Errorf("frame %d", r.Sequence)
	}
	if err := p.link.Shutdown("again"); err == nil {
		t.Error("shutdown of a worker that has gone is no error")
	}
}

func TestShutdownWhileLoading(t *testing.T) {
	c := newClient(Options{})
	s, _ := stream(t, c, "yard")
	p := connect(t, c, 1)
	if err := p.link.Shutdown("changed my mind"); err != nil {
		t.Fatal(err)
	}
	receive[*wire.Shutdown](p)
	p.hello() // crossed it
	refused(t, s, 1, capture.DropWorkerDown)
	p.send(&wire.Goodbye{Generation: 1})
	if err := p.end(); err != nil {
		t.Error(err)
	}
}

func TestEndOfContextHangsUp(t *testing.T) {
	c := newClient(Options{})
	s, _ := stream(t, c, "yard")
	p := connectReady(t, c, 1)
	receive[*wire.OpenStream](p)
	offer(t, s, 1)
	p.record()
	p.hangUp()
	if err := p.end(); err != nil {
		t.Error(err)
	}
	if got := s.Drops()[capture.DropWorkerDown]; got != 1 || freeSlots(s) != 4 {
		t.Errorf("%d drops, %d free slots", got, freeSlots(s))
	}
}

func TestPool(t *testing.T) {
	c := newClient(Options{InFlight: 1, Workers: 2})
	s, results := stream(t, c, "yard")
	a := connectReady(t, c, 1)
	receive[*wire.OpenStream](a)
	b := connectReady(t, c, 2)
	receive[*wire.OpenStream](b)
	if got := c.Stats().Ready; got != 2 {
		t.Errorf("%d workers are ready", got)
	}
	offer(t, s, 1)
	offer(t, s, 2)
	refused(t, s, 3, capture.DropSuperseded)
	first, second := a.record(), b.record()
	// The second overtakes the first: Handle must not see that.
	b.answer(second)
	waitFor(t, func() bool { return c.Stats().Results == 1 })
	offer(t, s, 4)
	a.answer(first)
	for want := uint32(1); want <= 2; want++ {
		if r := result(t, results); r.Sequence != want || r.Generation != uint64(want) {
			t.Errorf("frame %d of worker %d, want %d", r.Sequence, r.Generation, want)
		}
	}
	// One dies with a frame that others wait for.
	b.record()
	offer(t, s, 5)
	fifth := a.record()
	a.answer(fifth)
	waitFor(t, func() bool { return c.Stats().Results == 3 })
	_ = b.conn.Close()
	b.failure(KindExit)
	if r := result(t, results); r.Sequence != 5 {
		t.Errorf("frame %d, want 5", r.Sequence)
	}
	offer(t, s, 6)
	a.answer(a.record())
	if r := result(t, results); r.Sequence != 6 {
		t.Errorf("frame %d, want 6", r.Sequence)
	}
}

func TestWorked(t *testing.T) {
	c := newClient(Options{})
	s, results := stream(t, c, "yard")
	p := connectReady(t, c, 1)
	receive[*wire.OpenStream](p)
	if got := p.link.Worked(); got != 0 {
		t.Errorf("worked for %s before any result", got)
	}
	began := time.Now()
	for i := range 3 {
		if err := s.Submit(t.Context(), frame(i)); err != nil {
			t.Fatal(err)
		}
		p.answer(p.record())
		result(t, results)
	}
	if got := p.link.Worked(); got <= 0 || got > time.Since(began) {
		t.Errorf("worked for %s", got)
	}
}

// FuzzHear has a worker say anything: the books must balance whatever it is.
func FuzzHear(f *testing.F) {
	f.Fuzz(func(t *testing.T, one, two []byte) {
		c := newClient(Options{})
		s, err := c.OpenStream(StreamOptions{Name: "yard", Format: testFormat, Handle: func(*Result) {}})
		if err != nil {
			t.Fatal(err)
		}
		l := c.Link(nil, wire.Load{Generation: 1})
		l.begin()
		model := testModel
		l.model, l.state = &model, linkReady
		offer(t, s, 1)
		offer(t, s, 2)
		l.next() // OpenStream
		l.told[s.id] = struct{}{}
		l.next() // Frames
		var decoder wire.Decoder
		for _, packet := range [][]byte{one, two} {
			if m, err := decoder.Decode(packet); err == nil {
				_ = l.hear(m, func() {}, func(infer.Model) {})
			}
		}
		stats := c.Stats()
		if stats.Submitted != 2 || stats.Results+stats.Damaged+stats.Failed+uint64(stats.InFlight) != 2 {
			t.Errorf("%+v", stats)
		}
		l.end(nil)
		if err := s.Drain(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := freeSlots(s); got != 4 {
			t.Errorf("%d slots of 4 are free", got)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
}
