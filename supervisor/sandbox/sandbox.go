// Package sandbox confines a process to what it needs, then lets it become another program.
//
// Landlock and seccomp hold for a thread and for what it starts. A Go program has threads from its first instruction,
// so nothing is confined in place: one thread is, and that thread executes the target. Every thread of the target then
// descends from it.
package sandbox

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// Variable is the environment variable in which a target finds its Status, as JSON.
const Variable = "VEDETTE_SANDBOX"

// Status says what holds a process.
type Status struct {
	NoNewPrivileges bool `json:"no_new_privileges"`
	Seccomp         bool `json:"seccomp"`
	Landlock        int  `json:"landlock"` // version of the kernel's interface; 0 where there is none
	// Missing says what the kernel lacks, one line each, where a process can get at files or sockets that its policy does
	// not name.
	Missing []string `json:"missing,omitempty"`
}

// Supported says what Enter would do here. It confines nothing.
func Supported() Status {
	s := Status{NoNewPrivileges: true} // Linux 3.5
	var err error
	if s.Landlock, err = landlockVersion(); err != nil {
		s.Missing = append(s.Missing, "Landlock: "+err.Error())
	}
	if err = probeSeccomp(); err != nil {
		s.Missing = append(s.Missing, "seccomp: "+err.Error())
	}
	s.Seccomp = err == nil
	return s
}

// Inherited gives the status that Exec handed to this process; false where it was not confined.
func Inherited() (Status, bool, error) {
	text, ok := os.LookupEnv(Variable)
	if !ok {
		return Status{}, false, nil
	}
	var s Status
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		return Status{}, false, fmt.Errorf("cannot read %s: %w", Variable, err)
	}
	return s, true, nil
}

// Enter confines the calling thread for good; the caller has locked it, and ends or executes it. What the kernel lacks
// is left out and reported. An error leaves the thread half confined.
func (p Policy) Enter() (Status, error) {
	if err := p.validate(); err != nil {
		return Status{}, err
	}
	status := Supported()
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return Status{}, fmt.Errorf("cannot give up new privileges: %w", err)
	}
	// What needs a file or a privilege comes first, the filter last: it forbids some of what the others do.
	steps := []func() error{
		func() error { return closeOnExec(p.Keep) },
		p.setLimits,
		p.offerToOOMKiller,
		p.slackenTimers,
		func() error { return p.restrictFiles(status.Landlock) },
		dropCapabilities,
	}
	if status.Seccomp {
		steps = append(steps, p.filterSystemCalls)
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return Status{}, err
		}
	}
	return status, nil
}

// Exec confines a thread and executes a program on it, which may execute itself whatever the policy says. It returns
// only where that fails; the process is of no further use then.
//
// The signal that a parent's death sends belongs to a thread, too, and would be lost with the others: the target gets
// SIGKILL.
func (p Policy) Exec(argv, env []string) error {
	if len(argv) == 0 {
		return errors.New("cannot execute: there is no program")
	}
	path, err := exec.LookPath(argv[0])
	if err != nil {
		return fmt.Errorf("cannot execute: %w", err)
	}
	p.ReadExecute = append(slices.Clone(p.ReadExecute), path)
	if interpreter := interpreterOf(path); interpreter != "" {
		p.ReadExecute = append(p.ReadExecute, interpreter)
	}

	runtime.LockOSThread() // for good: nothing may run on a confined thread
	if err := unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL), 0, 0, 0); err != nil {
		return fmt.Errorf("cannot ask to end with the parent: %w", err)
	}
	status, err := p.Enter()
	if err != nil {
		return err
	}
	text, err := json.Marshal(status)
	if err != nil {
		return fmt.Errorf("cannot describe the confinement: %w", err)
	}
	env = slices.DeleteFunc(slices.Clone(env), func(pair string) bool { return strings.HasPrefix(pair, Variable+"=") })
	if err := unix.Exec(path, argv, append(env, Variable+"="+string(text))); err != nil {
		return fmt.Errorf("cannot execute %s: %w", path, err)
	}
	return nil
}
