package cgroup

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// groupOf is a group of the given files.
func groupOf(t *testing.T, files map[string]string) *Group {
	t.Helper()
	tree := &Tree{dir: t.TempDir(), controllers: controllers()}
	g, err := tree.New("worker", 1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = g.dir.Close() })
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(g.path, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return g
}

const (
	psi    = "some avg10=12.50 avg60=3.00 avg300=0.40 total=81234\nfull avg10=1.00 avg60=0.00 avg300=0.00 total=7\n"
	events = "low 0\nhigh 0\nmax 12\noom 2\noom_kill 3\noom_group_kill 1\n"
)

func TestUsage(t *testing.T) {
	for _, c := range []struct {
		name  string
		files map[string]string
		want  Usage
		err   string
	}{
		{name: "no controller", files: nil},
		{
			"everything",
			map[string]string{
				"memory.events": events, "memory.current": "4096\n", "memory.peak": "8192\n", "memory.pressure": psi,
				"pids.events": "max 5\n",
			},
			Usage{OOMKills: 3, Peak: 8192, Current: 4096, Pressure: 12.5, PIDsDenied: 5},
			"",
		},
		{"an old kernel", map[string]string{"memory.current": "4096\n"}, Usage{Peak: 4096, Current: 4096}, ""},
		{"nonsense in events", map[string]string{"memory.events": "oom_kill many\n"}, Usage{}, `"oom_kill" is no number`},
		{"nonsense in current", map[string]string{"memory.current": "lots\n"}, Usage{}, "memory.current is no number"},
		{"nonsense in pressure", map[string]string{"memory.pressure": "none\n"}, Usage{}, "memory.pressure"},
	} {
		got, err := groupOf(t, c.files).Usage()
		if got != c.want || (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("%s: %+v, error %v; want %+v, %q", c.name, got, err, c.want, c.err)
		}
	}
}

func TestWithoutMemoryPeakTheLargestSampleCounts(t *testing.T) {
	g := groupOf(t, nil)
	for _, c := range []struct {
		current string
		peak    int64
	}{{"100\n", 100}, {"300\n", 300}, {"200\n", 300}} {
		if err := os.WriteFile(filepath.Join(g.path, "memory.current"), []byte(c.current), 0o644); err != nil {
			t.Fatal(err)
		}
		u, err := g.Usage()
		if err != nil || u.Peak != c.peak {
			t.Errorf("after %s: peak %d, error %v; want %d", strings.TrimSpace(c.current), u.Peak, err, c.peak)
		}
	}
}

func TestRemoveWaitsForTheLastProcessOnly(t *testing.T) {
	g := groupOf(t, map[string]string{"cgroup.events": "populated 1\nfrozen 0\n", "cgroup.procs": "4711\n"})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	began := time.Now()
	err := g.Remove(ctx)
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "[4711] have not ended") {
		t.Errorf("error %v", err)
	}
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("took %v beyond its deadline", took)
	}

	gone := make(chan error)
	go func() { gone <- awaitEmpty(t.Context(), g.path) }()
	if err := os.WriteFile(filepath.Join(g.path, "cgroup.events"), []byte("populated 0\nfrozen 0\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := <-gone; err != nil {
		t.Error(err)
	}

	// The next generation clears away what could not be removed.
	for _, name := range []string{"cgroup.events", "cgroup.procs"} {
		if err := os.Remove(filepath.Join(g.path, name)); err != nil {
			t.Fatal(err)
		}
	}
	next, err := g.tree.New("worker", 2)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(g.path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("abandoned group is still there: %v", err)
	}
	if err := next.Remove(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestAGroupThatIsGoneIsRemoved(t *testing.T) {
	g := groupOf(t, nil)
	if err := os.Remove(g.path); err != nil {
		t.Fatal(err)
	}
	if err := g.Kill(); err != nil {
		t.Error(err)
	}
	if err := g.Remove(t.Context()); err != nil {
		t.Error(err)
	}
}
