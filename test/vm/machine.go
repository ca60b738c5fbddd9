package vm

import (
	"context"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// Machine is a guest that belongs to a test: what goes wrong with the guest itself fails the test. Its methods are for
// the test's own goroutine; others use Guest.
type Machine struct {
	Guest *Guest
	t     testing.TB
}

// Start gives a guest as Boot does, and switches it off at the test's end. It skips the test where this machine lacks
// something. When the test has failed the console's end is logged.
func Start(t testing.TB, options Options) *Machine {
	t.Helper()
	if testing.Short() {
		t.Skip("a virtual machine is not for -short")
	}
	if missing := missing(options.arch()); missing != "" {
		t.Skip("cannot start a virtual machine here: " + missing)
	}
	guest, err := Boot(t.Context(), options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(guest.consoleTail())
		}
		if err := guest.Close(); err != nil {
			t.Error(err)
		}
	})
	return &Machine{guest, t}
}

// For is the same guest for a part of the test.
func (m *Machine) For(t testing.TB) *Machine { return &Machine{m.Guest, t} }

// missing says what a guest cannot be had without.
func missing(arch string) string {
	m, err := machineTypeOf(arch)
	if err != nil {
		return err.Error()
	}
	packages := map[string]string{
		m.program: m.from, "qemu-img": "qemu-utils", "mmdebstrap": "mmdebstrap",
		"modprobe": "kmod", "cpio": "cpio", "mke2fs": "e2fsprogs",
	}
	var lacks []string
	for _, program := range slices.Sorted(maps.Keys(packages)) {
		if _, err := exec.LookPath(program); err != nil {
			lacks = append(lacks, fmt.Sprintf("there is no %s (package %s)", program, packages[program]))
		}
	}
	if os.Getuid() != 0 {
		lacks = append(lacks, "this is not root, which building the image takes")
	}
	return strings.Join(lacks, "; ")
}

// Run has the guest run a command as root and gives how it ended.
func (m *Machine) Run(ctx context.Context, command ...string) Result {
	m.t.Helper()
	return must(m.Guest.Run(ctx, command...))(m.t)
}

// Succeed runs a command that is to end well and gives its standard output.
func (m *Machine) Succeed(ctx context.Context, command ...string) string {
	m.t.Helper()
	return must(m.Guest.Succeed(ctx, command...))(m.t)
}

// Put copies a file of the host into the guest, with its permissions, and makes the folders above it.
func (m *Machine) Put(ctx context.Context, from, to string) {
	m.t.Helper()
	if err := m.Guest.Put(ctx, from, to); err != nil {
		m.t.Fatal(err)
	}
}

// Write makes a file in the guest, mode 0644, with the folders above it.
func (m *Machine) Write(ctx context.Context, path, content string) {
	m.t.Helper()
	if err := m.Guest.Write(ctx, path, []byte(content)); err != nil {
		m.t.Fatal(err)
	}
}

// Read gives a file of the guest; up to 16 MiB. Larger ones go by way of Share.
func (m *Machine) Read(ctx context.Context, path string) []byte {
	m.t.Helper()
	return must(m.Guest.Read(ctx, path))(m.t)
}

// Forward gives an address of the host's that leads to a TCP port of the guest.
func (m *Machine) Forward(ctx context.Context, port int) string {
	m.t.Helper()
	return must(m.Guest.Forward(ctx, port))(m.t)
}

// Journal is what a unit has logged in this boot.
func (m *Machine) Journal(ctx context.Context, unit string) string {
	m.t.Helper()
	return must(m.Guest.Journal(ctx, unit))(m.t)
}

// Show gives properties of a unit, as `systemctl show` knows them.
func (m *Machine) Show(ctx context.Context, unit string, properties ...string) map[string]string {
	m.t.Helper()
	return must(m.Guest.Show(ctx, unit, properties...))(m.t)
}

// must takes the two values of a call at once, which Go allows for a function's only arguments.
func must[T any](value T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return value
	}
}
