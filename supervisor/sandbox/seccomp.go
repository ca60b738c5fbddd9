package sandbox

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"unsafe"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// rule refuses a system call: always, or by its first argument.
type rule struct {
	number uintptr
	answer unix.Errno
	bits   uint32   // refuse only where one of these is set in the argument
	except []uint32 // refuse unless the argument is one of these
}

func refuse(numbers ...uintptr) []rule {
	var rules []rule
	for _, number := range numbers {
		rules = append(rules, rule{number: number, answer: unix.EPERM})
	}
	return rules
}

const namespaces = unix.CLONE_NEWNS | unix.CLONE_NEWCGROUP | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC |
	unix.CLONE_NEWUSER | unix.CLONE_NEWPID | unix.CLONE_NEWNET

// refused lists what no target of ours has a use for, and what reaches beyond the process.
func (p Policy) refused() []rule {
	rules := slices.Concat(
		// Other processes of the same user.
		refuse(unix.SYS_PTRACE, unix.SYS_PROCESS_VM_READV, unix.SYS_PROCESS_VM_WRITEV, unix.SYS_PROCESS_MADVISE,
			unix.SYS_PIDFD_GETFD, unix.SYS_KCMP),
		// io_uring makes system calls that no filter sees.
		refuse(unix.SYS_IO_URING_SETUP, unix.SYS_IO_URING_ENTER, unix.SYS_IO_URING_REGISTER),
		// What Landlock does not know of: attributes of files, and truncation before version 3.
		refuse(unix.SYS_TRUNCATE, unix.SYS_FCHMOD, unix.SYS_FCHMODAT, unix.SYS_FCHMODAT2, unix.SYS_FCHOWN,
			unix.SYS_FCHOWNAT, unix.SYS_SETXATTR, unix.SYS_LSETXATTR, unix.SYS_FSETXATTR, unix.SYS_REMOVEXATTR,
			unix.SYS_LREMOVEXATTR, unix.SYS_FREMOVEXATTR, unix.SYS_SETXATTRAT, unix.SYS_REMOVEXATTRAT, unix.SYS_FILE_SETATTR,
			unix.SYS_OPEN_BY_HANDLE_AT, unix.SYS_NAME_TO_HANDLE_AT),
		// Parts of the kernel with a long record of holes.
		refuse(unix.SYS_BPF, unix.SYS_PERF_EVENT_OPEN, unix.SYS_USERFAULTFD, unix.SYS_ADD_KEY, unix.SYS_REQUEST_KEY,
			unix.SYS_KEYCTL, unix.SYS_FANOTIFY_INIT, unix.SYS_LOOKUP_DCOOKIE, unix.SYS_SYSLOG, unix.SYS_QUOTACTL,
			unix.SYS_QUOTACTL_FD, unix.SYS_ACCT, unix.SYS_VHANGUP),
		// The machine: mounts, namespaces, modules, clocks, names, swap, reboot.
		refuse(unix.SYS_MOUNT, unix.SYS_UMOUNT2, unix.SYS_MOVE_MOUNT, unix.SYS_OPEN_TREE, unix.SYS_OPEN_TREE_ATTR,
			unix.SYS_MOUNT_SETATTR, unix.SYS_FSOPEN, unix.SYS_FSCONFIG, unix.SYS_FSMOUNT, unix.SYS_FSPICK,
			unix.SYS_PIVOT_ROOT, unix.SYS_CHROOT, unix.SYS_UNSHARE, unix.SYS_SETNS,
			unix.SYS_INIT_MODULE, unix.SYS_FINIT_MODULE, unix.SYS_DELETE_MODULE,
			unix.SYS_KEXEC_LOAD, unix.SYS_KEXEC_FILE_LOAD, unix.SYS_REBOOT, unix.SYS_SWAPON, unix.SYS_SWAPOFF,
			unix.SYS_SETTIMEOFDAY, unix.SYS_CLOCK_SETTIME, unix.SYS_ADJTIMEX, unix.SYS_CLOCK_ADJTIME,
			unix.SYS_SETHOSTNAME, unix.SYS_SETDOMAINNAME),
		refuse(ofThisArchitecture()...),
	)
	rules = append(rules,
		// clone3's flags lie in memory, where a filter cannot look. C libraries fall back to clone, Go uses nothing else.
		rule{number: unix.SYS_CLONE3, answer: unix.ENOSYS},
		rule{number: unix.SYS_CLONE, answer: unix.EPERM, bits: namespaces},
		rule{number: unix.SYS_PRLIMIT64, answer: unix.EPERM, except: []uint32{0}}, // 0: this process's own limits
		rule{number: unix.SYS_PERSONALITY, answer: unix.EPERM, except: []uint32{0, 0xffffffff}},
	)
	if p.Network {
		families := []uint32{unix.AF_UNIX, unix.AF_INET, unix.AF_INET6, unix.AF_NETLINK}
		return append(rules, rule{number: unix.SYS_SOCKET, answer: unix.EPERM, except: families})
	}
	// Not even a pair: a datagram socket of a pair can send to every other one by its name.
	return append(rules, refuse(unix.SYS_SOCKET, unix.SYS_SOCKETPAIR, unix.SYS_CONNECT, unix.SYS_BIND, unix.SYS_LISTEN)...)
}

// Offsets in struct seccomp_data (linux/seccomp.h), on a little-endian machine: the argument's low word comes first.
const (
	offsetNumber       = 0
	offsetArchitecture = 4
	offsetArgument     = 16
)

// program allows everything that the rules do not refuse. A call by another architecture's convention would have other
// numbers: it is refused, whatever it is.
func program(rules []rule) []bpf.Instruction {
	deny := func(errno unix.Errno) bpf.Instruction {
		return bpf.RetConstant{Val: unix.SECCOMP_RET_ERRNO | uint32(errno)}
	}
	load := func(offset uint32) bpf.Instruction { return bpf.LoadAbsolute{Off: offset, Size: 4} }
	all := []bpf.Instruction{
		load(offsetArchitecture),
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: auditArchitecture, SkipTrue: 1},
		deny(unix.EPERM),
		load(offsetNumber),
		bpf.JumpIf{Cond: bpf.JumpLessThan, Val: firstForeignNumber, SkipTrue: 1},
		deny(unix.EPERM),
	}
	for _, r := range rules {
		var body []bpf.Instruction
		if r.bits != 0 || r.except != nil {
			body = append(body, load(offsetArgument))
		}
		if r.bits != 0 {
			body = append(body, bpf.JumpIf{Cond: bpf.JumpBitsSet, Val: r.bits, SkipFalse: 1})
		}
		for i, value := range r.except {
			body = append(body, bpf.JumpIf{Cond: bpf.JumpEqual, Val: value, SkipTrue: uint8(len(r.except) - i)})
		}
		body = append(body, deny(r.answer))
		if len(body) > 1 {
			body = append(body, load(offsetNumber)) // for the rules that follow
		}
		all = append(all, bpf.JumpIf{Cond: bpf.JumpEqual, Val: uint32(r.number), SkipFalse: uint8(len(body))})
		all = append(all, body...)
	}
	return append(all, bpf.RetConstant{Val: unix.SECCOMP_RET_ALLOW})
}

// probeSeccomp asks whether a filter may answer with an error number.
func probeSeccomp() error {
	action := uint32(unix.SECCOMP_RET_ERRNO)
	_, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_GET_ACTION_AVAIL, 0, uintptr(unsafe.Pointer(&action)))
	switch errno {
	case 0:
		return nil
	case unix.ENOSYS:
		return errors.New("this kernel is built without it (CONFIG_SECCOMP_FILTER)")
	}
	return fmt.Errorf("the kernel refuses it: %w", errno)
}

func (p Policy) filterSystemCalls() error { return install(p.refused()) }

// install puts the calling thread under a filter. It needs no_new_privs.
func install(rules []rule) error {
	raw, err := bpf.Assemble(program(rules))
	if err != nil {
		return fmt.Errorf("cannot assemble the system call filter: %w", err)
	}
	filter := make([]unix.SockFilter, len(raw))
	for i, in := range raw {
		filter[i] = unix.SockFilter{Code: in.Op, Jt: in.Jt, Jf: in.Jf, K: in.K}
	}
	prog := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	// Kernels before 5.16 slow a filtered process down by their guard against Spectre's variant 4, which is of use where a
	// process runs several parties' code. Ours has one.
	_, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_SPEC_ALLOW,
		uintptr(unsafe.Pointer(&prog)))
	runtime.KeepAlive(filter)
	if errno != 0 {
		return fmt.Errorf("cannot install the system call filter: %w", errno)
	}
	return nil
}
