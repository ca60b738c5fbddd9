package client

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"vedette/capture"
	"vedette/infer"
	"vedette/infer/ring"
	"vedette/infer/wire"
)

func TestMain(m *testing.M) {
	if what := os.Getenv(childEnv); what != "" {
		os.Exit(child(what))
	}
	goleak.VerifyTestMain(m)
}

// patience is what no wait in these tests comes near to but one that fails.
const patience = 2 * time.Minute

func soon() time.Time { return time.Now().Add(patience) }

var (
	testFormat = capture.Format{Pixel: capture.Grey, Width: 64, Height: 64}.Packed()
	testModel  = infer.Model{Name: "coco", Labels: []string{"person"}, Width: 512, Height: 512}
)

// frame is one whose pixels all are the sequence's lowest byte.
func frame(sequence int) *capture.Frame {
	data := bytes.Repeat([]byte{byte(sequence)}, testFormat.SizeImage)
	at := time.Duration(sequence) * 40 * time.Millisecond
	return capture.NewFrame(data, uint32(sequence), at, time.Unix(1000, 0).Add(at), nil)
}

func newClient(opts Options) *Client { return New(opts, slog.New(slog.DiscardHandler)) }

// stream opens a stream whose results come out of the channel, copied.
func stream(t *testing.T, c *Client, name string) (*Stream, chan Result) {
	t.Helper()
	results := make(chan Result, 100)
	s := streamWith(t, c, StreamOptions{Name: name, Format: testFormat, Handle: func(r *Result) {
		got := *r
		got.Pixels, got.Detections = bytes.Clone(r.Pixels), append([]infer.Detection(nil), r.Detections...)
		results <- got
	}})
	return s, results
}

func streamWith(t *testing.T, c *Client, o StreamOptions) *Stream {
	t.Helper()
	s, err := c.OpenStream(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func offer(t *testing.T, s *Stream, sequence int) {
	t.Helper()
	if cause, ok := s.Offer(frame(sequence)); !ok {
		t.Fatalf("frame %d was dropped: %s", sequence, cause)
	}
}

func refused(t *testing.T, s *Stream, sequence int, want capture.DropCause) {
	t.Helper()
	if cause, ok := s.Offer(frame(sequence)); ok || cause != want {
		t.Fatalf("frame %d: got %q, %v, want it dropped by %s", sequence, cause, ok, want)
	}
}

func result(t *testing.T, results <-chan Result) Result {
	t.Helper()
	select {
	case r := <-results:
		return r
	case <-time.After(patience):
		t.Fatal("no result came")
		return Result{}
	}
}

// peer is the worker's end in a test's own hands, with Serve at the other.
type peer struct {
	t          *testing.T
	conn       *wire.Conn
	generation uint64
	link       *Link
	served     chan error
	hangUp     context.CancelFunc
	ready      chan infer.Model
	building   chan struct{}
	pending    []wire.FrameRecord // received and not yet given by record
}

// connect starts to serve a link, whose worker has received Load and nothing else yet.
func connect(t *testing.T, c *Client, generation uint64) *peer {
	t.Helper()
	parent, child, err := wire.Pair()
	if err != nil {
		t.Fatal(err)
	}
	conns := make([]*wire.Conn, 2)
	for i, f := range []*os.File{parent, child} {
		if conns[i], err = wire.NewConn(f); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	p := &peer{
		t: t, conn: conns[1], generation: generation, hangUp: cancel,
		link:   c.Link(conns[0], wire.Load{Generation: generation, Name: "coco"}),
		served: make(chan error, 1), ready: make(chan infer.Model, 2), building: make(chan struct{}, 2),
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		p.served <- p.link.Serve(ctx, func() { p.building <- struct{}{} }, func(m infer.Model) { p.ready <- m })
	}()
	t.Cleanup(func() {
		cancel()
		<-done
		_ = p.conn.Close()
	})
	if load := receive[*wire.Load](p); load.Generation != generation || load.Protocol != wire.ProtocolVersion ||
		load.Name != "coco" {
		t.Fatalf("load %+v", load)
	}
	return p
}

// connectReady is connect with a worker that has said Hello.
func connectReady(t *testing.T, c *Client, generation uint64) *peer {
	t.Helper()
	p := connect(t, c, generation)
	p.hello()
	return p
}

func (p *peer) hello() {
	p.t.Helper()
	p.send(&wire.Hello{Generation: p.generation, Protocol: wire.ProtocolVersion, PID: 1, Model: testModel})
	select {
	case <-p.ready:
	case err := <-p.served:
		p.t.Fatalf("serve ended: %v", err)
	}
}

func (p *peer) send(m wire.Message) {
	p.t.Helper()
	if err := p.conn.Send(soon(), m); err != nil {
		p.t.Fatal(err)
	}
}

func receive[T wire.Message](p *peer) T {
	p.t.Helper()
	m, files, err := p.conn.Receive(soon())
	if err != nil {
		p.t.Fatal(err)
	}
	discard(files)
	got, ok := m.(T)
	if !ok {
		p.t.Fatalf("got %s, want %T", wire.KindOf(m), got)
	}
	return got
}

// record receives the next frame.
func (p *peer) record() wire.FrameRecord {
	p.t.Helper()
	if len(p.pending) == 0 {
		frames := receive[*wire.Frames](p)
		if frames.Generation != p.generation {
			p.t.Fatalf("got frames for generation %d", frames.Generation)
		}
		p.pending = slices.Clone(frames.Records)
	}
	first := p.pending[0]
	p.pending = p.pending[1:]
	return first
}

func (p *peer) answer(r wire.FrameRecord) { p.t.Helper(); p.send(p.result(r)) }

func (p *peer) result(r wire.FrameRecord) *wire.Result {
	return &wire.Result{
		Generation: p.generation, Stream: r.Stream, Slot: r.Slot, Sequence: r.Sequence, First: true,
		Timings:    infer.Timings{Queue: 1, Preprocess: 2, Infer: 3, Decode: 4},
		Detections: []infer.Detection{{Score: 0.5, Box: infer.Box{X2: 1, Y2: 1}}},
	}
}

// end waits for Serve's end.
func (p *peer) end() error {
	p.t.Helper()
	select {
	case err := <-p.served:
		return err
	case <-time.After(patience):
		p.t.Fatal("Serve goes on")
		return nil
	}
}

// failure waits for Serve's end by a failure of that kind.
func (p *peer) failure(kind string) *Failure {
	p.t.Helper()
	err := p.end()
	var failure *Failure
	if !errors.As(err, &failure) || failure.Kind != kind {
		p.t.Fatalf("Serve ended by %v, want a failure of kind %s", err, kind)
	}
	return failure
}

// echo is a simple worker: it finds in each frame one object, of the class that the first pixel says. It beats its
// heart by itself.
func echo(conn *wire.Conn) error {
	m, _, err := conn.Receive(soon())
	if err != nil {
		return err
	}
	generation := wire.GenerationOf(m)
	hello := &wire.Hello{Generation: generation, Protocol: wire.ProtocolVersion, PID: os.Getpid(), Model: testModel}
	if err := conn.Send(soon(), hello); err != nil {
		return err
	}
	stop := make(chan struct{})
	var heart sync.WaitGroup
	defer heart.Wait()
	defer close(stop)
	heart.Go(func() { beat(conn, generation, stop) })
	views := make(map[uint32]*ring.View)
	defer func() {
		for _, v := range views {
			_ = v.Close()
		}
	}()
	answer := &wire.Result{Generation: generation, Detections: make([]infer.Detection, 1)}
	for {
		m, files, err := conn.Receive(time.Time{})
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		switch m := m.(type) {
		case *wire.OpenStream:
			if views[m.Stream], err = ring.Open(files[0], m.Geometry); err != nil {
				return err
			}
			discard(files)
		case *wire.CloseStream:
			if views[m.Stream] == nil {
				return fmt.Errorf("stream %d was never opened", m.Stream)
			}
			err = views[m.Stream].Close()
			delete(views, m.Stream)
		case *wire.Frames:
			for _, r := range m.Records {
				pixels, err := views[r.Stream].Slot(int(r.Slot))
				if err != nil {
					return err
				}
				answer.Stream, answer.Slot, answer.Sequence = r.Stream, r.Slot, r.Sequence
				answer.Detections[0] = infer.Detection{Class: look(pixels[:r.BytesUsed]), Score: 1}
				if err := conn.Send(soon(), answer); err != nil {
					return err
				}
			}
		case *wire.Shutdown:
			return conn.Send(soon(), &wire.Goodbye{Generation: generation})
		}
		if err != nil {
			return err
		}
	}
}

// look reads a pixel of each cache line, as a fast preprocessor would.
func look(pixels []byte) int {
	sum := 0
	for i := 0; i < len(pixels); i += 64 {
		sum += int(pixels[i])
	}
	return sum / ((len(pixels) + 63) / 64)
}

// prepare is a worker that never gets done with what comes before the first frame, and beats its heart.
func prepare(conn *wire.Conn, stage wire.Stage) error {
	m, _, err := conn.Receive(soon())
	for range time.Tick(10 * time.Millisecond) {
		if err != nil {
			break
		}
		err = conn.Send(soon(), &wire.Heartbeat{Generation: wire.GenerationOf(m), Stage: stage})
	}
	return err
}

func beat(conn *wire.Conn, generation uint64, stop <-chan struct{}) {
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	for {
		select {
		case <-stop:
			return
		case <-ticker.C:
			if conn.Send(soon(), &wire.Heartbeat{Generation: generation, Stage: wire.StageReady}) != nil {
				return
			}
		}
	}
}
