package worker

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"vedette/infer"
	"vedette/infer/onnx"
	"vedette/infer/wire"
)

// The test binary is its own child: a worker on descriptor 3. It exits as os.Exit does where there is no race detector, which
// would run the destructors of ONNX Runtime below a load that Run has left in the middle.
func TestMain(m *testing.M) {
	if os.Getenv("WORKER_TEST_CHILD") != "" {
		logger := slog.New(slog.NewTextHandler(os.Stderr, nil))
		if err := Run(context.Background(), Env{Control: os.NewFile(3, "control"), Logger: logger}); err != nil {
			fmt.Fprintln(os.Stderr, "exit:", err)
			syscall.Exit(1)
		}
		syscall.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

// patience bounds every wait of these tests.
const patience = 2 * time.Minute

const generation = 7

type child struct {
	*testing.T
	conn   *wire.Conn
	exited chan error
	stderr *strings.Builder // only after exited

	heartbeats map[wire.Stage]int
}

func start(t *testing.T) *child {
	t.Helper()
	parentEnd, childEnd, err := wire.Pair()
	if err != nil {
		t.Fatal(err)
	}
	defer childEnd.Close()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "WORKER_TEST_CHILD=1", "GORACE=halt_on_error=1") // a race ends the child by itself
	cmd.ExtraFiles = []*os.File{childEnd}
	c := &child{T: t, exited: make(chan error, 1), stderr: &strings.Builder{}, heartbeats: map[wire.Stage]int{}}
	cmd.Stderr = c.stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { c.exited <- cmd.Wait() }()
	if c.conn, err = wire.NewConn(parentEnd); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.conn.Close()
		select {
		case err := <-c.exited:
			c.exited <- err
		case <-time.After(patience):
			cmd.Process.Kill()
			t.Error("the child outlived its parent's end")
			<-c.exited
		}
		if t.Failed() {
			t.Logf("the child's log:\n%s", c.stderr)
		}
	})
	return c
}

func (c *child) send(m wire.Message, files ...*os.File) {
	c.Helper()
	if err := c.conn.Send(time.Now().Add(patience), m, files...); err != nil {
		c.Fatal(err)
	}
}

// next gives the next message that is no heartbeat; heartbeats are counted.
func (c *child) next() wire.Message {
	c.Helper()
	for {
		m, _, err := c.conn.Receive(time.Now().Add(patience))
		if err != nil {
			c.Fatal(err)
		}
		if wire.GenerationOf(m) != generation {
			c.Fatalf("%s of generation %d", wire.KindOf(m), wire.GenerationOf(m))
		}
		beat, ok := m.(*wire.Heartbeat)
		if !ok {
			return m
		}
		c.heartbeats[beat.Stage]++
	}
}

func (c *child) exit() error {
	c.Helper()
	select {
	case err := <-c.exited:
		c.exited <- err
		return err
	case <-time.After(patience):
		c.Fatal("the child does not end")
		return nil
	}
}

func expect[M wire.Message](c *child) M {
	c.Helper()
	m := c.next()
	want, ok := m.(M)
	if !ok {
		c.Fatalf("the child sends %s %+v: want %T", wire.KindOf(m), m, want)
	}
	return want
}

// required is a file that set-up makes; the test fails without it.
func required(t testing.TB, variable string, path ...string) string {
	t.Helper()
	file := os.Getenv(variable)
	if file == "" {
		file = filepath.Join(append([]string{"..", ".."}, path...)...)
	}
	if _, err := os.Stat(file); err != nil {
		t.Fatalf("there is no %s: run make setup, or set %s", file, variable)
	}
	return file
}

func defaultLoad(t testing.TB) wire.Load {
	return wire.Load{
		Generation: generation, Protocol: wire.ProtocolVersion, Name: "coco",
		ModelPath:  required(t, "VEDETTE_MODEL", "build", "models", "coco.onnx"),
		Runtime:    required(t, onnx.EnvLibrary, "build", "onnxruntime", runtime.GOARCH, "libonnxruntime.so"),
		Providers:  []string{"cpu"},
		Fallback:   "fail",
		Thresholds: infer.Thresholds{"default": 0.4}, Low: 1,
	}
}
