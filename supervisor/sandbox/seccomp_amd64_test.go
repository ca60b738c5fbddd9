package sandbox

import (
	"os/exec"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// TestOldSystemCallsAreRefused makes a 64-bit program ask the kernel by int 0x80, whose numbers are the 32-bit ones: a
// filter that went by the numbers alone would let it open any socket.
func TestOldSystemCallsAreRefused(t *testing.T) {
	needSeccomp(t)
	compiler, err := exec.LookPath("gcc")
	if err != nil {
		t.Skip("gcc is not installed: nothing to make int 0x80 with")
	}
	program := filepath.Join(t.TempDir(), "old")
	source := write(t, t.TempDir()+"/old.c")
	writeText(t, source, `
#include <stdio.h>
int main(void) {
	int r;
	__asm__ volatile("int $0x80" : "=a"(r) : "a"(359), "b"(1), "c"(1), "d"(0) : "memory", "r8", "r9", "r10", "r11");
	printf("%d", r < 0 ? -r : 0); /* 359 is socket: 1, 1 is AF_UNIX, SOCK_STREAM */
	return 0;
}`)
	if out, err := exec.Command(compiler, "-o", program, source).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if out, err := exec.Command(program).Output(); err != nil || string(out) != "0" { // int 0x80 is a fault to some kernels
		t.Skipf("this kernel has no 32-bit system calls: %v, %q", err, out)
	}
	if got := outcome(t, confined(t, Policy{}, program)); got != unix.EPERM {
		t.Errorf("%v, want EPERM", got)
	}
}
