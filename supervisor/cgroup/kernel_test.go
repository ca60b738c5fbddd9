package cgroup

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"vedette/supervisor/process"
)

// joinOnly hides a group's folder, as if the kernel refused to start a child in it.
type joinOnly struct{ *Group }

func (joinOnly) Dir() *os.File { return nil }

func TestAChildAndItsChildrenLiveAndDieInTheirGroup(t *testing.T) {
	for _, c := range []struct {
		entry process.Entry
		enter func(*Group) process.Group
		kill  func(*Group) error
	}{
		{process.EntryClone, func(g *Group) process.Group { return g }, (*Group).Kill},
		{process.EntryGate, func(g *Group) process.Group { return joinOnly{g} }, (*Group).killEach},
	} {
		t.Run(string(c.entry), func(t *testing.T) {
			g := newGroup(t, realTree(t), Limits{})
			p, said := begin(t, "family", c.enter(g))
			for range 4 {
				awaitLine(t, said, "ready")
			}
			if p.Entry() != c.entry {
				t.Errorf("child came in by %q, want %q", p.Entry(), c.entry)
			}
			if pids, err := processes(g.Path()); err != nil || len(pids) != 4 || !slices.Contains(pids, p.PID()) {
				t.Errorf("group has processes %v, error %v; want 4 with %d", pids, err, p.PID())
			}
			if err := c.kill(g); err != nil {
				t.Fatal(err)
			}
			if exit := awaitEnd(t, p); exit.Signal != syscall.SIGKILL {
				t.Error(exit)
			}
			ctx, cancel := context.WithTimeout(t.Context(), within)
			defer cancel()
			if err := g.Remove(ctx); err != nil {
				t.Fatal(err)
			}
			if _, err := os.Stat(g.Path()); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("group is still there: %v", err)
			}
		})
	}
}

func TestRemoveNeverOutlastsItsDeadline(t *testing.T) {
	g := newGroup(t, realTree(t), Limits{})
	p, said := begin(t, "sleep", g)
	awaitLine(t, said, "ready")
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	err := g.Remove(ctx)
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), fmt.Sprint(p.PID())) {
		t.Errorf("error %v", err)
	}
}

// opened is what the service of TestAServiceTakesItsGroupOver reports.
type opened struct {
	Dir, Own                   string
	Controllers, Remarks, Left []string
	WorkerEntry                process.Entry
	WorkerOOMScore             string
}

func service() error {
	tree, err := open(context.Background(), os.Getenv(mountEnv), "/proc", strings.Fields(os.Getenv(wantedEnv)))
	if err != nil {
		return err
	}
	own, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return err
	}
	left, err := filepath.Glob(filepath.Join(tree.Dir(), workerPrefix+"*"))
	if err != nil {
		return err
	}
	g, err := tree.New("worker", 1)
	if err != nil {
		return err
	}
	p, err := process.Start(process.Spec{
		Path: "/proc/self/exe", Env: append(os.Environ(), roleEnv+"=sleep"), Group: g,
		OOMScoreAdj: 500, Rlimits: map[int]uint64{unix.RLIMIT_CORE: 0},
	})
	if err != nil {
		return err
	}
	score, err := os.ReadFile(fmt.Sprintf("/proc/%d/oom_score_adj", p.PID()))
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	if err := errors.Join(g.Kill(), g.Remove(ctx)); err != nil {
		return err
	}
	<-p.Done()
	return json.NewEncoder(os.Stderr).Encode(opened{
		Dir: tree.Dir(), Own: string(own), Controllers: tree.Controllers(), Remarks: tree.Remarks(), Left: left,
		WorkerEntry: p.Entry(), WorkerOOMScore: strings.TrimSpace(string(score)),
	})
}

// Twice, as a service that is started again finds what its predecessor enabled and left.
func TestAServiceTakesItsGroupOver(t *testing.T) {
	mount, dir := delegated(t)
	wanted := available(t, dir)
	if len(wanted) == 0 {
		t.Skip("cgroup v2 has no controller here (on a hybrid machine version 1 holds them)")
	}
	for life := range 2 {
		stale, err := (&Tree{dir: dir}).New("worker", 7)
		if err != nil {
			t.Fatal(err)
		}
		orphan, said := begin(t, "sleep", stale)
		awaitLine(t, said, "ready")
		if life == 1 { // systemd empties a group before it starts the service again, and turns its controllers off
			for _, name := range wanted {
				if err := write(filepath.Join(dir, "cgroup.subtree_control"), "-"+name); err != nil {
					t.Fatal(err)
				}
			}
		}
		folder, err := os.Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		defer folder.Close()
		_, said = begin(t, "service", &Group{path: dir, dir: folder}, mountEnv+"="+mount,
			wantedEnv+"="+strings.Join(wanted, " "))
		var got opened
		select {
		case line := <-said:
			if err := json.Unmarshal([]byte(line), &got); err != nil {
				t.Fatalf("life %d: service says %q", life, line)
			}
		case <-time.After(within):
			t.Fatal("service says nothing")
		}
		if got.Dir != dir || !slices.Equal(got.Controllers, wanted) || len(got.Remarks)+len(got.Left) != 0 {
			t.Errorf("life %d: %+v, want %s with %q and no remarks, nothing left", life, got, dir, wanted)
		}
		if !strings.Contains(got.Own, filepath.Base(dir)+"/"+supervisorName+"\n") {
			t.Errorf("life %d: service is in %q", life, got.Own)
		}
		if got.WorkerEntry != process.EntryClone || got.WorkerOOMScore != "500" {
			t.Errorf("life %d: worker came in by %q with oom_score_adj %s", life, got.WorkerEntry, got.WorkerOOMScore)
		}
		if exit := awaitEnd(t, orphan); exit.Signal != syscall.SIGKILL {
			t.Errorf("life %d: a predecessor's worker %v", life, exit)
		}
	}
}

func TestMemoryLimitKillsAndIsToldOf(t *testing.T) {
	const limit = 64 << 20
	g := newGroup(t, realTree(t, "memory"), Limits{Memory: limit})
	p, _ := begin(t, "hog", g)
	if exit := awaitEnd(t, p); exit.Signal != syscall.SIGKILL {
		t.Errorf("child %v", exit)
	}
	u, err := g.Usage()
	if err != nil || u.OOMKills == 0 || u.Peak < limit/2 || u.Peak > limit+1<<20 { // the kernel goes over by pages
		t.Errorf("usage %+v, error %v", u, err)
	}
}

func TestPIDsLimitHolds(t *testing.T) {
	const limit = 32
	g := newGroup(t, realTree(t, "pids"), Limits{PIDs: limit})
	p, said := begin(t, "crowd", g)
	go func() { // the crowd's members say "ready", each
		for {
			select {
			case <-said:
			case <-p.Done():
				return
			}
		}
	}()
	awaitUsage(t, g, "a fork to be denied", func(u Usage) bool { return u.PIDsDenied > 0 })
	if text := content(t, filepath.Join(g.Path(), "pids.current")); len(strings.TrimSpace(text)) > 2 {
		t.Errorf("group has %s processes", text)
	}
}

func TestCPULimitHolds(t *testing.T) {
	g := newGroup(t, realTree(t, "cpu"), Limits{CPU: 0.2})
	begin(t, "spin", g)
	awaitUsage(t, g, "the child to be throttled", func(Usage) bool {
		stat, err := keyed(filepath.Join(g.Path(), "cpu.stat"))
		return err == nil && stat["nr_throttled"] > 2
	})
}

func awaitUsage(t *testing.T, g *Group, what string, met func(Usage) bool) {
	t.Helper()
	timeout := time.After(within)
	for {
		u, err := g.Usage()
		if err != nil {
			t.Fatal(err)
		}
		if met(u) {
			return
		}
		select {
		case <-timeout:
			t.Fatalf("waited for %s: usage %+v", what, u)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func TestCPUSetHolds(t *testing.T) {
	g := newGroup(t, realTree(t, "cpuset"), Limits{CPUSet: "0"})
	p, said := begin(t, "sleep", g)
	awaitLine(t, said, "ready")
	status := content(t, fmt.Sprintf("/proc/%d/status", p.PID()))
	if !strings.Contains(status, "\nCpus_allowed_list:\t0\n") {
		t.Errorf("child may run elsewhere: %s", status)
	}
}
