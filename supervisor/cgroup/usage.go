package cgroup

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Usage is what a group has used. What the kernel does not tell is 0.
type Usage struct {
	OOMKills   uint64  // processes that the out-of-memory killer ended
	Peak       int64   // bytes; before Linux 5.19 the largest Current that Usage has seen
	Current    int64   // bytes
	Pressure   float64 // percent of the last 10 s in which a process waited for memory
	PIDsDenied uint64  // forks that the limit refused
}

// Usage reads what the group has used until now. It is safe to call from any goroutine.
func (g *Group) Usage() (Usage, error) {
	var u Usage
	memory, err1 := g.optionalKeyed("memory.events")
	pids, err2 := g.optionalKeyed("pids.events")
	u.OOMKills, u.PIDsDenied = memory["oom_kill"], pids["max"]
	var err3, err4, err5 error
	u.Current, err3 = g.optionalNumber("memory.current")
	u.Peak, err4 = g.optionalNumber("memory.peak")
	for seen := g.most.Load(); u.Current > seen && !g.most.CompareAndSwap(seen, u.Current); seen = g.most.Load() {
	}
	u.Peak = max(u.Peak, g.most.Load())
	u.Pressure, err5 = g.pressure()
	if err := errors.Join(err1, err2, err3, err4, err5); err != nil {
		return Usage{}, fmt.Errorf("cannot tell what cgroup %s uses: %w", g.path, err)
	}
	return u, nil
}

// unknown tells whether the kernel simply has no such figure: no controller, an old kernel, PSI turned off.
func unknown(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.EOPNOTSUPP)
}

func (g *Group) optionalKeyed(name string) (map[string]uint64, error) {
	values, err := keyed(filepath.Join(g.path, name))
	if unknown(err) {
		return nil, nil
	}
	return values, err
}

func (g *Group) optionalNumber(name string) (int64, error) {
	path := filepath.Join(g.path, name)
	text, err := os.ReadFile(path)
	if unknown(err) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%s is no number: %w", path, err)
	}
	return n, nil
}

// pressure reads a line as "some avg10=1.25 avg60=0.40 avg300=0.10 total=12345".
func (g *Group) pressure() (float64, error) {
	path := filepath.Join(g.path, "memory.pressure")
	text, err := os.ReadFile(path)
	if unknown(err) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(text), "some avg10=")
	number, _, _ := strings.Cut(rest, " ")
	percent, err := strconv.ParseFloat(number, 64)
	if err != nil {
		return 0, fmt.Errorf("%s has no average over 10 s: %w", path, err)
	}
	return percent, nil
}

// keyed reads a file of lines as "oom_kill 3".
func keyed(path string) (map[string]uint64, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	values := map[string]uint64{}
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		key, number, _ := strings.Cut(lines.Text(), " ")
		if values[key], err = strconv.ParseUint(number, 10, 64); err != nil {
			return nil, fmt.Errorf("%s: %q is no number: %w", path, key, err)
		}
	}
	return values, lines.Err()
}
