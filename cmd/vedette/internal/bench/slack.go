package bench

import (
	"fmt"
	"os"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// SetTimerSlack starts this program anew with other timers, as the setting is a thread's and Go has threads already. It returns where
// they are so already, or cannot be. What is measured needs it: without, Go's monitor thread takes the session's processors, which
// costs a bare session up to 3 ms of CPU time a run, and the service some 0.2 ms a frame.
func SetTimerSlack(to time.Duration) error {
	runtime.LockOSThread() // the one that calls exec is the only thread to survive it
	defer runtime.UnlockOSThread()
	slack, err := timerSlack()
	if err != nil || slack == to {
		return err
	}
	if err := unix.Prctl(unix.PR_SET_TIMERSLACK, uintptr(to), 0, 0, 0); err != nil {
		return fmt.Errorf("cannot set the timers' slack: %w", err)
	}
	if slack, err = timerSlack(); err != nil || slack != to {
		return err // a real-time thread, which has none
	}
	return fmt.Errorf("cannot start anew: %w", unix.Exec("/proc/self/exe", os.Args, os.Environ()))
}

func timerSlack() (time.Duration, error) {
	slack, err := unix.PrctlRetInt(unix.PR_GET_TIMERSLACK, 0, 0, 0, 0)
	if err != nil {
		return 0, fmt.Errorf("cannot read the timers' slack: %w", err)
	}
	return time.Duration(slack), nil
}
