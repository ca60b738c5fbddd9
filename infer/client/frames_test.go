package client

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"vedette/capture"
	"vedette/infer"
	"vedette/infer/wire"
)

func TestAFrameThereAndBack(t *testing.T) {
	c := newClient(Options{})
	s, results := stream(t, c, "yard")
	p := connectReady(t, c, 5)
	if got := receive[*wire.OpenStream](p); got.Name != "yard" || got.Format != testFormat ||
		got.Geometry.Slots != 4 || got.Geometry.SlotSize != 4096 || got.Generation != 5 {
		t.Fatalf("stream announced as %+v", got)
	}
	before := wire.Monotonic()
	f := frame(77)
	offer(t, s, 77)
	r := p.record()
	if r.Sequence != 77 || int(r.BytesUsed) != len(f.Data) || r.Monotonic != f.Monotonic ||
		r.Submitted < before || r.Submitted > wire.Monotonic() {
		t.Errorf("record %+v", r)
	}
	p.answer(r)
	got := result(t, results)
	if got.Timings.Total <= 0 || got.Timings.Total > patience {
		t.Errorf("total time %s", got.Timings.Total)
	}
	got.Timings.Total = 0
	model := testModel
	want := Result{
		Stream: s, Generation: 5, Sequence: 77, Monotonic: f.Monotonic, Wall: f.Wall, Pixels: f.Data,
		Detections: []infer.Detection{{Score: 0.5, Box: infer.Box{X2: 1, Y2: 1}}},
		Timings:    infer.Timings{Queue: 1, Preprocess: 2, Infer: 3, Decode: 4}, Model: &model,
	}
	if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b *Stream) bool { return a == b })); diff != "" {
		t.Errorf("result (-want +got):\n%s", diff)
	}
	if stats := c.Stats(); stats.Submitted != 1 || stats.Results != 1 || stats.Runs != 1 || stats.Stages.Infer != 3 || stats.Copy <= 0 {
		t.Errorf("stats %+v", stats)
	}
}

func TestDropsByCause(t *testing.T) {
	c := newClient(Options{InFlight: 2})
	release := make(chan struct{})
	s := streamWith(t, c, StreamOptions{Name: "yard", Format: testFormat, Handle: func(*Result) { <-release }})
	t.Cleanup(func() { close(release) })
	refused(t, s, 1, capture.DropWorkerDown)
	p := connectReady(t, c, 1)
	receive[*wire.OpenStream](p)
	for _, size := range []int{0, testFormat.SizeImage - 1, testFormat.SizeImage + 1} {
		f := capture.NewFrame(make([]byte, size), 1, 0, time.Time{}, nil)
		if cause, ok := s.Offer(f); ok || cause != capture.DropBadBuffer {
			t.Errorf("a frame of %d bytes: %q, %v", size, cause, ok)
		}
	}
	offer(t, s, 2)
	offer(t, s, 3)
	refused(t, s, 4, capture.DropSuperseded)
	// The same two places, again and again, until every slot is held by Handle.
	p.answer(p.record())
	p.answer(p.record())
	for i := range 2 {
		if err := s.Submit(t.Context(), frame(5+i)); err != nil {
			t.Fatal(err)
		}
		p.answer(p.record())
	}
	waitFor(t, func() bool { return c.Stats().Results == 4 })
	refused(t, s, 7, capture.DropNoSlot)
	// That is this stream's trouble alone.
	other, results := stream(t, c, "gate")
	receive[*wire.OpenStream](p)
	offer(t, other, 8)
	p.answer(p.record())
	result(t, results)
	for range 4 {
		release <- struct{}{}
	}
	if err := s.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	offer(t, s, 9)
	want := map[capture.DropCause]uint64{
		capture.DropWorkerDown: 1, capture.DropBadBuffer: 3, capture.DropSuperseded: 1, capture.DropNoSlot: 1,
	}
	if diff := cmp.Diff(want, s.Drops()); diff != "" {
		t.Errorf("drops (-want +got):\n%s", diff)
	}
}

func waitFor(t *testing.T, condition func() bool) {
	t.Helper()
	for deadline := soon(); !condition(); {
		if time.Now().After(deadline) {
			t.Fatal("it does not come about")
		}
	}
}

func TestRate(t *testing.T) {
	c := newClient(Options{})
	results := make(chan uint32, 100)
	s := streamWith(t, c, StreamOptions{
		Name: "yard", Format: testFormat, Rate: 5, Handle: func(r *Result) { results <- r.Sequence },
	})
	p := connectReady(t, c, 1)
	receive[*wire.OpenStream](p)
	for i := range 25 { // one second at 25 frames a second
		if _, ok := s.Offer(frame(i)); ok {
			p.answer(p.record())
			if got := <-results; got != uint32(i) || i%5 != 0 {
				t.Errorf("frame %d was taken", got)
			}
			if err := s.Drain(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	if got := s.Drops()[capture.DropRate]; got != 20 {
		t.Errorf("%d frames dropped by rate, want 20", got)
	}
}

func TestDamagedAndFailedFrames(t *testing.T) {
	c := newClient(Options{})
	s, results := stream(t, c, "yard")
	p := connectReady(t, c, 1)
	receive[*wire.OpenStream](p)
	for i, status := range []wire.Status{wire.StatusDamaged, wire.StatusFailed, wire.StatusOK} {
		offer(t, s, i)
		r := p.result(p.record())
		if r.Status = status; status != wire.StatusOK {
			r.Detections = nil
		}
		p.send(r)
		if err := s.Drain(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if r := result(t, results); r.Sequence != 2 {
		t.Errorf("a result for frame %d", r.Sequence)
	}
	stats := c.Stats()
	if stats.Damaged != 1 || stats.Failed != 1 || stats.Results != 1 || s.Drops()[capture.DropDecode] != 1 {
		t.Errorf("%+v, drops %v", stats, s.Drops())
	}
}

func TestTwoStreamsShareTheWorker(t *testing.T) {
	c := newClient(Options{InFlight: 1})
	yard, _ := stream(t, c, "yard")
	gate, _ := stream(t, c, "gate")
	p := connectReady(t, c, 1)
	receive[*wire.OpenStream](p)
	receive[*wire.OpenStream](p)
	ctx, cancel := context.WithCancel(t.Context())
	var both sync.WaitGroup
	for _, s := range []*Stream{yard, gate} {
		both.Go(func() {
			for i := 0; s.Submit(ctx, frame(i)) == nil; i++ {
			}
		})
	}
	var last uint32
	for i := range 40 { // while both want the one place
		waitFor(t, func() bool { return waiting(yard) && waiting(gate) && c.Stats().InFlight == 1 && free(yard, gate) })
		r := p.record()
		if r.Stream == last && i > 1 { // who comes first at the start is by chance
			t.Errorf("place %d: stream %d has it twice in a row", i, last)
		}
		last = r.Stream
		p.answer(r)
	}
	cancel()
	both.Wait()
}

// free tells whether nothing but frames in flight holds a slot: a stream without a slot loses its turn.
func free(streams ...*Stream) bool {
	c := streams[0].client
	c.mu.Lock()
	defer c.mu.Unlock()
	busy := 0
	for _, s := range streams {
		busy += s.busy
	}
	return busy == 1
}

func waiting(s *Stream) bool {
	s.client.mu.Lock()
	defer s.client.mu.Unlock()
	return s.patient && slices.Contains(s.client.queue.waiting, &s.turn)
}

func TestSubmitWaits(t *testing.T) {
	c := newClient(Options{InFlight: 1})
	s, results := stream(t, c, "yard")
	ended := make(chan error, 1)
	go func() { // before there is a worker
		for i := range 20 {
			if err := s.Submit(t.Context(), frame(i)); err != nil {
				ended <- err
				return
			}
		}
		ended <- s.Drain(t.Context())
	}()
	p := connectReady(t, c, 1)
	receive[*wire.OpenStream](p)
	for i := range 20 {
		p.answer(p.record())
		if r := result(t, results); r.Sequence != uint32(i) || !bytes.Equal(r.Pixels, frame(i).Data) {
			t.Fatalf("result for frame %d, want %d", r.Sequence, i)
		}
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}

	offer(t, s, 20) // takes the one place
	ctx, cancel := context.WithCancel(t.Context())
	go func() { ended <- s.Submit(ctx, frame(21)) }()
	waitFor(t, func() bool { return waiting(s) })
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("submit without a place, at the end of its context: %v", err)
	}
	go func() { ended <- s.Submit(t.Context(), frame(22)) }()
	waitFor(t, func() bool { return waiting(s) })
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if err := <-ended; !errors.Is(err, ErrClosed) {
		t.Errorf("submit to a stream that was closed: %v", err)
	}
	if err := s.Submit(t.Context(), frame(23)); !errors.Is(err, ErrClosed) {
		t.Errorf("submit to a closed stream: %v", err)
	}
	refused(t, s, 24, capture.DropWorkerDown)
	if len(c.queue.waiting) != 0 {
		t.Error("a place is kept for somebody who has gone")
	}
}

// take is the first half of Offer: a frame is being copied after it.
func take(t *testing.T, s *Stream, f *capture.Frame) (*Link, *lease) {
	t.Helper()
	s.client.mu.Lock()
	defer s.client.mu.Unlock()
	l, le, cause := s.take(f, wire.Monotonic(), false)
	if cause != "" {
		t.Fatalf("frame was dropped: %s", cause)
	}
	return l, le
}

func TestWhileAFrameIsCopied(t *testing.T) {
	before := held(t)
	c := newClient(Options{})
	s, _ := stream(t, c, "yard")
	for generation, ends := range []func(p *peer){
		func(p *peer) { p.hangUp() },
		func(p *peer) {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		},
	} {
		p := connectReady(t, c, uint64(generation))
		id := receive[*wire.OpenStream](p).Stream
		f := frame(1)
		l, le := take(t, s, f)
		// The worker has not been told of it: a result for it is made up.
		p.answer(wire.FrameRecord{Stream: id, Slot: uint32(le.slot.Index()), Sequence: 1})
		waitFor(t, func() bool { return c.Stats().Rejected[wire.UnknownFrame] == uint64(generation+1) })
		ends(p)
		if generation == 0 {
			if err := p.end(); err != nil {
				t.Error(err)
			}
		}
		if le.state != leaseCopying {
			t.Error("the slot was taken away from under the copy")
		}
		if cause := s.fill(l, le, f); cause != capture.DropWorkerDown {
			t.Errorf("after the copy: %q", cause)
		}
		if stats := c.Stats(); s.busy != 0 || stats.Submitted != 0 || stats.InFlight != 0 {
			t.Errorf("%d leases are held, stats %+v", s.busy, stats)
		}
		if generation == 0 && freeSlots(s) != 4 {
			t.Errorf("%d slots are free", freeSlots(s))
		}
		p.hangUp()
		p.conn.Close()
	}
	sameHeld(t, before)
}

func TestCloseWithFramesInFlight(t *testing.T) {
	before := held(t)
	c := newClient(Options{InFlight: 2})
	s, results := stream(t, c, "yard")
	p := connectReady(t, c, 1)
	id := receive[*wire.OpenStream](p).Stream
	offer(t, s, 1)
	r := p.record()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Errorf("second close: %v", err)
	}
	if got := receive[*wire.CloseStream](p).Stream; got != id {
		t.Errorf("stream %d was closed instead of %d", got, id)
	}
	if got := held(t); got.rings != before.rings+1 {
		t.Errorf("%d rings while a frame is in flight", got.rings-before.rings)
	}
	p.answer(r)
	waitFor(t, func() bool { return c.Stats().Results == 1 })
	if s.Drops()[capture.DropDeadline] != 1 || len(results) != 0 {
		t.Errorf("drops %v, %d results", s.Drops(), len(results))
	}
	p.hangUp()
	if err := p.end(); err != nil {
		t.Error(err)
	}
	if err := p.conn.Close(); err != nil {
		t.Error(err)
	}
	sameHeld(t, before)
}

func TestOpenStreamRefuses(t *testing.T) {
	c := newClient(Options{})
	before := held(t)
	bad := testFormat
	bad.Width = 0
	for _, o := range []StreamOptions{
		{Name: "no handler", Format: testFormat},
		{Name: "no format", Handle: func(*Result) {}},
		{Name: "bad format", Format: bad, Handle: func(*Result) {}},
	} {
		if _, err := c.OpenStream(o); err == nil {
			t.Errorf("%s: it was opened", o.Name)
		}
	}
	sameHeld(t, before)
}

// TestHotPathAllocatesNothing counts a frame's whole way, the test's own worker included.
func TestHotPathAllocatesNothing(t *testing.T) {
	if raceDetector {
		t.Skip("allocations cannot be counted with the race detector")
	}
	c := newClient(Options{})
	handled := make(chan struct{}, 4)
	s := streamWith(t, c, StreamOptions{Name: "yard", Format: testFormat, Handle: func(*Result) { handled <- struct{}{} }})
	p := connectReady(t, c, 1)
	receive[*wire.OpenStream](p)
	f := frame(1)
	answer := &wire.Result{Generation: 1, Detections: make([]infer.Detection, 20)}
	if n := testing.AllocsPerRun(500, func() {
		if _, ok := s.Offer(f); !ok {
			t.Error("frame was dropped")
		}
		m, _, err := p.conn.Receive(time.Time{})
		if err != nil {
			t.Fatal(err)
		}
		r := m.(*wire.Frames).Records[0]
		answer.Stream, answer.Slot, answer.Sequence = r.Stream, r.Slot, r.Sequence
		if err := p.conn.Send(time.Time{}, answer); err != nil {
			t.Error(err)
		}
		<-handled
	}); n != 0 {
		t.Errorf("%v allocations for a frame", n)
	}
}
