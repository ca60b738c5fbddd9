//go:build system

package vm_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"vedette/test/vm"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestGuestIsAWholeMachine(t *testing.T) {
	m := vm.Start(t, vm.Options{})
	ctx := t.Context()
	if state := strings.TrimSpace(m.Succeed(ctx, "systemctl", "is-system-running")); state != "running" {
		t.Errorf("systemd is %s, want running", state)
	}
	if kind := strings.TrimSpace(m.Succeed(ctx, "stat", "--file-system", "--format=%T", "/sys/fs/cgroup")); kind != "cgroup2fs" {
		t.Errorf("/sys/fs/cgroup is a %s, want cgroup2fs", kind)
	}
	controllers := strings.Fields(string(m.Read(ctx, "/sys/fs/cgroup/cgroup.controllers")))
	for _, want := range []string{"cpuset", "cpu", "io", "memory", "pids"} {
		if !slices.Contains(controllers, want) {
			t.Errorf("there is no cgroup controller %s in %v", want, controllers)
		}
	}
	said, err := time.Parse(time.RFC3339, strings.TrimSpace(m.Succeed(ctx, "date", "--utc", "+%Y-%m-%dT%H:%M:%SZ")))
	if away := time.Since(said).Abs(); err != nil || away > 30*time.Second {
		t.Errorf("the guest's clock is %v away (%v): it is set at the start", away, err)
	}
}

func TestCommandsEndAsTheyDo(t *testing.T) {
	m := vm.Start(t, vm.Options{})
	ctx := t.Context()
	result := m.Run(ctx, "sh", "-c", "echo out; echo err >&2; exit 3")
	if want := (vm.Result{Stdout: "out\n", Stderr: "err\n", ExitCode: 3}); result != want {
		t.Errorf("got %+v, want %+v", result, want)
	}
	if result := m.Run(ctx, "sh", "-c", "kill -SEGV $$"); result.ExitCode != 128+11 {
		t.Errorf("a command that SIGSEGV ended has exit code %d, want 139", result.ExitCode)
	}
	if _, err := m.Guest.Run(ctx, "/none"); err == nil || !strings.Contains(err.Error(), "/none") {
		t.Errorf("a command that is not there: %v", err)
	}
	short, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	if _, err := m.Guest.Run(short, "sh", "-c", "sleep 1000; true"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a command past its deadline: %v", err)
	}
	// Killed is not yet gone: the kernel may still be at it.
	m.Succeed(ctx, "timeout", "60", "sh", "-c", "while pgrep --exact sleep; do :; done")
}

func TestAGuestThatEndsIsSeen(t *testing.T) {
	m := vm.Start(t, vm.Options{})
	_, err := m.Guest.Run(t.Context(), "systemctl", "reboot", "--force", "--force")
	if err == nil || !strings.Contains(err.Error(), "the machine ended") {
		t.Errorf("a guest that rebooted: %v", err)
	}
}

func TestFilesGoBothWays(t *testing.T) {
	m := vm.Start(t, vm.Options{})
	ctx := t.Context()
	m.Write(ctx, "/srv/deep/note", "written")
	if got := string(m.Read(ctx, "/srv/deep/note")); got != "written" {
		t.Errorf("read %q, want what was written", got)
	}
	m.Put(ctx, "image/build", "/opt/tool")
	if mode := strings.TrimSpace(m.Succeed(ctx, "stat", "--format=%a", "/opt/tool")); mode != "755" {
		t.Errorf("an executable arrived with mode %s, want 755", mode)
	}
	m.Succeed(ctx, "sh", "-c", "head -c 1M /dev/zero >"+vm.Share+"/zeros")
	sum := m.Succeed(ctx, "sha256sum", vm.Share+"/zeros")
	content, err := os.ReadFile(filepath.Join(m.Guest.HostShare(), "zeros"))
	if got := fmt.Sprintf("%x", sha256.Sum256(content)); err != nil || !strings.HasPrefix(sum, got) {
		t.Errorf("the guest wrote %s, the host reads %s (%v)", sum, got, err)
	}
}
