package bench

import (
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The kernel's other account of the same time is the oracle.
func TestCPUTime(t *testing.T) {
	before, err := cpuTime(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	for end := before + 20*time.Millisecond; ; {
		now, err := cpuTime(os.Getpid())
		if err != nil {
			t.Fatal(err)
		}
		if now >= end {
			break
		}
	}
	after, err := cpuTime(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	var usage unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &usage); err != nil {
		t.Fatal(err)
	}
	whole := time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
	if difference := whole - after; difference < -20*time.Millisecond || difference > 100*time.Millisecond {
		t.Errorf("this process took %v by its clock, %v by getrusage", after, whole)
	}
}

// Memory of a name of ours is told apart, other memory is not.
func TestMemory(t *testing.T) {
	const size = 32 * mib
	_, before, err := memory(os.Getpid(), "vedette:test")
	if err != nil {
		t.Fatal(err)
	}
	data, err := shared("vedette:test", size)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := unix.Munmap(data); err != nil {
			t.Error(err)
		}
	}()
	peak, frames, err := memory(os.Getpid(), "vedette:test")
	if err != nil {
		t.Fatal(err)
	}
	if frames-before != size || peak < frames {
		t.Errorf("of %d bytes at the peak %d were told apart, %d before: %d are mapped", peak, frames, before, size)
	}
}
