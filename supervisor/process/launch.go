package process

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Group is the cgroup that a child is to be in.
type Group interface {
	// Dir is the group's folder, for the kernel to start the child in it. Nil: it can only be joined.
	Dir() *os.File
	// Add moves a process into the group.
	Add(pid int) error
}

// Entry is how a child came into its group.
type Entry string

// Every way into a group.
const (
	EntryNone  Entry = ""       // there is no group
	EntryClone Entry = "clone3" // the kernel started it there
	EntryGate  Entry = "gate"   // it was moved there while it waited for its gate
)

const gateFDName = "VEDETTE_GATE_FD"

// gateWithin bounds a child's wait. The parent needs microseconds, unless the machine is out of memory.
const gateWithin = 10 * time.Second

// A preparation is something that the parent does to a child before it lets it go.
type preparation func(pid int) error

// launch starts the child in its group by clone3 where the kernel lets it, else moves it there while it waits.
func launch(spec Spec, stderr, crash *os.File) (*exec.Cmd, Entry, error) {
	var prepare []preparation
	if spec.OOMScoreAdj != 0 {
		prepare = append(prepare, spec.adjustOOMScore)
	}
	if len(spec.Rlimits) > 0 {
		prepare = append(prepare, spec.limit)
	}
	if spec.Group == nil {
		cmd, err := start(spec, stderr, crash, nil, prepare)
		return cmd, EntryNone, err
	}
	if dir := spec.Group.Dir(); dir != nil {
		cmd, err := start(spec, stderr, crash, dir, prepare)
		if !isRefusedClone(err) {
			return cmd, EntryClone, err
		}
	}
	cmd, err := start(spec, stderr, crash, nil, append(prepare, func(pid int) error {
		if err := spec.Group.Add(pid); err != nil {
			return fmt.Errorf("cannot move process %d into its cgroup: %w", pid, err)
		}
		return nil
	}))
	return cmd, EntryGate, err
}

// isRefusedClone tells whether clone3 itself may have been refused, so that a start without it is worth trying.
func isRefusedClone(err error) bool {
	for _, refusal := range []syscall.Errno{
		unix.ENOSYS,             // RestrictNamespaces=, container runtimes; before Linux 5.3
		unix.EPERM, unix.EACCES, // other filters; a group that may not be entered from here
		unix.EINVAL, unix.E2BIG, unix.EOPNOTSUPP, // before Linux 5.7, which knows no CLONE_INTO_CGROUP
	} {
		if errors.Is(err, refusal) {
			return true
		}
	}
	return false
}

// start starts the child, inside group if there is one. While there is something to prepare the child waits, if it calls
// AwaitGate. On an error there is no child.
func start(spec Spec, stderr, crash, group *os.File, prepare []preparation) (*exec.Cmd, error) {
	cmd := exec.Command(spec.Path, spec.Args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	if group != nil {
		cmd.SysProcAttr.UseCgroupFD, cmd.SysProcAttr.CgroupFD = true, int(group.Fd())
		defer runtime.KeepAlive(group)
	}
	cmd.Stderr = stderr
	cmd.Env = append([]string{}, spec.Env...)
	cmd.ExtraFiles = append([]*os.File{}, spec.Files...)
	inherit := func(name string, file *os.File) {
		cmd.ExtraFiles = append(cmd.ExtraFiles, file)
		cmd.Env = append(cmd.Env, fmt.Sprintf("%s=%d", name, 2+len(cmd.ExtraFiles)))
	}
	inherit(crashFDName, crash)
	if len(prepare) == 0 {
		return cmd, cmd.Start()
	}

	gate, release, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("cannot make a gate: %w", err)
	}
	defer release.Close()
	inherit(gateFDName, gate)
	err = cmd.Start()
	_ = gate.Close()
	if err != nil {
		return nil, err
	}
	for _, step := range prepare {
		// A child that has ended already says more by its exit.
		if err := step(cmd.Process.Pid); err != nil && !errors.Is(err, unix.ESRCH) {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
			return nil, err
		}
	}
	// A child that knows no gate may have closed it, or be gone.
	if _, err := release.Write([]byte{1}); err != nil && !errors.Is(err, unix.EPIPE) {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		return nil, fmt.Errorf("cannot open the child's gate: %w", err)
	}
	return cmd, nil
}

func (s Spec) adjustOOMScore(pid int) error {
	path := fmt.Sprintf("/proc/%d/oom_score_adj", pid)
	if err := os.WriteFile(path, []byte(strconv.Itoa(s.OOMScoreAdj)), 0); err != nil {
		return fmt.Errorf("cannot set how soon process %d is taken when memory runs out: %w", pid, err)
	}
	return nil
}

func (s Spec) limit(pid int) error {
	for resource, value := range s.Rlimits {
		if err := unix.Prlimit(pid, resource, &unix.Rlimit{Cur: value, Max: value}, nil); err != nil {
			return fmt.Errorf("cannot set resource limit %d of process %d to %d: %w", resource, pid, value, err)
		}
	}
	return nil
}

// AwaitGate is the first thing that a child calls: it returns when the parent has put the child where it belongs. In a
// process that Start did not start, or that needs no preparation, it does nothing.
func AwaitGate() error {
	fd, err := inherited(gateFDName)
	if err != nil {
		return fmt.Errorf("cannot wait for the parent: %w", err)
	}
	if fd < 0 {
		return nil
	}
	// What this process starts, itself for one, has no gate.
	if err := os.Unsetenv(gateFDName); err != nil {
		return fmt.Errorf("cannot forget the gate: %w", err)
	}
	if err := unix.SetNonblock(fd, true); err != nil { // a file takes deadlines only so
		return fmt.Errorf("cannot wait for the parent: %w", err)
	}
	gate := os.NewFile(uintptr(fd), "gate")
	defer gate.Close()
	if err := gate.SetReadDeadline(time.Now().Add(gateWithin)); err != nil {
		return fmt.Errorf("cannot wait for the parent: %w", err)
	}
	if _, err := gate.Read(make([]byte, 1)); err != nil {
		return fmt.Errorf("parent did not let this process go: %w", err)
	}
	return nil
}
