package vm

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// machineType is what differs between architectures.
type machineType struct {
	program, from string // and the Debian package that has it
	args          []string
	console       string // the kernel's name of the serial port
}

func machineTypeOf(arch string) (machineType, error) {
	switch arch {
	case "amd64":
		return machineType{"qemu-system-x86_64", "qemu-system-x86", []string{"-machine", "q35", "-cpu", "max"}, "ttyS0"}, nil
	case "arm64":
		// Emulating pointer authentication and SVE takes three times as long as the rest.
		args := []string{"-machine", "virt", "-cpu", "max,pauth=off,sve=off"}
		return machineType{"qemu-system-aarch64", "qemu-system-arm", args, "ttyAMA0"}, nil
	}
	return machineType{}, fmt.Errorf("cannot emulate %q: amd64 and arm64 are known", arch)
}

// fixed are the arguments that a saved state holds for: after a change the state is made anew.
func (m machineType) fixed() []string {
	kernel := "console=" + m.console + " quiet panic=1 mitigations=off audit=0 net.ifnames=0 systemd.unified_cgroup_hierarchy=1"
	return append(m.args,
		"-accel", "tcg,thread=multi,tb-size=512", "-smp", "2", "-m", "2G", "-nodefaults", "-display", "none",
		// A guest that reboots or panics ends, so that a test can see it.
		"-no-reboot",
		"-append", kernel,
		"-device", "virtio-rng-pci",
		"-device", "virtio-serial-pci", "-device", "virtserialport,chardev=agent,name=vedette.agent",
		// Restricted: the guest reaches nothing, and the host what Forward opens.
		"-netdev", "user,id=net,restrict=on", "-device", "virtio-net-pci,netdev=net,romfile=",
	)
}

// machineFiles are what a machine is started from, and its console.
type machineFiles struct {
	image  image
	disk   string // a qcow2 file over the image's root file system
	share  string // the folder that the guest sees as Share
	folder string // the machine's own: the console's socket and log
	load   bool   // the state saved in the disk, instead of a boot
}

func (f machineFiles) console() string { return filepath.Join(f.folder, "console.sock") }
func (f machineFiles) log() string     { return filepath.Join(f.folder, "console.log") }

// File descriptors in the child: the ones after standard error.
const (
	agentFD = 3 + iota
	monitorFD
)

func (f machineFiles) args(m machineType) []string {
	args := append(m.fixed(),
		"-kernel", filepath.Join(f.image.folder, "vmlinuz"), "-initrd", filepath.Join(f.image.folder, "initrd"),
		// What a guest wrote is thrown away with it: nothing has to reach the platter. The backing file is named
		// here because the one in a copied disk is relative to where it was made.
		"-drive", "if=virtio,cache=unsafe,discard=unmap,driver=qcow2,file.driver=file,file.filename="+f.disk+
			",backing.driver=raw,backing.file.driver=file,backing.file.filename="+f.image.root(),
		"-virtfs", "local,mount_tag=host,security_model=none,multidevs=remap,path="+f.share,
		"-chardev", "socket,id=console,server=on,wait=off,path="+f.console()+",logfile="+f.log(),
		"-serial", "chardev:console",
		"-chardev", fmt.Sprintf("socket,id=agent,fd=%d", agentFD),
		"-chardev", fmt.Sprintf("socket,id=monitor,fd=%d", monitorFD), "-mon", "chardev=monitor,mode=control",
	)
	if f.load {
		args = append(args, "-loadvm", stateName)
	}
	return args
}

// qemu is a running emulator. The kernel kills it when this process dies.
type qemu struct {
	agent, monitor net.Conn
	kill           func() error
	exited         chan struct{} // closed when it has
	outcome        error         // why it ended; valid then
}

func startQEMU(m machineType, files machineFiles) (*qemu, error) {
	agent, agentEnd, err := socketPair()
	if err != nil {
		return nil, err
	}
	defer agentEnd.Close()
	monitor, monitorEnd, err := socketPair()
	if err != nil {
		_ = agent.Close()
		return nil, err
	}
	defer monitorEnd.Close()

	var said strings.Builder
	cmd := exec.Command(m.program, files.args(m)...)
	cmd.Stdout, cmd.Stderr = &said, &said
	cmd.ExtraFiles = []*os.File{agentEnd, monitorEnd}
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	q := &qemu{agent: agent, monitor: monitor, exited: make(chan struct{})}
	started := make(chan error)
	go func() {
		// The death signal comes when the starting thread ends, so this one stays until QEMU has ended.
		runtime.LockOSThread()
		err := cmd.Start()
		started <- err
		if err != nil {
			return
		}
		q.outcome = describeEnd(cmd.Wait(), said.String())
		close(q.exited)
	}()
	if err := <-started; err != nil {
		_ = agent.Close()
		_ = monitor.Close()
		return nil, fmt.Errorf("cannot start %s: %w", m.program, err)
	}
	q.kill = cmd.Process.Kill
	return q, nil
}

func describeEnd(err error, said string) error {
	if err == nil {
		return errors.New("the machine ended")
	}
	return fmt.Errorf("the machine ended: %w: %s", err, strings.TrimSpace(said))
}

// end waits for QEMU to leave, and makes it after the grace time.
func (q *qemu) end(ctx context.Context, grace time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, grace)
	defer cancel()
	select {
	case <-q.exited:
	case <-ctx.Done():
		_ = q.kill() // fails only when it is gone
		<-q.exited
	}
	_ = q.agent.Close()
	_ = q.monitor.Close()
}

// socketPair gives this process's end and the one to hand on.
func socketPair() (net.Conn, *os.File, error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("cannot make a socket pair: %w", err)
	}
	ours, theirs := os.NewFile(uintptr(fds[0]), "vm"), os.NewFile(uintptr(fds[1]), "vm")
	defer ours.Close()
	conn, err := net.FileConn(ours) // has a descriptor of its own
	if err != nil {
		_ = theirs.Close()
		return nil, nil, fmt.Errorf("cannot use a socket pair: %w", err)
	}
	return conn, theirs, nil
}
