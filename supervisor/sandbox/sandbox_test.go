package sandbox

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const none = syscall.Errno(0)

func TestFilesOutsideThePolicyAreOutOfReach(t *testing.T) {
	needLandlock(t, 1)
	folder := t.TempDir()
	secret := write(t, folder+"/secret/key")
	model := write(t, folder+"/model/coco.onnx")
	kept := write(t, folder+"/cache/engine")
	link := folder + "/cache/link"
	if err := os.Symlink(secret, link); err != nil {
		t.Fatal(err)
	}
	camera := folder + "/video0" // as good as /dev/video0: a character device, this one full(4)'s
	if err := unix.Mknod(camera, unix.S_IFCHR|0o666, int(unix.Mkdev(1, 7))); err != nil {
		t.Logf("cannot make a device node, so /dev/full stands in: %v", err)
		camera = "/dev/full"
	}
	p := Policy{Read: []string{model}, Write: []string{folder + "/cache"}}
	for _, c := range []struct {
		attempt, path string
		want          syscall.Errno
	}{
		{"read", model, none},
		{"write", model, unix.EACCES},
		{"read", kept, none},
		{"write", kept, none},
		{"create", folder + "/cache/new", none},
		{"mkdir", folder + "/cache/folder", none},
		{"remove", kept, none},
		{"symlink", folder + "/cache/other", unix.EACCES},
		{"read", secret, unix.EACCES},
		{"read", link, unix.EACCES},
		{"write", secret, unix.EACCES},
		{"remove", secret, unix.EACCES},
		{"create", folder + "/new", unix.EACCES},
		{"mkdir", folder + "/folder", unix.EACCES},
		{"read", folder, unix.EACCES},
		{"read", camera, unix.EACCES},
		{"read", "/etc/passwd", unix.EACCES},
		{"read", fmt.Sprintf("/proc/%d/environ", os.Getpid()), unix.EACCES},
		{"execute", "/bin/true", unix.EACCES},
	} {
		if got := try(t, p, c.attempt, c.path); got != c.want {
			t.Errorf("%s %s: %v, want %v", c.attempt, c.path, got, c.want)
		}
	}
}

func TestDevicesAreControlledByNameOnly(t *testing.T) {
	needLandlock(t, 5)
	if got := try(t, Policy{Devices: []string{"/dev/urand*"}}, "terminal", "/dev/urandom"); got != none {
		t.Errorf("a device of the policy: %v", got)
	}
	if got := try(t, Policy{Read: []string{"/dev/urandom"}}, "terminal", "/dev/urandom"); got != unix.EACCES {
		t.Errorf("a device that may only be read: %v, want EACCES", got)
	}
}

func TestNoSocketWithoutNetwork(t *testing.T) {
	needSeccomp(t)
	for _, attempt := range []string{"tcp", "udp", "unix", "packet", "pair"} {
		if got := try(t, Policy{}, attempt); got != unix.EPERM {
			t.Errorf("%s: %v, want EPERM", attempt, got)
		}
	}
}

func TestNetworkAllowsTheUsualFamilies(t *testing.T) {
	needSeccomp(t)
	for _, attempt := range []string{"tcp", "udp", "unix", "pair"} {
		if got := try(t, Policy{Network: true}, attempt); got != none {
			t.Errorf("%s: %v", attempt, got)
		}
	}
	if got := try(t, Policy{Network: true}, "packet"); got != unix.EPERM {
		t.Errorf("another family: %v, want EPERM", got)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	if got := try(t, Policy{Network: true}, "dial", "tcp", listener.Addr().String()); got != none {
		t.Errorf("dial: %v", got)
	}
}

func TestSystemCallsBeyondTheProcess(t *testing.T) {
	needSeccomp(t)
	parent := strconv.Itoa(os.Getpid())
	folder := t.TempDir()
	own := write(t, folder+"/own")
	p := Policy{Write: []string{folder}}
	for _, c := range []struct {
		want    syscall.Errno
		attempt []string
	}{
		{unix.EPERM, []string{"ptrace", parent}},
		{unix.EPERM, []string{"limits", parent}},
		{none, []string{"limits", "0"}},
		{unix.EPERM, []string{"truncate", own}},
		{unix.EPERM, []string{"chmod", own}},
		{unix.EPERM, []string{"io_uring"}},
		{unix.EPERM, []string{"unshare"}},
		{unix.EPERM, []string{"namespace"}},
		{unix.EPERM, []string{"bpf"}},
		{unix.EPERM, []string{"keyctl"}},
		{unix.EPERM, []string{"clock"}},
		{unix.EPERM, []string{"mount"}},
		{unix.EPERM, []string{"module"}},
		{unix.EPERM, []string{"quotactl"}},
		{unix.EPERM, []string{"persona"}},
		{unix.ENOSYS, []string{"clone3"}},
	} {
		if got := try(t, p, c.attempt...); got != c.want {
			t.Errorf("%v: %v, want %v", c.attempt, got, c.want)
		}
	}
}

func TestSignalsStayInside(t *testing.T) {
	needLandlock(t, 6)
	if got := try(t, Policy{}, "signal", strconv.Itoa(os.Getpid())); got != unix.EPERM {
		t.Errorf("%v, want EPERM", got)
	}
}

func TestLaterThreadsAreConfined(t *testing.T) {
	secret := write(t, t.TempDir()+"/key")
	t.Run("files", func(t *testing.T) {
		needLandlock(t, 1)
		if got := try(t, Policy{}, "thread", "read", secret); got != unix.EACCES {
			t.Errorf("%v, want EACCES", got)
		}
	})
	t.Run("system calls", func(t *testing.T) {
		needSeccomp(t)
		if got := try(t, Policy{}, "thread", "unix"); got != unix.EPERM {
			t.Errorf("%v, want EPERM", got)
		}
	})
}

// TestWhatTheKernelLacksIsLeftOut takes a feature away: the other one holds, and the target is told.
func TestWhatTheKernelLacksIsLeftOut(t *testing.T) {
	needLandlock(t, 1)
	needSeccomp(t)
	secret := write(t, t.TempDir()+"/key")
	lacking := func(feature string, argv ...string) *exec.Cmd {
		cmd := confined(t, Policy{}, append([]string{"SELF"}, argv...)...)
		cmd.Args = append([]string{cmd.Path, "without", feature}, cmd.Args...)
		return cmd
	}
	for _, c := range []struct {
		feature     string
		read, reach syscall.Errno
	}{
		{"landlock", none, unix.EPERM},
		{"seccomp", unix.EACCES, none},
	} {
		if got := outcome(t, lacking(c.feature, "act", "read", secret)); got != c.read {
			t.Errorf("without %s, a file: %v, want %v", c.feature, got, c.read)
		}
		if got := outcome(t, lacking(c.feature, "act", "unix")); got != c.reach {
			t.Errorf("without %s, a socket: %v, want %v", c.feature, got, c.reach)
		}
		out, err := lacking(c.feature, "tell").Output()
		if err != nil {
			t.Fatal(err)
		}
		var got told
		if err := json.Unmarshal(out, &got); err != nil {
			t.Fatal(err)
		}
		missing := got.Status.Missing
		if len(missing) != 1 || !strings.HasPrefix(strings.ToLower(missing[0]), c.feature+": ") {
			t.Errorf("without %s, missing is %q", c.feature, missing)
		}
	}
}

// TestOlderVersionsOfLandlock tries the rulesets of older kernels on this one, which takes them.
func TestOlderVersionsOfLandlock(t *testing.T) {
	needLandlock(t, 1)
	newest, err := landlockVersion()
	if err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for version := 1; version <= newest; version++ {
		if got := outcome(t, exec.Command(self, "act", "version", strconv.Itoa(version))); got != unix.EACCES {
			t.Errorf("version %d: a file outside: %v, want EACCES", version, got)
		}
	}
}

func TestDescriptorsAreClosed(t *testing.T) {
	cmd := confined(t, Policy{Keep: []int{5}}, "SELF", "act", "descriptor", "4")
	cmd.ExtraFiles = append(cmd.ExtraFiles, os.Stdin, os.Stdin) // 4 and 5
	if got := outcome(t, cmd); got != unix.EBADF {
		t.Errorf("a descriptor that the policy does not keep: %v, want EBADF", got)
	}
	cmd = confined(t, Policy{Keep: []int{5}}, "SELF", "act", "descriptor", "5")
	cmd.ExtraFiles = append(cmd.ExtraFiles, os.Stdin, os.Stdin)
	if got := outcome(t, cmd); got != none {
		t.Errorf("one that it keeps: %v", got)
	}
}

func TestTheTargetIsToldAndTheKernelAgrees(t *testing.T) {
	out, err := confined(t, Policy{OpenFiles: 100, Data: 1 << 32, OOMScore: 700, TimerSlack: 7 * time.Millisecond}, "SELF", "tell").Output()
	if err != nil {
		t.Fatal(err)
	}
	var got told
	if err := json.Unmarshal(out, &got); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if want := Supported(); !reflect.DeepEqual(got.Status, want) {
		t.Errorf("the target was told %+v, supported is %+v", got.Status, want)
	}
	if got.OOMScore != "700" || got.Core != 0 || got.OpenFiles != 100 || got.Data != 1<<32 {
		t.Errorf("OOM score %s, core files up to %d bytes, %d descriptors, %d bytes of data",
			got.OOMScore, got.Core, got.OpenFiles, got.Data)
	}
	if got.TimerSlack != 7*time.Millisecond {
		t.Errorf("timers may be %s late, want 7ms", got.TimerSlack)
	}
	lines := []string{"NoNewPrivs:\t1", "CapEff:\t0000000000000000", "CapPrm:\t0000000000000000"}
	if got.Status.Seccomp {
		lines = append(lines, "Seccomp:\t2")
	}
	for _, line := range lines {
		if !strings.Contains(got.Kernel, line+"\n") {
			t.Errorf("/proc/self/status does not say %q:\n%s", line, got.Kernel)
		}
	}
}

// TestTheTargetEndsWithItsParent kills what confined itself's parent: the signal is set for one thread, and execution
// leaves another.
func TestTheTargetEndsWithItsParent(t *testing.T) {
	p := Policy{ReadExecute: []string{"/bin", "/usr/bin", "/lib", "/lib64", "/usr/lib"}}
	inner := confined(t, p, "/bin/sh", "-c", "echo $$; exec sleep 600")
	// A shell in between is the parent that dies. It waits, so that it does not become its child.
	outer := exec.Command("/bin/sh", append([]string{"-c", `"$@" & wait`, "sh"}, inner.Args...)...)
	outer.ExtraFiles = inner.ExtraFiles
	out, err := outer.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := outer.Start(); err != nil {
		t.Fatal(err)
	}
	reader := bufio.NewReader(out)
	pid, err := reader.ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	if err := outer.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	// The pipe ends when the last process that holds it has.
	ended := time.AfterFunc(10*time.Second, func() {
		if n, err := strconv.Atoi(strings.TrimSpace(pid)); err == nil {
			_ = unix.Kill(n, unix.SIGKILL)
			t.Error("the target outlived its parent by 10 s")
		}
	})
	_, _ = io.ReadAll(reader)
	ended.Stop()
	_ = outer.Wait()
}

func TestWhatCannotBeExecuted(t *testing.T) {
	for _, argv := range [][]string{{"/nonexistent"}, {"no-such-program"}, {t.TempDir()}, {}} {
		out, err := confined(t, Policy{}, argv...).CombinedOutput()
		if err == nil || !strings.HasPrefix(string(out), "cannot execute") {
			t.Errorf("%v: %v: %s", argv, err, out)
		}
	}
}

// BenchmarkExec is the time from start to end of a program, as it is and confined.
func BenchmarkExec(b *testing.B) {
	self, err := os.Executable()
	if err != nil {
		b.Fatal(err)
	}
	target := []string{self, "act", "descriptor", "0"}
	b.Run("plain", func(b *testing.B) {
		for b.Loop() {
			if err := exec.Command(target[0], target[1:]...).Run(); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("confined", func(b *testing.B) {
		p := Policy{Read: []string{"/lib", "/lib64", "/usr/lib", "/etc/ld.so.cache", "/proc/self"}, Write: []string{"/dev/null"}}
		for b.Loop() {
			file, err := p.File()
			if err != nil {
				b.Fatal(err)
			}
			cmd := exec.Command(self, append([]string{"confine"}, target...)...)
			cmd.ExtraFiles = []*os.File{file}
			if out, err := cmd.CombinedOutput(); err != nil {
				b.Fatalf("%v: %s", err, out)
			}
			_ = file.Close()
		}
	})
}

func TestTheInterpreterOfAProgram(t *testing.T) {
	sh, err := filepath.EvalSymlinks("/bin/sh")
	if err != nil {
		t.Fatal(err)
	}
	if got := interpreterOf(sh); !strings.Contains(got, "/ld-linux") {
		t.Errorf("%s asks for %q", sh, got)
	}
	if got := interpreterOf("/etc/passwd"); got != "" {
		t.Errorf("a text asks for %q", got)
	}
}
