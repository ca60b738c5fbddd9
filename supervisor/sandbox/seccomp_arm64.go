package sandbox

import "golang.org/x/sys/unix"

const (
	auditArchitecture = unix.AUDIT_ARCH_AARCH64
	// firstForeignNumber is beyond all: 32-bit programs have an architecture of their own.
	firstForeignNumber = 1 << 31
)

// ofThisArchitecture is empty: arm64 has none of the old calls.
func ofThisArchitecture() []uintptr { return nil }
