package process_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"vedette/supervisor/process"
)

const roleEnv = "PROCESS_TEST_ROLE"

// TestMain lets the test binary be its own child.
func TestMain(m *testing.M) {
	if role := os.Getenv(roleEnv); role != "" {
		child(role)
		return
	}
	goleak.VerifyTestMain(m)
}

func child(role string) {
	if role == "report its priority" {
		_, err := os.NewFile(3, "talk").WriteString("x")
		must(err)
	}
	if role != "ungated" {
		must(process.AwaitGate())
	}
	must(process.ReportCrashes())
	switch role {
	case "parent without clone3":
		withoutClone3()
	case "report":
		report()
	case "report its priority":
		priority, err := unix.Getpriority(unix.PRIO_PROCESS, 0)
		must(err)
		fmt.Fprintf(os.Stderr, "priority %d\n", 20-priority) // the kernel's 40 … 1 for -20 … 19: getpriority(2)
	}
}

// report says on standard error what the parent has made of this process.
func report() {
	adj, err := os.ReadFile("/proc/self/oom_score_adj")
	must(err)
	var core unix.Rlimit
	must(unix.Getrlimit(unix.RLIMIT_CORE, &core))
	_, gated := os.LookupEnv("VEDETTE_GATE_FD")
	fmt.Fprintf(os.Stderr, "oom_score_adj %s\n", strings.TrimSpace(string(adj)))
	fmt.Fprintf(os.Stderr, "core %d %d\n", core.Cur, core.Max)
	fmt.Fprintf(os.Stderr, "gate in the environment %v\n", gated)
}

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(9)
	}
}

func spec(role string) process.Spec {
	env := append(os.Environ(), roleEnv+"="+role, "GORACE=atexit_sleep_ms=0")
	return process.Spec{Path: "/proc/self/exe", Env: env}
}

// run starts a child and waits for its end.
func run(t *testing.T, spec process.Spec) (*process.Process, process.Exit) {
	t.Helper()
	p, err := process.Start(spec)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	exit, err := p.Wait(ctx)
	if err != nil {
		_ = p.Signal(syscall.SIGKILL)
		t.Fatal(err)
	}
	return p, exit
}

// joiner is a group without cgroups: it notes who joins.
type joiner struct {
	dir  *os.File
	pids []int
	err  error
	join func(pid int)
}

func (j *joiner) Dir() *os.File { return j.dir }

func (j *joiner) Add(pid int) error {
	j.pids = append(j.pids, pid)
	if j.join != nil {
		j.join(pid)
	}
	return j.err
}

func TestAChildWithoutPreparationHasNoGate(t *testing.T) {
	p, exit := run(t, spec("report"))
	if exit.Code != 0 || p.Entry() != process.EntryNone {
		t.Errorf("%v, entry %q, log %q", exit, p.Entry(), exit.LastLog)
	}
}

func TestTheParentPreparesTheChildBeforeItGoes(t *testing.T) {
	s := spec("report")
	s.OOMScoreAdj = 917
	s.Rlimits = map[int]uint64{unix.RLIMIT_CORE: 0}
	_, exit := run(t, s)
	want := []string{"oom_score_adj 917", "core 0 0", "gate in the environment false"}
	if exit.Code != 0 || strings.Join(exit.LastLog, "\n") != strings.Join(want, "\n") {
		t.Errorf("%v, child says %q, want %q", exit, exit.LastLog, want)
	}
}

func TestAGatedChildDoesNothingUntilItIsInItsGroup(t *testing.T) {
	talk, childTalk, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer talk.Close()
	s := spec("report its priority")
	s.Files = []*os.File{childTalk}
	group := &joiner{join: func(pid int) { // stands for a group: what it changes is seen by the child
		if _, err := talk.Read(make([]byte, 1)); err != nil {
			t.Errorf("child does not come to its gate: %v", err)
		}
		await(t, pid, 'S')
		if err := unix.Setpriority(unix.PRIO_PGRP, pid, 7); err != nil {
			t.Errorf("cannot mark the child: %v", err)
		}
	}}
	s.Group = group
	p, exit := run(t, s)
	_ = childTalk.Close()
	if exit.Code != 0 || p.Entry() != process.EntryGate || strings.Join(exit.LastLog, "") != "priority 7" {
		t.Errorf("%v, entry %q, log %q", exit, p.Entry(), exit.LastLog)
	}
	if len(group.pids) != 1 || group.pids[0] != p.PID() {
		t.Errorf("processes %v joined, want %d", group.pids, p.PID())
	}
}

// await waits until each thread of a process is in a state, as proc(5) writes it.
func await(t *testing.T, pid int, state byte) {
	t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); time.Now().Before(deadline); {
		threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
		if err != nil || len(threads) == 0 {
			t.Fatalf("process %d has no threads: %v", pid, err)
		}
		if !slices.ContainsFunc(threads, func(path string) bool {
			stat, err := os.ReadFile(path)
			name := bytes.LastIndexByte(stat, ')')
			return err != nil || len(stat) < name+3 || stat[name+2] != state
		}) {
			return
		}
	}
	t.Errorf("process %d does not come into state %c", pid, state)
}

func TestAChildThatCannotJoinIsNotStarted(t *testing.T) {
	group := &joiner{err: errors.New("group is full")}
	s := spec("report")
	s.Group = group
	_, err := process.Start(s)
	if err == nil || !strings.Contains(err.Error(), "into its cgroup: group is full") {
		t.Fatalf("error %v", err)
	}
	if err := syscall.Kill(group.pids[0], 0); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("child %d is still there: %v", group.pids[0], err)
	}
}

func TestAChildThatKnowsNoGateIsNotHarmed(t *testing.T) {
	s := spec("ungated")
	s.Group = &joiner{join: func(pid int) { await(t, pid, 'Z') }}
	if _, exit := run(t, s); exit.Code != 0 {
		t.Errorf("%v, log %q", exit, exit.LastLog)
	}
}

func TestAProgramThatIsNotThereSaysSo(t *testing.T) {
	s := spec("report")
	s.Path = "/nonexistent/worker"
	s.Group = &joiner{}
	if _, err := process.Start(s); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("error %v", err)
	}
}

func TestWhereClone3IsRefusedTheChildIsGated(t *testing.T) {
	_, exit := run(t, spec("parent without clone3"))
	if exit.Code != 0 {
		t.Fatalf("%v, log %q", exit, exit.LastLog)
	}
	want := `entry "gate", joined true, exited with code 0`
	if n := len(exit.LastLog); n == 0 || exit.LastLog[n-1] != want {
		t.Errorf("parent without clone3 says %q, want %q", exit.LastLog, want)
	}
}

// withoutClone3 starts a child as a service under RestrictNamespaces= does: clone3 answers ENOSYS.
func withoutClone3() {
	must(refuseClone3())
	dir, err := os.Open("/") // stands for a group's folder: clone3 would answer EBADF, if it were asked
	must(err)
	group := &joiner{dir: dir}
	s := spec("report")
	s.Group = group
	p, err := process.Start(s)
	must(err)
	<-p.Done()
	said, _, _ := strings.Cut(p.Exit().String(), " after")
	fmt.Fprintf(os.Stderr, "entry %q, joined %v, %s\n", p.Entry(), len(group.pids) == 1 && group.pids[0] == p.PID(), said)
}
