package worker

import (
	"errors"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"vedette/infer/wire"
)

func TestConversation(t *testing.T) {
	t.Run("one after the other", func(t *testing.T) { converse(t, false) })
	t.Run("ahead", func(t *testing.T) { converse(t, true) })
}

func converse(t *testing.T, ahead bool) {
	c := start(t)
	p := photograph(t)
	load := defaultLoad(t)
	load.Ahead = ahead
	c.send(load)
	hello := expect[*wire.Hello](c)
	if m := hello.Model; hello.Protocol != wire.ProtocolVersion || m.Name != "coco" || m.Family != "centernet" ||
		m.Provider != "cpu" || m.Degraded != "" || len(m.SHA256) != 64 || m.Runtime == "" || m.Label(0) != "person" {
		t.Errorf("hello %+v", hello)
	}
	if c.heartbeats[wire.StageLoading] == 0 {
		t.Error("no heartbeat came before hello")
	}

	yuyv := p.ring(t, p.yuyv())
	jpeg := p.ring(t, p.jpeg)
	c.send(wire.OpenStream{
		Generation: generation, Stream: 1, Name: "raw", Format: p.format(), Geometry: yuyv.Geometry(),
	}, yuyv.File())
	c.send(wire.OpenStream{
		Generation: generation, Stream: 2, Name: "jpeg", Format: p.jpegFormat(), Geometry: jpeg.Geometry(),
	}, jpeg.File())
	now := wire.Monotonic()
	c.send(wire.Frames{Generation: generation, Records: []wire.FrameRecord{
		{Stream: 1, Slot: 0, Sequence: 41, BytesUsed: uint32(len(p.yuyv())), Monotonic: now, Submitted: now},
		{Stream: 2, Slot: 0, Sequence: 42, BytesUsed: uint32(len(p.jpeg)), Monotonic: now, Submitted: now},
		{Stream: 2, Slot: 0, Sequence: 43, BytesUsed: uint32(len(p.jpeg) / 2), Monotonic: now, Submitted: now},
		{Stream: 1, Slot: 0, Sequence: 44, BytesUsed: 100, Monotonic: now, Submitted: now},
		{Stream: 1, Slot: 9, Sequence: 45, BytesUsed: 100, Monotonic: now, Submitted: now},
		{Stream: 3, Slot: 0, Sequence: 46, BytesUsed: 100, Monotonic: now, Submitted: now},
		{Stream: 1, Slot: 0, Sequence: 47, BytesUsed: 1 << 31, Monotonic: now, Submitted: now},
	}})
	for i, want := range []wire.Status{
		wire.StatusOK, wire.StatusOK, wire.StatusDamaged, wire.StatusDamaged,
		wire.StatusFailed, wire.StatusFailed, wire.StatusFailed,
	} {
		r := expect[*wire.Result](c)
		if r.Sequence != uint32(41+i) || r.Status != want {
			t.Errorf("result %d has sequence %d and status %d: want %d and %d", i, r.Sequence, r.Status, 41+i, want)
		}
		if want == wire.StatusOK {
			p.check(t, r.Detections)
			if x := r.Timings; x.Preprocess <= 0 || x.Infer <= 0 || x.Decode <= 0 || x.Queue <= 0 {
				t.Errorf("timings %+v", x)
			}
		}
	}

	c.send(wire.CloseStream{Generation: generation, Stream: 1})
	c.send(wire.Frames{Generation: generation, Records: []wire.FrameRecord{{Stream: 1, Sequence: 50, BytesUsed: 100}}})
	if r := expect[*wire.Result](c); r.Status != wire.StatusFailed {
		t.Errorf("a closed stream's frame has status %d", r.Status)
	}
	// What is in flight is finished before the goodbye.
	last := wire.FrameRecord{Stream: 2, Sequence: 51, BytesUsed: uint32(len(p.jpeg))}
	c.send(wire.Frames{Generation: generation, Records: []wire.FrameRecord{last}})
	c.send(wire.Shutdown{Generation: generation, Reason: "test"})
	p.check(t, expect[*wire.Result](c).Detections)
	expect[*wire.Goodbye](c)
	if err := c.exit(); err != nil {
		t.Errorf("after its goodbye the child ends with %v", err)
	}
}

func TestWrongMessagesAreNotObeyed(t *testing.T) {
	c := start(t)
	p := photograph(t)
	ring := p.ring(t, p.yuyv())
	c.send(wire.Frames{Generation: generation, Records: []wire.FrameRecord{{Stream: 1}}}) // before load
	c.send(defaultLoad(t))
	c.send(defaultLoad(t)) // twice
	expect[*wire.Hello](c)
	stream := wire.OpenStream{Generation: generation - 1, Stream: 1, Name: "x", Format: p.format(), Geometry: ring.Geometry()}
	c.send(stream, ring.File())
	c.send(wire.Shutdown{Generation: generation + 1, Reason: "not for you"})
	c.send(wire.Goodbye{Generation: generation})
	stream.Generation = generation
	stream.Geometry.Slots++ // not this ring's
	c.send(stream, ring.File())
	c.send(wire.Frames{Generation: generation, Records: []wire.FrameRecord{{Stream: 1, Sequence: 1}}})
	if r := expect[*wire.Result](c); r.Status != wire.StatusFailed {
		t.Errorf("a frame of a stream that cannot be opened has status %d", r.Status)
	}
	stream.Stream, stream.Geometry.Slots = 2, ring.Geometry().Slots
	c.send(stream, ring.File())
	c.send(stream, ring.File()) // twice
	c.send(wire.Frames{Generation: generation, Records: []wire.FrameRecord{{Stream: 2, BytesUsed: uint32(len(p.yuyv()))}}})
	p.check(t, expect[*wire.Result](c).Detections)
}

func TestGarbageIsSurvived(t *testing.T) {
	parentEnd, childEnd, err := wire.Pair()
	if err != nil {
		t.Fatal(err)
	}
	halfLoad := []byte("V\x01\x01\x00\x02\x00\x00\x00\x07\x00\x00\x00\x00\x00\x00\x00{]")
	for i, garbage := range [][]byte{{0}, []byte("V"), make([]byte, 60<<10), halfLoad} {
		if _, err := parentEnd.Write(garbage); err != nil {
			t.Fatalf("garbage %d: %v", i, err)
		}
	}
	if err := parentEnd.Close(); err != nil {
		t.Fatal(err)
	}
	if err := Run(t.Context(), Env{Control: childEnd, Logger: slog.New(slog.DiscardHandler)}); err != nil {
		t.Errorf("Run ends with %v: want nothing, for the parent has gone", err)
	}
}

func TestLoadFails(t *testing.T) {
	folder := t.TempDir()
	text := filepath.Join(folder, "text.onnx")
	if err := os.WriteFile(text, []byte("hello, world"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		change func(*wire.Load)
		kind   string
		want   string
	}{
		"missing model": {
			func(l *wire.Load) { l.ModelPath = folder + "/none.onnx" }, "load", folder + "/none.onnx: there is no such file",
		},
		"not a model": {func(l *wire.Load) { l.ModelPath = text }, "load", "not an ONNX model"},
		"missing library": {
			func(l *wire.Load) { l.Runtime = folder + "/libonnxruntime.so" }, "load", folder + "/libonnxruntime.so",
		},
		"no such family": {
			func(l *wire.Load) { l.ModelPath = "../onnx/testdata/free_batch.onnx" }, "load",
			`family "plus-one"; known are centernet`,
		},
		"protocol": {func(l *wire.Load) { l.Protocol = 99 }, "protocol", "protocol 99"},
	} {
		t.Run(name, func(t *testing.T) {
			child := start(t)
			load := defaultLoad(t)
			c.change(&load)
			child.send(load)
			fault := expect[*wire.Fault](child)
			if fault.Kind != c.kind || !strings.Contains(fault.Message, c.want) || strings.Contains(fault.Message, "\n") {
				t.Errorf("fault %+v: want kind %s and one line with %q", fault, c.kind, c.want)
			}
			var exit *exec.ExitError
			err := child.exit()
			if !errors.As(err, &exit) || exit.ExitCode() != 1 || !strings.Contains(child.stderr.String(), c.want) {
				t.Errorf("the child ends with %v and says\n%s", err, child.stderr)
			}
		})
	}
}

func TestParentsEndEndsTheChild(t *testing.T) {
	t.Run("before load", func(t *testing.T) {
		c := start(t)
		c.conn.Close()
		if err := c.exit(); err != nil {
			t.Error(err)
		}
	})
	t.Run("while loading", func(t *testing.T) {
		c := start(t)
		c.send(defaultLoad(t))
		c.conn.Close()
		if err := c.exit(); err != nil {
			t.Error(err)
		}
	})
	t.Run("when ready", func(t *testing.T) {
		c := start(t)
		c.send(defaultLoad(t))
		expect[*wire.Hello](c)
		begin := time.Now()
		c.conn.Close()
		if err := c.exit(); err != nil || time.Since(begin) > 10*time.Second {
			t.Errorf("the child ends after %s with %v", time.Since(begin), err)
		}
	})
}

func TestShutdownWhileLoading(t *testing.T) {
	c := start(t)
	c.send(defaultLoad(t))
	c.send(wire.Shutdown{Generation: generation, Reason: "test"})
	for {
		m := c.next()
		if _, ok := m.(*wire.Goodbye); ok {
			break
		}
		if _, ok := m.(*wire.Hello); !ok {
			t.Fatalf("the child sends %s", wire.KindOf(m))
		}
	}
	if err := c.exit(); err != nil {
		t.Error(err)
	}
}
