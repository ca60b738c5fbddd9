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
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// Group is the cgroup of one generation of a worker.
type Group struct {
	tree *Tree
	path string
	dir  *os.File     // nil for a predecessor's group
	most atomic.Int64 // bytes: the largest memory.current that Usage has seen
}

// Path is the group's folder.
func (g *Group) Path() string { return g.path }

// Dir is the group's folder, opened, for clone3's CLONE_INTO_CGROUP. The group closes it as it is removed.
func (g *Group) Dir() *os.File { return g.dir }

// Add moves a process into the group.
func (g *Group) Add(pid int) error {
	return write(filepath.Join(g.path, "cgroup.procs"), strconv.Itoa(pid))
}

// Apply sets the limits in place of those before. Limits by a controller that the tree lacks are left out: Remarks has
// said so. A memory limit below what is in use makes the kernel reclaim, then kill, before Apply returns.
func (g *Group) Apply(limits Limits) error {
	var mistakes []error
	for _, s := range limits.settings() {
		controller, _, _ := strings.Cut(s.file, ".")
		if !slices.Contains(g.tree.controllers, controller) {
			continue
		}
		err := write(filepath.Join(g.path, s.file), s.value)
		if s.optional && errors.Is(err, fs.ErrNotExist) {
			continue
		}
		mistakes = append(mistakes, err)
	}
	return errors.Join(mistakes...)
}

// Kill sends SIGKILL to every process of the group, and of groups below it where the kernel does that in one step.
func (g *Group) Kill() error {
	err := write(filepath.Join(g.path, "cgroup.kill"), "1")
	if errors.Is(err, fs.ErrNotExist) { // before Linux 5.14; or the group is gone
		err = g.killEach()
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("cannot kill cgroup %s: %w", g.path, err)
	}
	return nil
}

// A child that forks as fast as it can is frozen within a few rounds.
const killRounds = 1000

// killEach kills each process by its number, until a round finds none that it did not know.
func (g *Group) killEach() error {
	// A frozen process cannot fork, and SIGKILL ends it all the same. Without the freezer (before Linux 5.2), pids.max
	// bounds the race.
	if err := write(filepath.Join(g.path, "cgroup.freeze"), "1"); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	killed := map[int]bool{}
	for range killRounds {
		pids, err := processes(g.path)
		if err != nil {
			return err
		}
		fresh := false
		for _, pid := range pids {
			if pid <= 0 || killed[pid] { // 0 is a process of another namespace, and everybody here to kill(2)
				continue
			}
			fresh, killed[pid] = true, true
			if err := unix.Kill(pid, unix.SIGKILL); err != nil && !errors.Is(err, unix.ESRCH) {
				return fmt.Errorf("cannot kill process %d: %w", pid, err)
			}
		}
		if !fresh {
			return nil
		}
	}
	return fmt.Errorf("new processes still appear after %d rounds", killRounds)
}

// Remove waits until the group has no process, then removes it: at the latest when ctx is done. A group that could not
// be removed is tried again as the next is made. Usage has to be asked before.
func (g *Group) Remove(ctx context.Context) error {
	if g.dir != nil {
		_ = g.dir.Close()
	}
	if err := remove(ctx, g.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		g.tree.abandon(g.path)
		return fmt.Errorf("cannot remove cgroup %s: %w", g.path, err)
	}
	return nil
}

const busyPause = 10 * time.Millisecond

func remove(ctx context.Context, path string) error {
	if err := awaitEmpty(ctx, path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for {
		err := removeFolders(path)
		if !errors.Is(err, unix.EBUSY) {
			return err
		}
		select { // the last process is gone, the kernel's own references are not quite
		case <-ctx.Done():
			return err
		case <-time.After(busyPause):
		}
	}
}

// awaitEmpty waits for "populated 0". The kernel tells of each change of cgroup.events by inotify.
func awaitEmpty(ctx context.Context, path string) error {
	events := filepath.Join(path, "cgroup.events")
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return fmt.Errorf("cannot watch %s: %w", events, err)
	}
	watch := os.NewFile(uintptr(fd), "inotify")
	defer watch.Close()
	if _, err := unix.InotifyAddWatch(fd, events, unix.IN_MODIFY); err != nil {
		return fmt.Errorf("cannot watch %s: %w", events, err)
	}
	stop := context.AfterFunc(ctx, func() { _ = watch.SetReadDeadline(time.Now()) })
	defer stop()
	news := make([]byte, 4096) // what it says does not matter: the file is read again
	for {
		state, err := keyed(events)
		if err != nil {
			return err
		}
		if state["populated"] == 0 {
			return nil
		}
		if _, err := watch.Read(news); err != nil {
			if ctx.Err() == nil {
				return fmt.Errorf("cannot watch %s: %w", events, err)
			}
			pids, _ := processes(path)
			return fmt.Errorf("processes %v have not ended: %w", pids, ctx.Err())
		}
	}
}

// removeFolders removes a group after those below it, if a child made any.
func removeFolders(path string) error {
	entries, err := os.ReadDir(path)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if !entry.IsDir() {
			continue
		}
		if err := removeFolders(filepath.Join(path, entry.Name())); err != nil {
			return err
		}
	}
	return unix.Rmdir(path)
}
