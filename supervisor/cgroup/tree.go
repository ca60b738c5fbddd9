// Package cgroup gives each generation of a worker a cgroup (version 2) with limits, below the one that systemd delegated.
package cgroup

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

const (
	supervisorName = "supervisor" // group of this process and of what it starts without a group
	workerPrefix   = "inference-"

	sweepWithin  = 2 * time.Second // as long as SIGKILL is given elsewhere; what takes longer sleeps in the kernel
	enableTries  = 5               // a process may be started in the group between its emptying and the enabling
	sameNameMost = 100
)

// controllers are those that limits are written for.
func controllers() []string { return []string{"memory", "pids", "cpu", "cpuset"} }

// Tree is the delegated group, with this process in a group of its own below it.
type Tree struct {
	dir         string
	controllers []string // enabled for groups below
	remarks     []string

	mu        sync.Mutex // guards abandoned only
	abandoned []string   // groups whose processes would not end
}

// Open takes the delegated group over: it moves this process and its children into supervisor/, since the kernel lets a
// group have processes or limited groups below it, not both; it enables the controllers that are there; it ends what a
// predecessor left. Its error is an *Unavailable; what is lacking but can be done without is in Remarks. root and proc
// are as for Find.
func Open(ctx context.Context, root, proc string) (*Tree, error) {
	return open(ctx, root, proc, controllers())
}

func open(ctx context.Context, root, proc string, wanted []string) (*Tree, error) {
	dir, err := Find(root, proc)
	if err != nil {
		return nil, err
	}
	t := &Tree{dir: dir}
	text, err := os.ReadFile(filepath.Join(dir, "cgroup.controllers"))
	if err != nil {
		return nil, notWritable(dir, err)
	}
	there := slices.DeleteFunc(slices.Clone(wanted), func(name string) bool {
		return !slices.Contains(strings.Fields(string(text)), name)
	})
	if len(there) == 0 {
		return nil, &Unavailable{
			dir + " has none of the controllers " + strings.Join(wanted, ", "),
			"give the unit Delegate=" + strings.Join(wanted, " "),
		}
	}
	if err := os.Mkdir(filepath.Join(dir, supervisorName), 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, notWritable(dir, err)
	}
	for _, name := range wanted {
		err := errors.New("it is not delegated")
		if slices.Contains(there, name) {
			err = t.enable(name)
		}
		if err != nil {
			t.remarks = append(t.remarks, fmt.Sprintf("limits by the controller %s do not hold: %v", name, err))
			continue
		}
		t.controllers = append(t.controllers, name)
	}
	if len(t.controllers) == 0 {
		return nil, &Unavailable{"no controller could be enabled: " + strings.Join(t.remarks, "; "), asService}
	}
	t.sweep(ctx)
	return t, nil
}

// enable turns a controller on for the groups below.
func (t *Tree) enable(controller string) error {
	var err error
	for range enableTries {
		if err = t.empty(); err != nil {
			return err
		}
		err = write(filepath.Join(t.dir, "cgroup.subtree_control"), "+"+controller)
		if !errors.Is(err, unix.EBUSY) {
			break
		}
	}
	return err
}

// empty moves every process of the delegated group into supervisor/.
func (t *Tree) empty() error {
	pids, err := processes(t.dir)
	if err != nil {
		return err
	}
	for _, pid := range pids {
		err := write(filepath.Join(t.dir, supervisorName, "cgroup.procs"), strconv.Itoa(pid))
		if err != nil && !errors.Is(err, unix.ESRCH) { // it has ended
			return err
		}
	}
	return nil
}

// sweep ends what a predecessor left: it was killed before it could.
func (t *Tree) sweep(ctx context.Context) {
	entries, err := os.ReadDir(t.dir)
	if err != nil {
		t.remarks = append(t.remarks, fmt.Sprintf("stale groups cannot be looked for: %v", err))
	}
	var stale []*Group
	for _, entry := range entries {
		if entry.IsDir() && strings.HasPrefix(entry.Name(), workerPrefix) {
			stale = append(stale, &Group{tree: t, path: filepath.Join(t.dir, entry.Name())})
		}
	}
	ctx, cancel := context.WithTimeout(ctx, sweepWithin)
	defer cancel()
	for _, g := range stale { // all are killed before any is waited for
		if err := g.Kill(); err != nil {
			t.remarks = append(t.remarks, err.Error())
		}
	}
	for _, g := range stale {
		if err := g.Remove(ctx); err != nil {
			t.remarks = append(t.remarks, err.Error())
		}
	}
}

// Dir is the delegated group's folder.
func (t *Tree) Dir() string { return t.dir }

// Controllers are those whose limits hold.
func (t *Tree) Controllers() []string { return slices.Clone(t.controllers) }

// Remarks say what Open found lacking, or could not clear away. Each is one line.
func (t *Tree) Remarks() []string { return slices.Clone(t.remarks) }

// New makes the group of one generation of a worker, without limits yet. It has to be removed, also if nothing ran in it.
func (t *Tree) New(worker string, generation uint64) (*Group, error) {
	t.bury()
	if worker == "" || strings.ContainsAny(worker, "/\n") {
		return nil, fmt.Errorf("cannot make a cgroup for worker %q: a group's name has no slash in it", worker)
	}
	// A predecessor's worker that SIGKILL did not end keeps its group, and its name.
	path := filepath.Join(t.dir, fmt.Sprintf("%s%s-%d", workerPrefix, worker, generation))
	var err error
	for i := range sameNameMost {
		name := path
		if i > 0 {
			name = fmt.Sprintf("%s.%d", path, i)
		}
		if err = os.Mkdir(name, 0o755); err == nil {
			return t.group(name)
		}
		if !errors.Is(err, fs.ErrExist) {
			break
		}
	}
	return nil, fmt.Errorf("cannot make a cgroup: %w", err)
}

func (t *Tree) group(path string) (*Group, error) {
	dir, err := os.Open(path)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("cannot open the new cgroup: %w", err), os.Remove(path))
	}
	return &Group{tree: t, path: path, dir: dir}, nil
}

// bury tries again to remove the groups whose processes would not end. It does not wait.
func (t *Tree) bury() {
	t.mu.Lock()
	abandoned := t.abandoned
	t.abandoned = nil
	t.mu.Unlock()
	for _, path := range abandoned {
		if err := removeFolders(path); err != nil {
			t.abandon(path)
		}
	}
}

func (t *Tree) abandon(path string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.abandoned = append(t.abandoned, path)
}

// write writes a value to a file of the kernel's, which takes it in one piece or not at all.
func write(path, value string) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_TRUNC, 0)
	if err != nil {
		return fmt.Errorf("cannot write %q: %w", value, err)
	}
	defer file.Close()
	if _, err := file.WriteString(value); err != nil {
		return fmt.Errorf("cannot write %q: %w", value, err)
	}
	return nil
}
