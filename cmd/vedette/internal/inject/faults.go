//go:build faultinject

package inject

import (
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"vedette/infer/wire"
)

// devour takes memory until somebody stops it.
func devour() {
	const step = 16 << 20
	for {
		memory, err := unix.Mmap(-1, 0, step, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
		if err != nil {
			say("memory", err)
			time.Sleep(100 * time.Millisecond)
			continue
		}
		for i := 0; i < step; i += 4096 {
			memory[i] = 1
		}
		time.Sleep(time.Millisecond)
	}
}

// spin keeps every processor busy.
func spin() {
	for range runtime.NumCPU() {
		go func() {
			for n := 0; ; n++ {
				_ = n
			}
		}()
	}
}

// writeToFrozen writes until the file system is frozen, and then sleeps in the kernel with all threads that matter.
func writeToFrozen() {
	file, err := os.OpenFile(os.Getenv(pathEnv), os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		say("open", err)
		return
	}
	for {
		if _, err := file.WriteAt([]byte("x"), 0); err != nil {
			say("write", err)
			return
		}
		if err := file.Sync(); err != nil {
			say("sync", err)
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// controlSocket finds the worker's, by its type: there is but one of it.
func controlSocket() int {
	for descriptor := 3; descriptor < 64; descriptor++ {
		kind, err := unix.GetsockoptInt(descriptor, unix.SOL_SOCKET, unix.SO_TYPE)
		if err == nil && kind == unix.SOCK_SEQPACKET {
			return descriptor
		}
	}
	return -1
}

// babble sends what no worker may send: of another generation, cut short, too long, without sense. An unknown version is
// left out: it ends the conversation at once.
func babble() {
	control := controlSocket()
	stale, err := wire.Append(nil, wire.Heartbeat{Generation: 1 << 40, Stage: wire.StageReady})
	if err != nil {
		say("encode", err)
		return
	}
	for _, message := range [][]byte{
		stale, stale[:len(stale)/2], append(stale[:len(stale):len(stale)], make([]byte, 60<<10)...),
		append(stale[:len(stale)-4:len(stale)-4], "\xff\xff\xff\xff"...),
	} {
		say(fmt.Sprintf("send %d bytes", len(message)), unix.Send(control, message, unix.MSG_NOSIGNAL|unix.MSG_DONTWAIT))
	}
}

// attackRing tries to change each ring, to which the worker has nothing but a mapping: it closed the descriptor, and what
// that lets through is the ring's own tests' to show.
func attackRing() {
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		say("maps", err)
		return
	}
	for line := range strings.Lines(string(maps)) {
		if !strings.Contains(line, "/memfd:") {
			continue
		}
		var start, end uintptr
		if _, err := fmt.Sscanf(line, "%x-%x", &start, &end); err != nil {
			say("maps", err)
			continue
		}
		_, _, errno := unix.Syscall(unix.SYS_MPROTECT, start, end-start, unix.PROT_READ|unix.PROT_WRITE)
		say("ring make writable", fromErrno(errno))
		say("ring reopen", openForWriting(fmt.Sprintf("/proc/self/map_files/%x-%x", start, end)))
		say("ring write", writeOwnMemory(int64(start))) //nolint:gosec // an address of this process
	}
	for descriptor := range 64 {
		path := fmt.Sprintf("/proc/%d/fd/%d", os.Getppid(), descriptor)
		if err := openForWriting(path); err == nil {
			say("ring of the parent", nil)
			return
		}
	}
	say("ring of the parent", unix.EACCES)
}

func fromErrno(errno syscall.Errno) error {
	if errno == 0 {
		return nil
	}
	return errno
}

func openForWriting(path string) error {
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	return file.Close()
}

// writeOwnMemory goes round the page's protection, as a debugger does.
func writeOwnMemory(at int64) error {
	file, err := os.OpenFile("/proc/self/mem", os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer file.Close()
	_, err = file.WriteAt([]byte("x"), at)
	return err
}

// attackSandbox tries to reach what a worker has no business with.
func attackSandbox() {
	for _, path := range []string{"/dev/video0", "/etc/vedette/vedette.yaml", "/etc/vedette/mqtt.password", "/etc/shadow"} {
		_, err := os.ReadFile(path)
		say("read "+path, err)
	}
	for _, path := range []string{"/tmp/x", "/var/lib/vedette/x", "/run/vedette/x", "/dev/shm/x"} {
		say("write "+path, os.WriteFile(path, []byte("x"), 0o600))
	}
	for _, network := range []struct{ name, address string }{
		{"tcp", "127.0.0.1:1883"}, {"udp", "127.0.0.1:53"}, {"unix", "/run/vedette/control.sock"},
	} {
		conn, err := net.Dial(network.name, network.address)
		if err == nil {
			_ = conn.Close()
		}
		say("connect "+network.name, err)
	}
	runtime.LockOSThread()
	say("ptrace parent", unix.PtraceAttach(os.Getppid()))
}

// say reports an attempt: what it did, and the error's name, or that it was done.
func say(attempt string, err error) {
	outcome := "done"
	var errno syscall.Errno
	if errors.As(err, &errno) {
		outcome = unix.ErrnoName(errno)
	} else if err != nil {
		outcome = err.Error()
	}
	fmt.Fprintf(os.Stderr, "injected: %s: %s\n", attempt, outcome)
}
