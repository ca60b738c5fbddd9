package sandbox

import "golang.org/x/sys/unix"

const (
	auditArchitecture = unix.AUDIT_ARCH_X86_64
	// firstForeignNumber is x32's first: it has amd64's architecture, and numbers of its own.
	firstForeignNumber = 0x40000000
)

func ofThisArchitecture() []uintptr {
	return []uintptr{
		unix.SYS_CHMOD, unix.SYS_CHOWN, unix.SYS_LCHOWN,
		unix.SYS_IOPL, unix.SYS_IOPERM, unix.SYS_MODIFY_LDT,
		unix.SYS_CREATE_MODULE, unix.SYS_USELIB, unix.SYS_SYSFS, unix.SYS__SYSCTL,
	}
}
