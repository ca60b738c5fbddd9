package cgroup

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"vedette/supervisor/process"
)

// The tests in kernel_test.go run against the kernel. VEDETTE_CGROUP_TEST names a cgroup v2 folder in which they may make groups:
//
//	go test -c ./supervisor/cgroup && sudo VEDETTE_CGROUP_TEST=/sys/fs/cgroup ./cgroup.test -test.v
//
// Without it they look where the kernel usually shows one. Each skips, and says so, if what it needs is not there. To see
// what a unit allows, the binary can be its program: with the role "service" it prints what TestAServiceTakesItsGroupOver
// looks at.
const (
	folderEnv = "VEDETTE_CGROUP_TEST"
	roleEnv   = "CGROUP_TEST_ROLE"
	mountEnv  = "CGROUP_TEST_MOUNT"
	wantedEnv = "CGROUP_TEST_WANTED"
	within    = 2 * time.Minute // for what takes milliseconds on an idle machine
)

// TestMain lets the test binary be its own child.
func TestMain(m *testing.M) {
	if role := os.Getenv(roleEnv); role != "" {
		child(role)
		return
	}
	goleak.VerifyTestMain(m)
}

func child(role string) {
	must(process.AwaitGate())
	switch role {
	case "sleep":
	case "family":
		for range 3 {
			must(breed())
		}
	case "hog":
		for {
			memory := make([]byte, 1<<20)
			for i := range memory {
				memory[i] = 1
			}
			hogged = append(hogged, memory)
		}
	case "crowd":
		for {
			must(breed())
		}
	case "spin":
		for {
			hogged = nil
		}
	case "service":
		must(service())
		return
	}
	fmt.Fprintln(os.Stderr, "ready")
	time.Sleep(time.Hour) // killed long before
}

var hogged [][]byte

func breed() error {
	grandchild := exec.Command("/proc/self/exe")
	grandchild.Env, grandchild.Stderr = append(os.Environ(), roleEnv+"=sleep"), os.Stderr
	return grandchild.Start()
}

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(9)
	}
}

// delegated makes an empty group to work in. It gives the folder where the kernel shows cgroup v2, too.
func delegated(t *testing.T) (mount, dir string) {
	t.Helper()
	parent := os.Getenv(folderEnv)
	if parent == "" {
		for _, usual := range []string{"/sys/fs/cgroup", "/sys/fs/cgroup/unified"} {
			if _, err := os.Stat(filepath.Join(usual, "cgroup.controllers")); err == nil {
				parent = usual
			}
		}
	}
	if parent == "" {
		t.Skipf("this machine shows no cgroup v2; %s can name a folder of one", folderEnv)
	}
	lendControllers(t, parent)
	dir, err := os.MkdirTemp(parent, "vedette-test-")
	if err != nil {
		t.Skipf("cgroup v2 cannot be written here (root, or Delegate=, is needed): %v", err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), within)
		defer cancel()
		g := &Group{tree: &Tree{}, path: dir}
		if err := errors.Join(g.Kill(), g.Remove(ctx)); err != nil {
			t.Error(err)
		}
	})
	return mountOf(t, dir), dir
}

// lendControllers enables what there is for groups below parent, until the test's end. What cannot be is skipped for.
func lendControllers(t *testing.T, parent string) {
	control := filepath.Join(parent, "cgroup.subtree_control")
	enabled := strings.Fields(content(t, control))
	for _, name := range available(t, parent) {
		if slices.Contains(enabled, name) {
			continue
		}
		if err := write(control, "+"+name); err == nil {
			t.Cleanup(func() { _ = write(control, "-"+name) })
		}
	}
}

// mountOf is the cgroup v2 mount that a folder is in.
func mountOf(t *testing.T, dir string) string {
	t.Helper()
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(mounts)) {
		fields := strings.Fields(line) // ID parent device root mount-point options … - type source options
		if strings.Contains(line, " - cgroup2 ") && strings.HasPrefix(dir, fields[4]+"/") {
			return fields[4]
		}
	}
	t.Fatalf("%s is on no cgroup2 mount", dir)
	return ""
}

// available are the controllers that can be enabled below a group: ours, else any, for the mechanism's sake.
func available(t *testing.T, dir string) []string {
	t.Helper()
	there := strings.Fields(content(t, filepath.Join(dir, "cgroup.controllers")))
	ours := slices.DeleteFunc(controllers(), func(name string) bool { return !slices.Contains(there, name) })
	if len(ours) == 0 {
		return there
	}
	return ours
}

// realTree is a tree whose every controller has to be there.
func realTree(t *testing.T, needed ...string) *Tree {
	t.Helper()
	_, dir := delegated(t)
	tree := &Tree{dir: dir}
	for _, name := range needed {
		if !slices.Contains(available(t, dir), name) {
			t.Skipf("cgroup v2 has no controller %s here (on a hybrid machine version 1 holds it)", name)
		}
		if err := tree.enable(name); err != nil {
			t.Fatal(err)
		}
		tree.controllers = append(tree.controllers, name)
	}
	return tree
}

// begin starts a child with a role in a group.
func begin(t *testing.T, role string, group process.Group, env ...string) (*process.Process, <-chan string) {
	t.Helper()
	said := make(chan string, 64)
	p, err := process.Start(process.Spec{
		Path:  "/proc/self/exe",
		Env:   append(append(os.Environ(), roleEnv+"="+role, "GORACE=atexit_sleep_ms=0"), env...),
		Group: group,
		Line:  func(line string) { said <- line },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = p.Signal(syscall.SIGKILL)
		<-p.Done()
	})
	return p, said
}

func awaitLine(t *testing.T, said <-chan string, want string) {
	t.Helper()
	select {
	case line := <-said:
		if line != want {
			t.Fatalf("child says %q, want %q", line, want)
		}
	case <-time.After(within):
		t.Fatalf("child does not say %q", want)
	}
}

func awaitEnd(t *testing.T, p *process.Process) process.Exit {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	exit, err := p.Wait(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return exit
}

// newGroup is a group with limits that is gone again after the test.
func newGroup(t *testing.T, tree *Tree, limits Limits) *Group {
	t.Helper()
	g, err := tree.New("worker", 1)
	if err != nil {
		t.Fatal(err)
	}
	if err := g.Apply(limits); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), within)
		defer cancel()
		if err := errors.Join(g.Kill(), g.Remove(ctx)); err != nil {
			t.Error(err)
		}
	})
	return g
}
