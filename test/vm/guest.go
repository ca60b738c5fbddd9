package vm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"time"

	"vedette/test/vm/remote"
)

// Share is where the guest sees the host's folder.
const Share = "/host"

// A command without a deadline of its own gets this one.
const commandLimit = 10 * time.Minute

// Options choose a guest.
type Options struct {
	Arch string // amd64 or arm64; empty: $VEDETTE_VM_ARCH, or this machine's
	Cuts bool   // CutPower is to be called: the disk is kept until Close
}

func (o Options) arch() string {
	if o.Arch != "" {
		return o.Arch
	}
	if arch := os.Getenv("VEDETTE_VM_ARCH"); arch != "" {
		return arch
	}
	return runtime.GOARCH
}

// Result is what became of a command.
type Result struct {
	Stdout, Stderr string
	ExitCode       int // 128 + the signal's number for a command that a signal ended
}

// Guest is a running machine. Its methods may be called from any goroutine.
type Guest struct {
	Arch    string
	kind    machineType
	files   machineFiles
	ownDisk bool // the disk goes with the guest; where not, it has no name any more
	qemu    *qemu
	agent   *remote.Client

	monitorMu sync.Mutex // guards monitor
	monitor   *monitor   // of a guest from which a port was forwarded; opened once, for it greets once
}

// Boot gives a guest in which systemd has come to rest: started from the saved state, so two guests differ in nothing but
// the time of day. The image is built and its state saved where they are not there yet.
func Boot(ctx context.Context, options Options) (*Guest, error) {
	m, err := machineTypeOf(options.arch())
	if err != nil {
		return nil, err
	}
	built, err := buildImage(ctx, options.arch())
	if err != nil {
		return nil, err
	}
	state, err := built.savedState(ctx, m)
	if err != nil {
		return nil, err
	}
	disk, err := os.CreateTemp(built.folder, "running-*.qcow2")
	if err != nil {
		return nil, fmt.Errorf("cannot make the guest's disk: %w", err)
	}
	_ = disk.Close()
	if err := copyFile(disk.Name(), state); err != nil {
		_ = os.Remove(disk.Name())
		return nil, fmt.Errorf("cannot make the guest's disk: %w", err)
	}
	guest, err := launch(m, machineFiles{image: built, disk: disk.Name(), load: true})
	if err != nil {
		_ = os.Remove(disk.Name())
		return nil, err
	}
	guest.Arch, guest.ownDisk = options.arch(), true
	if err := guest.arrive(ctx); err != nil {
		return nil, errors.Join(err, guest.Close())
	}
	if !options.Cuts {
		guest.ownDisk = false
		_ = os.Remove(disk.Name()) // QEMU has it open by now, and it is to go with QEMU
	}
	return guest, nil
}

// arrive sets the clock, which a saved state has at the time of saving, and mounts the share, with which it could not have
// been saved.
func (g *Guest) arrive(ctx context.Context) error {
	_, err := g.Succeed(ctx, "sh", "-c", fmt.Sprintf(
		"date --set=@%d && mount -t 9p -o trans=virtio,version=9p2000.L,msize=524288 host %s", time.Now().Unix(), Share))
	return err
}

// CutPower switches the guest off at once and boots it from its disk as that is then: what the guest's kernel had not written
// is lost. No other method may run meanwhile; forwarded ports are gone. It takes Options.Cuts.
func (g *Guest) CutPower(ctx context.Context) error {
	g.qemu.end(ctx, 0)
	_ = g.agent.Close() // the emulator has hung up before
	g.files.load, g.monitor = false, nil
	q, err := startQEMU(g.kind, g.files)
	if err != nil {
		return err
	}
	g.qemu, g.agent = q, remote.NewClient(q.agent)
	// It may come up degraded: what does is the test's business.
	if _, err := g.Run(ctx, "systemctl", "is-system-running", "--wait"); err != nil {
		return fmt.Errorf("cannot boot the guest again: %w\n%s", err, g.consoleTail())
	}
	return g.arrive(ctx)
}

// launch starts QEMU and the talk with the agent.
func launch(m machineType, files machineFiles) (*Guest, error) {
	folder, err := os.MkdirTemp("", "vedette-vm-") // short: a socket's path has 107 characters
	if err != nil {
		return nil, fmt.Errorf("cannot make a folder for the guest: %w", err)
	}
	files.folder, files.share = folder, filepath.Join(folder, "share")
	if err := os.Mkdir(files.share, 0o755); err != nil {
		return nil, fmt.Errorf("cannot make a folder for the guest: %w", err)
	}
	q, err := startQEMU(m, files)
	if err != nil {
		_ = os.RemoveAll(folder)
		return nil, err
	}
	return &Guest{kind: m, files: files, qemu: q, agent: remote.NewClient(q.agent)}, nil
}

// Close switches the guest off, as a power cut does, and removes what it left on the host.
func (g *Guest) Close() error {
	g.qemu.end(context.Background(), 0)
	_ = g.agent.Close() // the emulator has hung up before
	if g.ownDisk {
		_ = os.Remove(g.files.disk)
	}
	if err := os.RemoveAll(g.files.folder); err != nil {
		return fmt.Errorf("cannot remove the guest's folder: %w", err)
	}
	return nil
}

// Run has the guest run a command as root. The error is for a guest that did not answer; how the command ended is in the
// result.
func (g *Guest) Run(ctx context.Context, command ...string) (Result, error) {
	return g.run(ctx, nil, command)
}

func (g *Guest) run(ctx context.Context, stdin []byte, command []string) (Result, error) {
	if _, own := ctx.Deadline(); !own {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, commandLimit)
		defer cancel()
	}
	r, err := g.agent.Run(ctx, remote.Command{Argv: command, Stdin: stdin})
	if errors.Is(err, remote.ErrGone) { // QEMU has hung up, so it is about to end
		select {
		case <-g.qemu.exited:
			err = fmt.Errorf("%w: %w", err, g.qemu.outcome)
		case <-ctx.Done():
		}
	}
	return Result{string(r.Stdout), string(r.Stderr), r.ExitCode}, err
}

// Succeed runs a command that is to end well and gives its standard output.
func (g *Guest) Succeed(ctx context.Context, command ...string) (string, error) {
	return g.succeed(ctx, nil, command)
}

func (g *Guest) succeed(ctx context.Context, stdin []byte, command []string) (string, error) {
	result, err := g.run(ctx, stdin, command)
	if err != nil {
		return result.Stdout, fmt.Errorf("%w\n%s%s", err, result.Stdout, result.Stderr)
	}
	if result.ExitCode != 0 {
		return result.Stdout, fmt.Errorf("%q ended with exit code %d:\n%s%s",
			strings.Join(command, " "), result.ExitCode, result.Stdout, result.Stderr)
	}
	return result.Stdout, nil
}

// HostShare is the host's side of Share: what either puts there, the other sees.
func (g *Guest) HostShare() string { return g.files.share }

// Put copies a file of the host into the guest, with its permissions, and makes the folders above it.
func (g *Guest) Put(ctx context.Context, from, to string) error {
	info, err := os.Stat(from)
	if err != nil {
		return fmt.Errorf("cannot put a file into the guest: %w", err)
	}
	temporary, err := os.CreateTemp(g.files.share, ".put-*")
	if err != nil {
		return fmt.Errorf("cannot put a file into the guest: %w", err)
	}
	_ = temporary.Close()
	defer os.Remove(temporary.Name())
	if err := copyFile(temporary.Name(), from); err != nil {
		return fmt.Errorf("cannot put %s into the guest: %w", from, err)
	}
	_, err = g.Succeed(ctx, "install", "-D", fmt.Sprintf("--mode=%o", info.Mode().Perm()),
		filepath.Join(Share, filepath.Base(temporary.Name())), to)
	return err
}

// Write makes a file in the guest, mode 0644, with the folders above it.
func (g *Guest) Write(ctx context.Context, path string, content []byte) error {
	_, err := g.succeed(ctx, content, []string{"install", "-D", "--mode=644", "/dev/stdin", path})
	return err
}

// Read gives a file of the guest; up to 16 MiB. Larger ones go by way of Share.
func (g *Guest) Read(ctx context.Context, path string) ([]byte, error) {
	said, err := g.Succeed(ctx, "cat", path)
	return []byte(said), err
}

// Journal is what a unit has logged in this boot.
func (g *Guest) Journal(ctx context.Context, unit string) (string, error) {
	return g.Succeed(ctx, "journalctl", "--boot", "--no-pager", "--output=short-monotonic", "--unit="+unit)
}

// Show gives properties of a unit, as `systemctl show` knows them.
func (g *Guest) Show(ctx context.Context, unit string, properties ...string) (map[string]string, error) {
	said, err := g.Succeed(ctx, "systemctl", "show", "--property="+strings.Join(properties, ","), "--", unit)
	if err != nil {
		return nil, err
	}
	values := map[string]string{}
	for line := range strings.Lines(said) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		values[name] = value
	}
	return values, nil
}

// ConsoleSocket is the guest's serial console, where root is logged in: a Unix socket.
func (g *Guest) ConsoleSocket() string { return g.files.console() }

// consoleTail is the console's last lines.
func (g *Guest) consoleTail() string {
	const lines = 30
	said, err := os.ReadFile(g.files.log())
	if err != nil {
		return err.Error()
	}
	all := bytes.Split(bytes.TrimSpace(said), []byte("\n"))
	return "the console's last lines:\n" + string(bytes.Join(all[max(0, len(all)-lines):], []byte("\n")))
}
