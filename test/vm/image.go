package vm

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// image is a built guest: a folder with vmlinuz, initrd and root.ext4.
type image struct{ folder string }

func (i image) root() string { return filepath.Join(i.folder, "root.ext4") }

// The name of the snapshot inside the saved disk.
const stateName = "booted"

// How long a cold boot may take; 12 s were measured on two idle cores.
const bootLimit = 10 * time.Minute

// buildImage finds the image, which takes a second, or builds it.
func buildImage(ctx context.Context, arch string) (image, error) {
	repository, err := repositoryFolder()
	if err != nil {
		return image{}, err
	}
	cmd := exec.CommandContext(ctx, filepath.Join(repository, "test/vm/image/build"), arch)
	// What the script has started is to end with it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	var said bytes.Buffer
	cmd.Stderr = &said
	path, err := cmd.Output()
	if err != nil {
		return image{}, fmt.Errorf("cannot build the guest's image: %w:\n%s", err, said.Bytes())
	}
	return image{strings.TrimSpace(string(path))}, nil
}

// repositoryFolder is the one with go.mod, at or above the working directory.
func repositoryFolder() (string, error) {
	folder, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("cannot find the repository: %w", err)
	}
	for {
		if _, err := os.Stat(filepath.Join(folder, "go.mod")); err == nil {
			return folder, nil
		}
		parent := filepath.Dir(folder)
		if parent == folder {
			return "", errors.New("cannot find the repository: no go.mod at or above the working directory")
		}
		folder = parent
	}
}

// savedState gives a disk with the state of a booted guest in it. It boots one where there is none yet for this QEMU and
// these arguments; whoever comes meanwhile waits.
func (i image) savedState(ctx context.Context, m machineType) (string, error) {
	version, err := exec.CommandContext(ctx, m.program, "--version").Output()
	if err != nil {
		return "", fmt.Errorf("cannot ask %s for its version: %w", m.program, err)
	}
	key := sha256.Sum256([]byte(string(version) + strings.Join(m.fixed(), "\n")))
	path := filepath.Join(i.folder, fmt.Sprintf("booted-%x.qcow2", key[:4]))

	lock, err := os.Create(filepath.Join(i.folder, "booted.lock"))
	if err != nil {
		return "", fmt.Errorf("cannot lock the saved state: %w", err)
	}
	defer lock.Close()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return "", fmt.Errorf("cannot lock the saved state: %w", err)
	}
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	unfinished := filepath.Join(i.folder, "booting.qcow2")
	if err := i.save(ctx, m, unfinished); err != nil {
		return "", fmt.Errorf("cannot save the state of a booted guest: %w", err)
	}
	return path, os.Rename(unfinished, path)
}

func (i image) save(ctx context.Context, m machineType, disk string) error {
	ctx, cancel := context.WithTimeout(ctx, bootLimit)
	defer cancel()
	create := exec.CommandContext(ctx, "qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", i.root(), disk)
	if said, err := create.CombinedOutput(); err != nil {
		return fmt.Errorf("cannot make the disk: %w: %s", err, said)
	}
	guest, err := launch(m, machineFiles{image: i, disk: disk})
	if err != nil {
		return err
	}
	return errors.Join(guest.settleAndSave(ctx), guest.Close())
}

// settleAndSave waits for systemd to have started everything, saves the state in the disk and ends QEMU.
func (g *Guest) settleAndSave(ctx context.Context) error {
	// This waits for the agent too: what is asked lies at the port until the agent opens it.
	if _, err := g.Succeed(ctx, "systemctl", "is-system-running", "--wait"); err != nil {
		failed, _ := g.Run(ctx, "systemctl", "--failed", "--no-legend")
		return fmt.Errorf("the guest did not come up: %w\n%s%s", err, failed.Stdout, g.consoleTail())
	}
	if _, err := g.Succeed(ctx, "sync"); err != nil {
		return err
	}
	monitor, err := openMonitor(ctx, g.qemu.monitor)
	if err != nil {
		return err
	}
	if err := monitor.command(ctx, "savevm "+stateName); err != nil {
		return err
	}
	if err := monitor.command(ctx, "quit"); err != nil {
		return err
	}
	select {
	case <-g.qemu.exited:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("QEMU did not end: %w", ctx.Err())
	}
}

// copyFile lets the kernel copy, or share the blocks where the file system can.
func copyFile(to, from string) error {
	source, err := os.Open(from)
	if err != nil {
		return err
	}
	defer source.Close()
	target, err := os.Create(to)
	if err != nil {
		return err
	}
	_, err = io.Copy(target, source)
	return errors.Join(err, target.Close())
}
