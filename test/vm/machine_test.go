//go:build system

package vm_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
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

func TestHostReachesAPort(t *testing.T) {
	m := vm.Start(t, vm.Options{})
	ctx := t.Context()
	m.Succeed(ctx, "systemd-run", "--quiet", "busybox", "nc", "-ll", "-p", "4711", "-e", "echo", "hello")
	m.Succeed(ctx, "timeout", "60", "sh", "-c", "until ss -ltn | grep -q :4711; do :; done")
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", m.Forward(ctx, 4711))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if said, err := io.ReadAll(conn); err != nil || string(said) != "hello\n" {
		t.Errorf("heard %q, %v", said, err)
	}
	if out := m.Run(ctx, "timeout", "5", "busybox", "nc", "10.0.2.2", "22"); out.ExitCode == 0 {
		t.Errorf("the guest reaches the host: %+v", out)
	}
}

func TestCamerasCanBeMade(t *testing.T) {
	m := vm.Start(t, vm.Options{})
	ctx := t.Context()
	m.Succeed(ctx, "modprobe", "vivid", "n_devs=1", "node_types=0x1", "num_inputs=1", "input_types=0")
	m.Succeed(ctx, "modprobe", "v4l2loopback", "devices=1", "video_nr=10", "exclusive_caps=1", "card_label=fed")
	if listed := m.Succeed(ctx, "v4l2-ctl", "--list-devices"); !strings.Contains(listed, "vivid") || !strings.Contains(listed, "fed") {
		t.Errorf("the cameras are:\n%s", listed)
	}
}
