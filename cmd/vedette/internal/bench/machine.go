package bench

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// cpuTime is the CPU time of a process over all its threads, those that have ended included.
func cpuTime(pid int) (time.Duration, error) {
	// A process's CPU-time clock, as clock_getcpuclockid(3) makes its number: ~pid above three bits that say 2,
	// CPUCLOCK_SCHED. Unlike /proc/PID/stat it counts nanoseconds.
	clock := ^int32(pid)<<3 | 2
	var t unix.Timespec
	if err := unix.ClockGettime(clock, &t); err != nil {
		return 0, fmt.Errorf("cannot read the CPU time of process %d: %w", pid, err)
	}
	return time.Duration(t.Nano()), nil
}

// forgetPeak makes this process's peak of resident memory what it has now. (proc(5), clear_refs.)
func forgetPeak() error {
	if err := os.WriteFile("/proc/self/clear_refs", []byte("5"), 0); err != nil {
		return fmt.Errorf("cannot forget the peak of memory use: %w", err)
	}
	return nil
}

const mib = 1 << 20

// memory is a process's peak of resident memory in bytes, and how much of it are shared frames: mappings of a memfd
// whose name begins with what is given.
func memory(pid int, shared string) (peak, frames int64, err error) {
	dir := filepath.Join("/proc", strconv.Itoa(pid))
	status, err := os.ReadFile(filepath.Join(dir, "status"))
	if err != nil {
		return 0, 0, fmt.Errorf("cannot read memory use: %w", err)
	}
	maps, err := os.ReadFile(filepath.Join(dir, "smaps"))
	if err != nil {
		return 0, 0, fmt.Errorf("cannot read memory use: %w", err)
	}
	return kilobytes(status, "VmHWM:"), sharedFrames(maps, shared), nil
}

// sharedFrames sums the resident memory of the mappings of memfds. (proc_pid_smaps(5).)
func sharedFrames(smaps []byte, name string) (sum int64) {
	inside := false
	for line := range bytes.Lines(smaps) {
		fields := bytes.Fields(line)
		if len(fields) == 0 {
			continue
		}
		if first := fields[0]; first[len(first)-1] != ':' { // the header of a mapping
			inside = bytes.Contains(line, []byte("/memfd:"+name))
			continue
		}
		if inside {
			sum += kilobytes(line, "Rss:")
		}
	}
	return sum
}

// kilobytes finds the line "key   123 kB" and gives it in bytes; 0 where there is none.
func kilobytes(text []byte, key string) int64 {
	for line := range bytes.Lines(text) {
		fields := strings.Fields(string(line))
		if len(fields) >= 2 && fields[0] == key {
			n, err := strconv.ParseInt(fields[1], 10, 64)
			if err != nil {
				return 0
			}
			return n << 10
		}
	}
	return 0
}

// machine tells what it can; what a machine does not say stays empty.
func machine() Machine {
	m := Machine{Cores: runtime.GOMAXPROCS(0), CPU: runtime.GOARCH}
	if text, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		if name := cpuName(text); name != "" {
			m.CPU = name
		}
	}
	if text, err := os.ReadFile("/proc/meminfo"); err == nil {
		m.MemoryMiB = kilobytes(text, "MemTotal:") / mib
	}
	if text, err := os.ReadFile("/proc/loadavg"); err == nil {
		if first, _, ok := strings.Cut(string(text), " "); ok {
			m.Load, _ = strconv.ParseFloat(first, 64)
		}
	}
	var name unix.Utsname
	if unix.Uname(&name) == nil {
		m.Kernel = unix.ByteSliceToString(name.Release[:])
	}
	return m
}

// cpuName is what x86 calls "model name". Kernels for arm64 name the board, in the device tree or not at all.
func cpuName(cpuinfo []byte) string {
	lines := bufio.NewScanner(bytes.NewReader(cpuinfo))
	for lines.Scan() {
		key, value, ok := strings.Cut(lines.Text(), ":")
		if key = strings.TrimSpace(key); ok && (key == "model name" || key == "Model") {
			return strings.TrimSpace(value)
		}
	}
	return ""
}
