package wire

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"vedette/infer/ring"
)

func soon() time.Time { return time.Now().Add(2 * time.Minute) }

func pair(t *testing.T) (*Conn, *Conn) {
	t.Helper()
	a, b, err := Pair()
	if err != nil {
		t.Fatal(err)
	}
	return newConn(t, a), newConn(t, b)
}

func newConn(t *testing.T, f *os.File) *Conn {
	t.Helper()
	c, err := NewConn(f)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func TestAChildReadsAFrame(t *testing.T) {
	conn, cmd := startChild(t, "read")
	r, err := ring.New("test", 4, 4096)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Close() }()
	slot, _ := r.Acquire()
	used := copy(slot.Bytes(), "seen through shared memory")

	open := *messages()[1].(*OpenStream)
	open.Geometry = r.Geometry()
	if err := conn.Send(soon(), &open, r.File()); err != nil {
		t.Fatal(err)
	}
	if err := conn.Send(soon(), &Frames{Generation: 7, Records: []FrameRecord{{BytesUsed: uint32(used)}}}); err != nil {
		t.Fatal(err)
	}
	m, _, err := conn.Receive(soon())
	if err != nil {
		t.Fatal(err)
	}
	if got := m.(*Fault).Message; got != "SEEN THROUGH SHARED MEMORY" {
		t.Errorf("the child says %q", got)
	}
	if _, _, err := conn.Receive(soon()); !errors.Is(err, io.EOF) {
		t.Errorf("after the child's end: %v", err)
	}
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
	if err := conn.Send(soon(), &Shutdown{}); !errors.Is(err, syscall.EPIPE) {
		t.Errorf("a message to a dead child: %v", err)
	}
}

// TestLastWordsSurvive has a child say what is wrong and die with mail unread, at which the kernel would rather speak
// of a reset connection.
func TestLastWordsSurvive(t *testing.T) {
	conn, cmd := startChild(t, "die")
	for range 3 {
		if err := conn.Send(soon(), &Shutdown{Generation: 7}); err != nil {
			t.Fatal(err)
		}
	}
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	m, _, err := conn.Receive(soon())
	if err != nil {
		t.Fatal(err)
	}
	if fault, ok := m.(*Fault); !ok || fault.Message != "last words" {
		t.Errorf("got %v", m)
	}
	if _, _, err := conn.Receive(soon()); !errors.Is(err, io.EOF) {
		t.Errorf("after it: %v", err)
	}
}

// raw sends a packet that no Send would.
func raw(t *testing.T, c *Conn, packet []byte, files ...*os.File) {
	t.Helper()
	var rights []byte
	if len(files) > 0 {
		var fds []int
		for _, f := range files {
			fds = append(fds, int(f.Fd()))
		}
		rights = unix.UnixRights(fds...)
	}
	if _, _, err := c.socket.WriteMsgUnix(packet, rights, nil); err != nil {
		t.Fatal(err)
	}
}

func TestRejectedPackets(t *testing.T) {
	a, b := pair(t)
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = null.Close() }()
	open, goodbye := edited(messages()[1], set(0, 'V')), edited(&Goodbye{}, set(0, 'V'))
	before := openFiles(t)
	for _, c := range []struct {
		name   string
		packet []byte
		files  []*os.File
		reason Reason
	}{
		{"a byte too many", make([]byte, MaxMessage+1), nil, Oversized},
		{"far too many bytes", make([]byte, 150<<10), nil, Oversized},
		{"too many bytes and a file", make([]byte, MaxMessage+1), []*os.File{null}, Oversized},
		{"garbage", []byte("GET / HTTP/1.1\r\n\r\n"), nil, Malformed},
		{"one byte", []byte{'V'}, nil, Truncated},
		{"a stream without its file", open, nil, BadFiles},
		{"a stream with two files", open, []*os.File{null, null}, BadFiles},
		{"a stream with many files", open, []*os.File{null, null, null, null, null, null}, BadFiles},
		{"a file where none belongs", goodbye, []*os.File{null}, BadFiles},
		{"a file with garbage", []byte("garbage, garbage, garbage"), []*os.File{null}, Malformed},
	} {
		raw(t, a, c.packet, c.files...)
		m, files, err := b.Receive(soon())
		var rejected *Rejected
		if !errors.As(err, &rejected) || rejected.Reason != c.reason {
			t.Errorf("%s: got %v, %v, want %s", c.name, m, err, c.reason)
		}
		if len(files) > 0 {
			t.Errorf("%s: files were given with the error", c.name)
		}
		if got := openFiles(t); got != before {
			t.Errorf("%s: %d open files, want %d", c.name, got, before)
		}
		// The connection is as good as before.
		if err := a.Send(soon(), &Heartbeat{Stage: StageReady, Counter: 5}); err != nil {
			t.Fatal(err)
		}
		if m, _, err := b.Receive(soon()); err != nil || m.(*Heartbeat).Counter != 5 {
			t.Fatalf("after %s: %v, %v", c.name, m, err)
		}
	}
}

func TestDeadlines(t *testing.T) {
	a, b := pair(t)
	if _, _, err := b.Receive(time.Now().Add(10 * time.Millisecond)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("receive without a message: %v", err)
	}
	// A connection without a reader fills up.
	var err error
	sent := 0
	for err == nil && sent < 1<<20 {
		if err = a.Send(time.Now().Add(50*time.Millisecond), fullResult()); err == nil {
			sent++
		}
	}
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("after %d messages that nobody read: %v", sent, err)
	}
	for range sent { // and can be used again once it is read, without a deadline now
		if _, _, err := b.Receive(time.Time{}); err != nil {
			t.Fatal(err)
		}
	}
	if err := a.Send(soon(), &Goodbye{}); err != nil {
		t.Error(err)
	}
}

func TestCloseEndsReceive(t *testing.T) {
	a, _ := pair(t)
	ended := make(chan error)
	go func() {
		_, _, err := a.Receive(time.Time{})
		ended <- err
	}()
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; !errors.Is(err, net.ErrClosed) {
		t.Errorf("receive on a closed connection: %v", err)
	}
}

func TestSendRefuses(t *testing.T) {
	a, b := pair(t)
	gone, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	if err := gone.Close(); err != nil {
		t.Fatal(err)
	}
	if err := a.Send(soon(), messages()[1], gone); !errors.Is(err, os.ErrClosed) {
		t.Errorf("a closed file: %v", err)
	}
	if err := a.Send(soon(), messages()[1], gone, gone); err == nil {
		t.Error("two files were sent")
	}
	if err := a.Send(soon(), &Frames{}); err == nil || !strings.Contains(err.Error(), "0 records") {
		t.Errorf("no frames: %v", err)
	}
	if _, _, err := b.Receive(time.Now().Add(time.Millisecond)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("something was sent all the same: %v", err)
	}
}

func TestNewConnRefuses(t *testing.T) {
	before := openFiles(t)
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range []*os.File{os.NewFile(uintptr(fds[0]), "a"), os.NewFile(uintptr(fds[1]), "b"), null} {
		if _, err := NewConn(f); err == nil {
			t.Errorf("%s was taken for a connection", f.Name())
		}
	}
	if got := openFiles(t); got != before {
		t.Errorf("%d open files, want %d", got, before)
	}
}

func TestSendFromManyGoroutines(t *testing.T) {
	a, b := pair(t)
	var group sync.WaitGroup
	const senders, each = 4, 200
	for sender := range senders {
		group.Go(func() {
			for i := range each {
				r := fullResult()
				r.Stream, r.Sequence = uint32(sender), uint32(i)
				if err := a.Send(soon(), r); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	var next [senders]uint32
	for range senders * each {
		m, _, err := b.Receive(soon())
		if err != nil {
			t.Fatal(err)
		}
		r := m.(*Result)
		if r.Sequence != next[r.Stream] || len(r.Detections) != 20 {
			t.Fatalf("sender %d: message %d with %d detections, want message %d",
				r.Stream, r.Sequence, len(r.Detections), next[r.Stream])
		}
		next[r.Stream]++
	}
	group.Wait()
}

func TestConnectionAllocatesNothing(t *testing.T) {
	if raceDetector {
		t.Skip("allocations cannot be counted with the race detector")
	}
	a, b := pair(t)
	for _, m := range hotMessages() {
		deadline := soon()
		var failed error
		if n := testing.AllocsPerRun(200, func() {
			if err := a.Send(deadline, m); err != nil {
				failed = err
			}
			if _, _, err := b.Receive(time.Time{}); err != nil {
				failed = err
			}
		}); n != 0 || failed != nil {
			t.Errorf("%s: %v allocations, %v", KindOf(m), n, failed)
		}
	}
}

func openFiles(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

func BenchmarkConn(b *testing.B) {
	x, y, err := Pair()
	if err != nil {
		b.Fatal(err)
	}
	from, err := NewConn(x)
	if err != nil {
		b.Fatal(err)
	}
	to, err := NewConn(y)
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _, _ = from.Close(), to.Close() }()
	for _, m := range hotMessages() {
		b.Run(fmt.Sprint(KindOf(m)), func(b *testing.B) {
			b.ReportAllocs()
			deadline := time.Now().Add(time.Hour)
			for b.Loop() {
				if err := from.Send(deadline, m); err != nil {
					b.Fatal(err)
				}
				if _, _, err := to.Receive(time.Time{}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
