package process

import (
	"fmt"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// ReportCrashes is called by a child at its start: what Go's runtime says of an unrecovered panic or a fatal signal goes
// to the parent on a descriptor of its own, whatever becomes of standard error. In a process that Start did not start
// it does nothing.
func ReportCrashes() error {
	fd, ok, err := CrashDescriptor()
	if err != nil || !ok {
		return err
	}
	unix.CloseOnExec(fd)
	file := os.NewFile(uintptr(fd), "crash report")
	// SetCrashOutput duplicates the descriptor.
	if err := debug.SetCrashOutput(file, debug.CrashOptions{}); err != nil {
		return fmt.Errorf("cannot report crashes: %w", err)
	}
	return file.Close()
}

// CrashDescriptor is where a child's crash report goes, for what stands between Start and the child's own program; false
// in a process that Start did not start.
func CrashDescriptor() (fd int, ok bool, err error) {
	if fd, err = inherited(crashFDName); err != nil {
		return 0, false, fmt.Errorf("cannot report crashes: %w", err)
	}
	return fd, fd >= 0, nil
}

// inherited is the descriptor whose number the parent put into the environment, -1 where it put none.
func inherited(name string) (int, error) {
	number, ok := os.LookupEnv(name)
	if !ok {
		return -1, nil
	}
	fd, err := strconv.Atoi(number)
	if err != nil || fd < 3 {
		return -1, fmt.Errorf("%s=%q is no descriptor", name, number)
	}
	return fd, nil
}

// CrashSignal finds the signal that a crash report of Go's runtime speaks of: native code's SIGSEGV ends a Go process
// with exit code 2, and only the report tells. It is 0 for a plain panic. (runtime/signal_unix.go writes
// "SIGSEGV: segmentation violation" for a signal in C code, "[signal SIGSEGV: …" for one in Go code.)
func CrashSignal(report string) syscall.Signal {
	for line := range strings.Lines(report) {
		line = strings.TrimPrefix(strings.TrimSpace(line), "[signal ")
		name, _, ok := strings.Cut(line, ":")
		if !ok || !strings.HasPrefix(name, "SIG") {
			continue
		}
		if sig := unix.SignalNum(name); sig != 0 {
			return sig
		}
	}
	return 0
}

// SignalName is a signal's name, such as SIGSEGV.
func SignalName(sig syscall.Signal) string {
	if name := unix.SignalName(sig); name != "" {
		return name
	}
	return fmt.Sprintf("signal %d", int(sig))
}
