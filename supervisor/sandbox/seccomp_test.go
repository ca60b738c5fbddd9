package sandbox

import (
	"encoding/binary"
	"testing"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// decide runs the filter as the kernel does. bpf.VM loads big-endian words, as from a packet, where the kernel loads the
// machine's own: the words are what counts.
func decide(t *testing.T, p Policy, architecture, number uint32, argument uint64) uint32 {
	t.Helper()
	vm, err := bpf.NewVM(program(p.refused()))
	if err != nil {
		t.Fatal(err)
	}
	data := make([]byte, 64) // struct seccomp_data
	binary.BigEndian.PutUint32(data[offsetNumber:], number)
	binary.BigEndian.PutUint32(data[offsetArchitecture:], architecture)
	binary.BigEndian.PutUint32(data[offsetArgument:], uint32(argument))
	binary.BigEndian.PutUint32(data[offsetArgument+4:], uint32(argument>>32))
	verdict, err := vm.Run(data)
	if err != nil {
		t.Fatal(err)
	}
	return uint32(verdict)
}

func TestFilter(t *testing.T) {
	const (
		allowed = unix.SECCOMP_RET_ALLOW
		refused = unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM)
		absent  = unix.SECCOMP_RET_ERRNO | uint32(unix.ENOSYS)

		anywhere = unix.AUDIT_ARCH_I386 // no architecture of ours
		own      = auditArchitecture
		thread   = unix.CLONE_VM | unix.CLONE_FS | unix.CLONE_FILES | unix.CLONE_SIGHAND | unix.CLONE_THREAD
	)
	quiet, talking := Policy{}, Policy{Network: true}
	for _, c := range []struct {
		name         string
		policy       Policy
		architecture uint32
		number       uint32
		argument     uint64
		want         uint32
	}{
		{"read", quiet, own, unix.SYS_READ, 0, allowed},
		{"the last rule falls through", quiet, own, unix.SYS_EXIT_GROUP, 0, allowed},
		{"another architecture", quiet, anywhere, unix.SYS_READ, 0, refused},
		{"numbers of another convention", quiet, own, firstForeignNumber, 0, refused},
		{"ptrace", quiet, own, unix.SYS_PTRACE, 0, refused},
		{"clone3", quiet, own, unix.SYS_CLONE3, 0, absent},
		{"a thread", quiet, own, unix.SYS_CLONE, thread, allowed},
		{"a child", quiet, own, unix.SYS_CLONE, uint64(unix.SIGCHLD), allowed},
		{"a user namespace", quiet, own, unix.SYS_CLONE, unix.CLONE_NEWUSER | uint64(unix.SIGCHLD), refused},
		{"a network namespace, high bits set", quiet, own, unix.SYS_CLONE, 1<<40 | unix.CLONE_NEWNET, refused},
		{"own limits", quiet, own, unix.SYS_PRLIMIT64, 0, allowed},
		{"another's limits", quiet, own, unix.SYS_PRLIMIT64, 1, refused},
		{"asking for the personality", quiet, own, unix.SYS_PERSONALITY, 0xffffffff, allowed},
		{"no address randomisation", quiet, own, unix.SYS_PERSONALITY, 0x0040000, refused},
		{"a socket", quiet, own, unix.SYS_SOCKET, unix.AF_UNIX, refused},
		{"a pair", quiet, own, unix.SYS_SOCKETPAIR, unix.AF_UNIX, refused},
		{"sending on what is there", quiet, own, unix.SYS_SENDMSG, 3, allowed},
		{"Unix, with network", talking, own, unix.SYS_SOCKET, unix.AF_UNIX, allowed},
		{"IPv6, with network", talking, own, unix.SYS_SOCKET, unix.AF_INET6, allowed},
		{"netlink, with network", talking, own, unix.SYS_SOCKET, unix.AF_NETLINK, allowed},
		{"raw packets, with network", talking, own, unix.SYS_SOCKET, unix.AF_PACKET, refused},
		{"Unix, high bits set", talking, own, unix.SYS_SOCKET, 1<<32 | unix.AF_UNIX, allowed}, // the kernel ignores them
		{"vsock, high bits set", talking, own, unix.SYS_SOCKET, 1<<32 | unix.AF_VSOCK, refused},
		{"connecting, with network", talking, own, unix.SYS_CONNECT, 3, allowed},
	} {
		if got := decide(t, c.policy, c.architecture, c.number, c.argument); got != c.want {
			t.Errorf("%s: %#x, want %#x", c.name, got, c.want)
		}
	}
}
