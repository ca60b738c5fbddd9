package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"vedette/infer/onnxfile/tinymodel"
	"vedette/test/vm"
)

// inGuest boots a machine, installs the service there, and lets this program run its rows inside.
func inGuest(ctx context.Context, o options, number int) bool {
	ctx, cancel := context.WithTimeout(ctx, time.Hour)
	defer cancel()
	guest, err := vm.Boot(ctx, vm.Options{})
	if err != nil {
		fmt.Fprintln(os.Stderr, "faults: no guest:", err)
		return false
	}
	result, err := attemptInside(ctx, guest, o, number)
	if err = errors.Join(err, guest.Close()); err != nil {
		fmt.Fprintln(os.Stderr, "faults:", err)
		return false
	}
	fmt.Print(result.Stdout, result.Stderr)
	return result.ExitCode == 0
}

// Where the guest has what packages would install.
const (
	guestBinary = "/usr/bin/vedette"
	guestFaults = "/usr/bin/faults"
	guestModel  = "/usr/lib/vedette/models/tiny.onnx"
)

func attemptInside(ctx context.Context, guest *vm.Guest, o options, number int) (vm.Result, error) {
	self, err := os.Executable()
	if err != nil {
		return vm.Result{}, err
	}
	for to, from := range map[string]string{
		guestBinary: o.vedette, guestFaults: self, "/usr/lib/vedette/libonnxruntime.so": o.runtime,
		"/etc/systemd/system/" + unitName: "packaging/systemd/vedette.service",
	} {
		if err := guest.Put(ctx, from, to); err != nil {
			return vm.Result{}, err
		}
	}
	var model bytes.Buffer
	if err := tinymodel.Write(&model, 64); err != nil {
		return vm.Result{}, err
	}
	if err := guest.Write(ctx, guestModel, model.Bytes()); err != nil {
		return vm.Result{}, err
	}
	if err := putFileSystems(ctx, guest); err != nil {
		return vm.Result{}, err
	}
	return guest.Run(ctx, guestFaults, "-where", "inside", "-row", fmt.Sprint(number), "-vedette", guestBinary,
		"-model", guestModel, "-runtime", "/usr/lib/vedette/libonnxruntime.so")
}

// putFileSystems gives the service's user, and two folders of its state file systems of their own, which rows freeze.
func putFileSystems(ctx context.Context, guest *vm.Guest) error {
	if _, err := guest.Succeed(ctx, "useradd", "--system", "--no-create-home", "vedette"); err != nil {
		return err
	}
	folder, err := os.MkdirTemp("", "faults-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder)
	image := filepath.Join(folder, "16M")
	if err := os.WriteFile(image, nil, 0o600); err != nil {
		return err
	}
	if out, err := exec.CommandContext(ctx, "mkfs.ext4", "-q", image, "16M").CombinedOutput(); err != nil {
		return fmt.Errorf("cannot make a file system: %w: %s", err, out)
	}
	for _, mount := range []string{cacheFolder, faultsFolder} {
		file := "/var/" + filepath.Base(mount) + ".ext4"
		if err := guest.Put(ctx, image, file); err != nil {
			return err
		}
		for _, command := range [][]string{
			{"mkdir", "-p", mount}, {"mount", "-o", "loop", file, mount}, {"chown", "-R", "vedette:vedette", "/var/lib/vedette"},
		} {
			if _, err := guest.Succeed(ctx, command...); err != nil {
				return err
			}
		}
	}
	return nil
}
