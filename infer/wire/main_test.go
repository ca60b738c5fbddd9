package wire

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"testing"
	"time"

	"go.uber.org/goleak"

	"vedette/infer/ring"
)

// The test binary re-executes itself as a worker: its end of the connection is number 3.
const childEnv = "VEDETTE_WIRE_TEST_CHILD"

func TestMain(m *testing.M) {
	if what := os.Getenv(childEnv); what != "" {
		if err := worker(what, os.NewFile(3, "control")); err != nil {
			fmt.Fprintln(os.Stderr, "child:", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

// worker is a child that either reads a frame out of the ring that it is sent, or dies with mail unread.
func worker(what string, f *os.File) error {
	conn, err := NewConn(f)
	if err != nil {
		return err
	}
	deadline := time.Now().Add(2 * time.Minute)
	if what == "die" {
		if _, _, err := conn.Receive(deadline); err != nil {
			return err
		}
		return conn.Send(deadline, &Fault{Generation: 7, Kind: "panic", Message: "last words"})
	}
	m, files, err := conn.Receive(deadline)
	if err != nil {
		return err
	}
	view, err := ring.Open(files[0], m.(*OpenStream).Geometry)
	if err != nil {
		return err
	}
	m, _, err = conn.Receive(deadline)
	if err != nil {
		return err
	}
	record := m.(*Frames).Records[0]
	pixels, err := view.Slot(int(record.Slot))
	if err != nil {
		return err
	}
	text := bytes.ToUpper(pixels[:record.BytesUsed])
	return conn.Send(deadline, &Fault{Generation: 7, Kind: "load", Message: string(text)})
}

func startChild(t *testing.T, what string) (*Conn, *exec.Cmd) {
	t.Helper()
	parent, child, err := Pair()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), childEnv+"="+what)
	cmd.ExtraFiles = []*os.File{child}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if err := child.Close(); err != nil {
		t.Fatal(err)
	}
	conn, err := NewConn(parent)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn, cmd
}
