//go:build faultinject

package inject

/*
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void crash(void) { *(volatile int *)8 = 1; }

static void multiply(void) {
	for (;;) {
		if (fork() == 0) {
			for (;;) pause();
		}
		usleep(1000);
	}
}
*/
import "C"

// crash is a segmentation fault in native code.
func crash() { C.crash() }

// multiply forks without end.
func multiply() { C.multiply() }
