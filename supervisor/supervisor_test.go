package supervisor

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"vedette/supervisor/process"
	"vedette/test/logtest"
)

const roleEnv = "SUPERVISOR_TEST_ROLE"

// patience is what no wait in these tests comes near to but one that fails.
const patience = 2 * time.Minute

// TestMain lets the test binary be its own child.
func TestMain(m *testing.M) {
	if role := os.Getenv(roleEnv); role != "" {
		child(role)
		return
	}
	goleak.VerifyTestMain(m)
}

// child reads orders on descriptor 3 and says "ready" there first.
func child(role string) {
	if err := process.ReportCrashes(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(9)
	}
	talk := os.NewFile(3, "talk")
	fmt.Fprintln(os.Stderr, "hello from", role)
	switch role {
	case "panic":
		panic("out of cheese")
	case "segv":
		_ = syscall.Kill(os.Getpid(), syscall.SIGSEGV)
		select {}
	case "exit":
		fmt.Fprintln(os.Stderr, "last words")
		os.Exit(3)
	case "stubborn":
		signal.Ignore(syscall.SIGTERM)
	}
	fmt.Fprintln(talk, "ready")
	lines := bufio.NewScanner(talk)
	for lines.Scan() {
		if lines.Text() == "end" && role == "obedient" {
			return
		}
	}
	if role == "stubborn" {
		select {}
	}
}

// lineTalk is a conversation by lines over a socketpair.
type lineTalk struct {
	end     *os.File
	failure *Failure // what Serve reports once the worker is ready
}

func (l *lineTalk) Serve(ctx context.Context, _, ready func()) error {
	defer l.end.Close()
	stop := context.AfterFunc(ctx, func() { _ = l.end.SetReadDeadline(time.Now()) })
	defer stop()
	lines := bufio.NewScanner(l.end)
	for lines.Scan() {
		if lines.Text() == "ready" {
			ready()
			if l.failure != nil {
				return l.failure
			}
		}
	}
	if ctx.Err() != nil {
		return nil
	}
	return &Failure{Kind: KindExit, Message: "connection closed"}
}

func (l *lineTalk) Shutdown(string) error {
	_, err := fmt.Fprintln(l.end, "end")
	return err
}

func (l *lineTalk) Worked() time.Duration { return 0 }

// rig runs a supervisor over children of the given roles, one per generation; the last role repeats.
type rig struct {
	*Supervisor
	faults   chan Fault
	states   chan Status
	progress chan struct{}
	log      *logtest.Log
	stop     func() error
}

func startRig(t *testing.T, failure *Failure, roles ...string) *rig {
	t.Helper()
	r := &rig{faults: make(chan Fault, 16), states: make(chan Status, 256), progress: make(chan struct{}, 256), log: &logtest.Log{}}
	policy := DefaultPolicy()
	policy.FirstDelay, policy.DegradedDelay = time.Millisecond, time.Hour
	r.Supervisor = New(Options{
		Name: "worker", Policy: policy, StopWithin: 900 * time.Millisecond,
		Fault: func(f Fault) { r.faults <- f }, Changed: func(s Status) { r.states <- s },
		Progress: func() {
			select {
			case r.progress <- struct{}{}:
			default:
			}
		},
		Logger: slog.New(slog.NewTextHandler(r.log, nil)),
		Launch: func(generation uint64) (process.Spec, Conversation, error) {
			role := roles[min(int(generation), len(roles))-1]
			if role == "unlaunchable" {
				return process.Spec{}, nil, errors.New("no such model")
			}
			pair, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC|syscall.SOCK_NONBLOCK, 0)
			if err != nil {
				return process.Spec{}, nil, err
			}
			env := append(os.Environ(), roleEnv+"="+role, "GORACE=atexit_sleep_ms=0")
			return process.Spec{
				Path: "/proc/self/exe", Env: env,
				Files: []*os.File{os.NewFile(uintptr(pair[1]), "child's end")},
			}, &lineTalk{end: os.NewFile(uintptr(pair[0]), "parent's end"), failure: failure}, nil
		},
	})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	r.stop = sync.OnceValue(func() error { cancel(); return <-done })
	t.Cleanup(func() { _ = r.stop() })
	return r
}

func (r *rig) await(t *testing.T, state State) Status {
	t.Helper()
	timeout := time.After(patience)
	for {
		select {
		case s := <-r.states:
			if s.State == state {
				return s
			}
		case <-timeout:
			t.Fatalf("no state %s within %v; log:\n%s", state, patience, r.log)
		}
	}
}

func (r *rig) fault(t *testing.T) Fault {
	t.Helper()
	select {
	case f := <-r.faults:
		return f
	case <-time.After(patience):
		t.Fatalf("no fault within %v; log:\n%s", patience, r.log)
		return Fault{}
	}
}

func gone(pid int) bool { return errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) }

func TestEachDeathBecomesAFaultAndANewGeneration(t *testing.T) {
	for _, c := range []struct {
		role      string
		failure   *Failure
		kind      Kind
		message   string
		traceback string
		exception string
		code      int
		signal    syscall.Signal
	}{
		{role: "panic", kind: KindPanic, message: "panic: out of cheese", traceback: "goroutine 1", exception: "panic", code: 2},
		{
			role: "segv", kind: KindSignal, message: "SIGSEGV", traceback: "goroutine", exception: "SIGSEGV", code: 2,
			signal: syscall.SIGSEGV,
		},
		{role: "exit", kind: KindExit, message: "exited with code 3", code: 3},
		{
			role: "stubborn", failure: &Failure{KindHang, "no result for 5s", ""}, kind: KindHang,
			message: "no result for 5s", code: -1, signal: syscall.SIGKILL,
		},
		{role: "obedient", failure: &Failure{KindLoad, "not ONNX", ""}, kind: KindLoad, message: "not ONNX", code: 0},
		{role: "unlaunchable", kind: KindLoad, message: "no such model", code: -1},
	} {
		t.Run(c.role+"_"+string(c.kind), func(t *testing.T) {
			r := startRig(t, c.failure, c.role)
			f := r.fault(t)
			if f.Kind != c.kind || !strings.Contains(f.Message, c.message) || !strings.Contains(f.Traceback, c.traceback) {
				t.Errorf("fault %s %q with traceback %q, want %s %q with %q",
					f.Kind, f.Message, f.Traceback, c.kind, c.message, c.traceback)
			}
			if f.Exception != c.exception {
				t.Errorf("exception %q, want %q", f.Exception, c.exception)
			}
			if f.ExitCode != c.code || f.Signal != c.signal || f.Generation != 1 || f.Process != "worker" {
				t.Errorf("fault says exit code %d, signal %v, generation %d, process %q; want %d, %v, 1, worker",
					f.ExitCode, f.Signal, f.Generation, f.Process, c.code, c.signal)
			}
			if second := r.fault(t); second.Generation != 2 {
				t.Errorf("second fault is of generation %d", second.Generation)
			}
			if s := r.await(t, Degraded); s.Generation != 5 {
				t.Errorf("degraded in generation %d, want 5", s.Generation)
			}
		})
	}
}

func TestLastLogLinesComeWithTheFault(t *testing.T) {
	f := startRig(t, nil, "exit").fault(t)
	if len(f.LastLog) != 2 || f.LastLog[1] != "last words" || !strings.HasSuffix(f.Message, ": last words") {
		t.Errorf("last log %q, message %q", f.LastLog, f.Message)
	}
}

func TestAKilledWorkerIsReplaced(t *testing.T) {
	r := startRig(t, nil, "obedient")
	first := r.await(t, Ready)
	if err := syscall.Kill(first.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if f := r.fault(t); f.Kind != KindSignal || f.Signal != syscall.SIGKILL {
		t.Errorf("fault %s, signal %v", f.Kind, f.Signal)
	}
	second := r.await(t, Ready)
	if second.PID == first.PID || second.Generation != 2 || second.Restarts != 1 {
		t.Errorf("after the kill: %+v", second)
	}
}

func TestStopEscalates(t *testing.T) {
	for _, c := range []struct {
		role   string
		logged []string
		absent string
	}{
		{"obedient", []string{"asked to end", "exited with code 0"}, "SIGTERM"},
		{"deaf", []string{"SIGTERM is sent"}, "SIGKILL"},
		{"stubborn", []string{"SIGTERM is sent", "SIGKILL is sent"}, "sleeps in the kernel"},
	} {
		t.Run(c.role, func(t *testing.T) {
			r := startRig(t, nil, c.role)
			s := r.await(t, Ready)
			if err := r.stop(); err != nil {
				t.Fatal(err)
			}
			if !gone(s.PID) {
				t.Errorf("process %d is still there", s.PID)
			}
			for _, line := range c.logged {
				if !strings.Contains(r.log.String(), line) {
					t.Errorf("log does not say %q:\n%s", line, r.log)
				}
			}
			if strings.Contains(r.log.String(), c.absent) {
				t.Errorf("log says %q:\n%s", c.absent, r.log)
			}
			if len(r.faults) != 0 {
				t.Errorf("a stop that was asked for became a fault: %+v", <-r.faults)
			}
		})
	}
}

func TestRestartOnRequestIsNoFault(t *testing.T) {
	r := startRig(t, nil, "obedient")
	first := r.await(t, Ready)
	r.Restart("new model")
	second := r.await(t, Ready)
	if second.Generation != 2 || len(r.faults) != 0 || !gone(first.PID) {
		t.Errorf("after the restart: %+v, %d faults, first process gone: %v", second, len(r.faults), gone(first.PID))
	}
}

func TestNoDescriptorIsLeft(t *testing.T) {
	count := func() int {
		entries, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(entries)
	}
	before := count()
	r := startRig(t, nil, "panic")
	r.await(t, Degraded)
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	if after := count(); after != before {
		t.Errorf("%d descriptors before, %d after five deaths", before, after)
	}
}

func TestProgressIsMadeWhileNothingHappens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		progress := 0
		s := New(Options{Progress: func() { progress++ }})
		s.sleep(t.Context(), 5*time.Minute)
		if progress < 299 {
			t.Errorf("progress %d times in five minutes", progress)
		}
	})
	for _, c := range []struct {
		role  string
		state State
	}{{"obedient", Ready}, {"unlaunchable", Degraded}} {
		t.Run(string(c.state), func(t *testing.T) {
			r := startRig(t, nil, c.role)
			r.await(t, c.state)
			for len(r.progress) > 0 {
				<-r.progress
			}
			select {
			case <-r.progress:
			case <-time.After(patience):
				t.Errorf("no progress in state %s within %v", c.state, patience)
			}
		})
	}
}
