package sandbox

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The test binary plays several parts: the test, what confines itself ("confine", by the policy on its descriptor 3),
// what that becomes ("act", "tell"), and what takes a feature of the kernel away before ("without").
func TestMain(m *testing.M) {
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case "confine":
			policy, err := ReadPolicy(os.NewFile(3, "policy"))
			if err == nil {
				err = policy.Exec(os.Args[2:], os.Environ())
			}
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		case "act":
			act(os.Args[2], os.Args[3:])
			return
		case "without":
			fmt.Fprintln(os.Stderr, without(os.Args[2], os.Args[3:]))
			os.Exit(1)
		case "tell":
			if err := tell(); err != nil {
				fmt.Fprintln(os.Stderr, err)
				os.Exit(1)
			}
			return
		}
	}
	os.Exit(m.Run())
}

// act tries something and prints the error number that comes of it; 0 where it works.
func act(what string, args []string) {
	runtime.LockOSThread()
	attempt := func() error { return attempts()[what](args) }
	if what == "thread" {
		// The main goroutine keeps the first thread: this one was started after the confinement.
		done := make(chan error)
		go func() {
			runtime.LockOSThread()
			if unix.Gettid() == unix.Getpid() {
				done <- errors.New("this is the first thread")
				return
			}
			done <- attempts()[args[0]](args[1:])
		}()
		attempt = func() error { return <-done }
	}
	err := attempt()
	var errno syscall.Errno
	if err != nil && !errors.As(err, &errno) {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Print(int(errno))
}

func attempts() map[string]func(args []string) error {
	open := func(flags int) func([]string) error {
		return func(args []string) error {
			file, err := os.OpenFile(args[0], flags, 0o600)
			if err == nil {
				err = file.Close()
			}
			return err
		}
	}
	socket := func(domain, kind int) func([]string) error {
		return func([]string) error {
			_, err := unix.Socket(domain, kind, 0)
			return err
		}
	}
	number := func(text string) int {
		n, err := strconv.Atoi(text)
		if err != nil {
			panic(err)
		}
		return n
	}
	call := func(number uintptr, args ...uintptr) func([]string) error {
		return func([]string) error {
			var a [6]uintptr
			copy(a[:], args)
			if _, _, errno := unix.Syscall6(number, a[0], a[1], a[2], a[3], a[4], a[5]); errno != 0 {
				return errno
			}
			return nil
		}
	}
	return map[string]func([]string) error{
		"version":   func(args []string) error { return underVersion(number(args[0])) },
		"read":      open(os.O_RDONLY),
		"write":     open(os.O_WRONLY),
		"create":    open(os.O_WRONLY | os.O_CREATE),
		"truncate":  func(args []string) error { return unix.Truncate(args[0], 0) },
		"chmod":     func(args []string) error { return os.Chmod(args[0], 0o777) },
		"remove":    func(args []string) error { return os.Remove(args[0]) },
		"mkdir":     func(args []string) error { return os.Mkdir(args[0], 0o700) },
		"symlink":   func(args []string) error { return os.Symlink("/etc", args[0]) },
		"terminal":  func(args []string) error { return ioctl(args[0]) },
		"execute":   func(args []string) error { return exec.Command(args[0]).Run() },
		"tcp":       socket(unix.AF_INET, unix.SOCK_STREAM),
		"udp":       socket(unix.AF_INET6, unix.SOCK_DGRAM),
		"unix":      socket(unix.AF_UNIX, unix.SOCK_STREAM),
		"packet":    socket(unix.AF_VSOCK, unix.SOCK_STREAM),
		"dial":      func(args []string) error { return dial(args[0], args[1]) },
		"pair":      func([]string) error { _, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_DGRAM, 0); return err },
		"ptrace":    func(args []string) error { return unix.PtraceAttach(number(args[0])) },
		"signal":    func(args []string) error { return unix.Kill(number(args[0]), 0) },
		"limits":    func(args []string) error { return unix.Prlimit(number(args[0]), unix.RLIMIT_CORE, nil, &unix.Rlimit{}) },
		"io_uring":  call(unix.SYS_IO_URING_SETUP, 1),
		"clone3":    call(unix.SYS_CLONE3),
		"unshare":   call(unix.SYS_UNSHARE, unix.CLONE_NEWUSER),
		"namespace": call(unix.SYS_CLONE, unix.CLONE_NEWUSER|uintptr(unix.SIGCHLD)),
		"bpf":       call(unix.SYS_BPF),
		"keyctl":    call(unix.SYS_KEYCTL),
		"clock":     call(unix.SYS_CLOCK_SETTIME),
		"mount":     call(unix.SYS_MOUNT),
		"module":    call(unix.SYS_FINIT_MODULE),
		"quotactl":  call(unix.SYS_QUOTACTL),
		"persona":   call(unix.SYS_PERSONALITY, 0x0040000),
		"descriptor": func(args []string) error {
			_, err := unix.FcntlInt(uintptr(number(args[0])), unix.F_GETFD, 0)
			return err
		},
	}
}

func ioctl(path string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	_, err = unix.IoctlGetInt(int(file.Fd()), unix.RNDGETENTCNT)
	return err
}

func dial(network, address string) error {
	conn, err := net.Dial(network, address)
	if err == nil {
		err = conn.Close()
	}
	return err
}

// confined makes a command that becomes this binary's act under a policy, which needs the libraries of the binary.
func confined(t *testing.T, p Policy, argv ...string) *exec.Cmd {
	t.Helper()
	p.Read = append(slices.Clone(p.Read), "/lib", "/lib64", "/usr/lib", "/etc/ld.so.cache", "/proc/self", "/sys/kernel/mm")
	p.Write = append(slices.Clone(p.Write), "/dev/null")
	file, err := p.File()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { file.Close() })
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for i := range argv {
		if argv[i] == "SELF" {
			argv[i] = self
		}
	}
	cmd := exec.Command(self, append([]string{"confine"}, argv...)...)
	cmd.ExtraFiles = []*os.File{file}
	cmd.Env = append(os.Environ(), "GORACE=atexit_sleep_ms=0")
	return cmd
}

// try gives the error number of an attempt under a policy.
func try(t *testing.T, p Policy, attempt ...string) syscall.Errno {
	t.Helper()
	return outcome(t, confined(t, p, append([]string{"SELF", "act"}, attempt...)...))
}

func outcome(t *testing.T, cmd *exec.Cmd) syscall.Errno {
	t.Helper()
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v: %v: %s", cmd.Args, err, &stderr)
	}
	n, err := strconv.Atoi(stdout.String())
	if err != nil {
		t.Fatalf("%v said %q", cmd.Args, &stdout)
	}
	return syscall.Errno(n)
}

// needLandlock skips where the kernel lacks it, or has too old a version.
func needLandlock(t *testing.T, version int) {
	t.Helper()
	have, err := landlockVersion()
	if err != nil {
		t.Skipf("no Landlock: %v", err)
	}
	if have < version {
		t.Skipf("the kernel has version %d of Landlock, and this needs %d", have, version)
	}
}

func needSeccomp(t *testing.T) {
	t.Helper()
	if err := probeSeccomp(); err != nil {
		t.Skipf("no seccomp: %v", err)
	}
}

// without executes a program that cannot have a feature: a filter refuses it, as a service manager's does.
func without(feature string, argv []string) error {
	calls := map[string]uintptr{"landlock": unix.SYS_LANDLOCK_CREATE_RULESET, "seccomp": unix.SYS_SECCOMP}
	runtime.LockOSThread()
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	if err := install(refuse(calls[feature])); err != nil {
		return err
	}
	return unix.Exec(argv[0], argv, os.Environ())
}

// underVersion enters Landlock as an older kernel's version would have it, then reads a file outside.
func underVersion(version int) error {
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	p := Policy{Read: []string{"/lib"}, ReadExecute: []string{"/bin/sh"}, Write: []string{"/tmp", "/dev/null"}, Devices: []string{"/dev/zero"}}
	if err := p.restrictFiles(version); err != nil {
		return err
	}
	file, err := os.Open("/etc/passwd")
	if err == nil {
		err = file.Close()
	}
	return err
}

// told is what the target sees of its confinement.
type told struct {
	Status    Status
	Kernel    string // /proc/self/status
	OOMScore  string
	Core      uint64 // hard limits
	OpenFiles uint64
	Data      uint64

	TimerSlack time.Duration
}

func tell() error {
	status, _, err := Inherited()
	if err != nil {
		return err
	}
	kernel, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return err
	}
	score, err := os.ReadFile("/proc/self/oom_score_adj")
	if err != nil {
		return err
	}
	slack, err := unix.PrctlRetInt(unix.PR_GET_TIMERSLACK, 0, 0, 0, 0)
	if err != nil {
		return err
	}
	var core, files, data unix.Rlimit
	if err := errors.Join(
		unix.Getrlimit(unix.RLIMIT_CORE, &core), unix.Getrlimit(unix.RLIMIT_NOFILE, &files),
		unix.Getrlimit(unix.RLIMIT_DATA, &data),
	); err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(told{
		status, string(kernel), strings.TrimSpace(string(score)), core.Max, files.Max, data.Max, time.Duration(slack),
	})
}

func write(t *testing.T, path string) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	writeText(t, path, "text")
	return path
}

func writeText(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}
