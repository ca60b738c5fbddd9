package sandbox

import (
	"debug/elf"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// closeOnExec marks every descriptor from 3 on that is not in keep, and clears the mark of those that are.
func closeOnExec(keep []int) error {
	// close_range(2) would do it in fewer calls, and knows the mark only since Linux 5.11.
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return fmt.Errorf("cannot list the open descriptors: %w", err)
	}
	for _, entry := range entries {
		fd, err := strconv.Atoi(entry.Name())
		if err != nil || fd < 3 {
			continue
		}
		mark := unix.FD_CLOEXEC
		if slices.Contains(keep, fd) {
			mark = 0
		}
		// The folder's own descriptor is listed, and closed by now.
		if _, err := unix.FcntlInt(uintptr(fd), unix.F_SETFD, mark); err != nil && !errors.Is(err, unix.EBADF) {
			return fmt.Errorf("cannot close descriptor %d: %w", fd, err)
		}
	}
	return nil
}

func (p Policy) slackenTimers() error {
	if p.TimerSlack == 0 {
		return nil
	}
	if err := unix.Prctl(unix.PR_SET_TIMERSLACK, uintptr(p.TimerSlack), 0, 0, 0); err != nil {
		return fmt.Errorf("cannot let timers be %s late: %w", p.TimerSlack, err)
	}
	return nil
}

func (p Policy) setLimits() error {
	limits := []struct {
		name     string
		resource int
		set      bool
		value    uint64
	}{
		{"core", unix.RLIMIT_CORE, true, 0},
		{"open_files", unix.RLIMIT_NOFILE, p.OpenFiles > 0, p.OpenFiles},
		{"data", unix.RLIMIT_DATA, p.Data > 0, p.Data},
	}
	for _, l := range limits {
		if !l.set {
			continue
		}
		var now unix.Rlimit
		if err := unix.Prlimit(0, l.resource, nil, &now); err != nil {
			return fmt.Errorf("cannot read the limit %s: %w", l.name, err)
		}
		value := min(l.value, now.Max) // to raise it would need a privilege
		if err := unix.Prlimit(0, l.resource, &unix.Rlimit{Cur: value, Max: value}, nil); err != nil {
			return fmt.Errorf("cannot set the limit %s to %d: %w", l.name, value, err)
		}
	}
	return nil
}

// offerToOOMKiller raises oom_score_adj. To lower it would need a privilege.
func (p Policy) offerToOOMKiller() error {
	const path = "/proc/self/oom_score_adj"
	text, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("cannot read the OOM score: %w", err)
	}
	if now, err := strconv.Atoi(strings.TrimSpace(string(text))); err == nil && now >= p.OOMScore {
		return nil
	}
	if err := os.WriteFile(path, []byte(strconv.Itoa(p.OOMScore)), 0o644); err != nil {
		return fmt.Errorf("cannot set the OOM score: %w", err)
	}
	return nil
}

// dropCapabilities leaves the thread without privileges, root's included. With no_new_privs the target gets none back.
func dropCapabilities() error {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var none [2]unix.CapUserData
	if err := unix.Capset(&header, &none[0]); err != nil {
		return fmt.Errorf("cannot drop the capabilities: %w", err)
	}
	return nil
}

// interpreterOf is the dynamic loader that a program asks for; empty where it needs none, as a script does not.
func interpreterOf(path string) string {
	file, err := elf.Open(path)
	if err != nil {
		return ""
	}
	defer file.Close()
	for _, segment := range file.Progs {
		if segment.Type != elf.PT_INTERP || segment.Filesz > unix.PathMax {
			continue
		}
		text := make([]byte, segment.Filesz)
		if _, err := segment.ReadAt(text, 0); err != nil {
			return ""
		}
		return strings.TrimRight(string(text), "\x00")
	}
	return ""
}
