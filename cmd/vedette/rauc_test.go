package main

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"vedette/test/logtest"
)

// bootloader counts tries as U-Boot's script for RAUC does: each boot takes one, a slot without is passed over.
type bootloader struct {
	t   *testing.T
	dir string
}

func (l bootloader) file(name, text string, mode os.FileMode) string {
	path := filepath.Join(l.dir, name)
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		l.t.Fatal(err)
	}
	return path
}

func (l bootloader) read(name string) string {
	text, err := os.ReadFile(filepath.Join(l.dir, name))
	if err != nil {
		l.t.Fatal(err)
	}
	return strings.TrimSpace(string(text))
}

// backend is what RAUC asks and tells the bootloader by.
func (l bootloader) backend() string {
	for name, text := range map[string]string{"primary": "A", "left.A": "3", "left.B": "3"} {
		l.file(name, text, 0o600)
	}
	return l.file("backend", `#!/bin/sh
cd "$(dirname "$0")"
case $1 in
get-primary) cat primary ;;
set-primary) echo "$2" >primary; echo 3 >"left.$2" ;;
get-state) if [ "$(cat "left.$2")" -gt 0 ]; then echo good; else echo bad; fi ;;
set-state) if [ "$3" = good ]; then echo 3 >"left.$2"; else echo 0 >"left.$2"; fi ;;
*) exit 1 ;;
esac
`, 0o700)
}

// boot gives the slot that is booted next.
func (l bootloader) boot() string {
	slots := map[string][]string{"A": {"A", "B"}, "B": {"B", "A"}}
	for _, slot := range slots[l.read("primary")] {
		var left int
		if _, err := fmt.Sscan(l.read("left."+slot), &left); err != nil {
			l.t.Fatal(err)
		}
		if left > 0 {
			l.file("left."+slot, fmt.Sprint(left-1), 0o600)
			return slot
		}
	}
	l.t.Fatal("no slot is left")
	return ""
}

// raucDevice is a device with two file slots that RAUC updates, on a bus of its own.
type raucDevice struct {
	bootloader
	board
	config string
}

func newRAUCDevice(t *testing.T) raucDevice {
	t.Helper()
	for _, tool := range []string{"rauc", "dbus-daemon", "mksquashfs"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("skipped: there is no %s: apt-get install rauc dbus squashfs-tools", tool)
		}
	}
	needsMounts(t)
	d := raucDevice{bootloader{t, t.TempDir()}, newBoard(t), ""}
	key, certificate := d.certificate()
	for _, slot := range []string{"a", "b"} {
		d.file("slot."+slot, strings.Repeat("version one\n", 1000), 0o600)
	}
	d.config = d.file("system.conf", fmt.Sprintf(`[system]
compatible=vedette-test
bootloader=custom
mountprefix=%[1]s/mnt
statusfile=%[1]s/status
[keyring]
path=%[2]s
[handlers]
bootloader-custom-backend=%[3]s
[slot.rootfs.0]
device=%[1]s/slot.a
type=raw
bootname=A
[slot.rootfs.1]
device=%[1]s/slot.b
type=raw
bootname=B
`, d.bootloader.dir, certificate, d.backend()), 0o600)
	content := filepath.Join(d.bootloader.dir, "content")
	if err := os.Mkdir(content, 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(content, "rootfs.img"), []byte("version two\n"))
	write(t, filepath.Join(content, "manifest.raucm"),
		[]byte("[update]\ncompatible=vedette-test\nversion=2\n[bundle]\nformat=plain\n[image.rootfs]\nfilename=rootfs.img\n"))
	if said, code := d.run(t, "rauc", "bundle", "--cert="+certificate, "--key="+key, content, d.bundle()); code != 0 {
		t.Fatalf("rauc bundle: exit code %d, %s", code, said)
	}
	bus := exec.Command("dbus-daemon", "--session", "--nofork", "--address=unix:path="+d.bootloader.dir+"/bus")
	if err := bus.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = bus.Process.Kill()
		_ = bus.Wait() // it was killed
	})
	deadline := time.Now().Add(2 * time.Minute)
	for {
		conn, err := net.Dial("unix", d.bootloader.dir+"/bus")
		if err == nil {
			_ = conn.Close()
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the bus does not come up: %v", err)
		}
		time.Sleep(10 * time.Millisecond)
	}
	d.env = append(d.env, "DBUS_SYSTEM_BUS_ADDRESS=unix:path="+d.bootloader.dir+"/bus")
	return d
}

// needsMounts skips a test where RAUC could not mount a bundle, which takes root, a loop device and squashfs.
func needsMounts(t *testing.T) {
	t.Helper()
	image, on := filepath.Join(t.TempDir(), "image"), t.TempDir()
	if out, err := exec.Command("mksquashfs", on, image).CombinedOutput(); err != nil {
		t.Fatalf("mksquashfs: %v: %s", err, out)
	}
	if out, err := exec.Command("mount", "-t", "squashfs", "-o", "loop,ro", image, on).CombinedOutput(); err != nil {
		t.Skipf("skipped: RAUC could not mount a bundle here: %v: %s", err, out)
	}
	if out, err := exec.Command("umount", on).CombinedOutput(); err != nil {
		t.Fatalf("umount: %v: %s", err, out)
	}
}

func (d raucDevice) bundle() string { return filepath.Join(d.bootloader.dir, "two.raucb") }

func (d raucDevice) certificate() (key, certificate string) {
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		d.t.Fatal(err)
	}
	template := x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "factory"}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(24 * time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	signed, err := x509.CreateCertificate(rand.Reader, &template, &template, &private.PublicKey, private)
	if err != nil {
		d.t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		d.t.Fatal(err)
	}
	return d.file("key.pem", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})), 0o600),
		d.file("cert.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: signed})), 0o600)
}

// up starts RAUC as the system in a slot does at its boot, has the system do things, and goes down again.
func (d raucDevice) up(slot string, do func()) {
	d.t.Helper()
	cmd := exec.Command("rauc", "--conf="+d.config, "--override-boot-slot="+slot, "service")
	cmd.Env = d.env
	var said logtest.Log
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		d.t.Fatal(err)
	}
	defer func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		defer time.AfterFunc(20*time.Second, func() { _ = cmd.Process.Kill() }).Stop()
		_ = cmd.Wait() // RAUC's exit code tells nothing here
	}()
	deadline := time.Now().Add(3 * time.Minute)
	for {
		status, code := d.run(d.t, "rauc", "status")
		if booted, _, _ := strings.Cut(status, "Activated:"); code == 0 && strings.Contains(booted, "("+slot+")") {
			break
		}
		if time.Now().After(deadline) {
			d.t.Fatalf("RAUC does not come up: %s\n%s", status, &said)
		}
		time.Sleep(50 * time.Millisecond)
	}
	do()
}

// settle is what systemd does at a boot with the units that ship: vedette-health.service, then, where it has not failed,
// rauc-mark-good.service. That systemd has them in this order is for the tests of the units.
func (d raucDevice) settle(b board, wait string) {
	d.t.Helper()
	health := execStart(d.t, "systemd/vedette-health.service", wait)
	if _, code := b.run(d.t, filepath.Join(b.dir, health[0]), health[1:]...); code != 0 {
		return
	}
	good := execStart(d.t, "ota/rauc/rauc-mark-good.service", "")
	if said, code := d.run(d.t, good[0], good[1:]...); code != 0 {
		d.t.Errorf("rauc status mark-good: exit code %d, %s", code, said)
	}
}

// A new version in which Vedette does not do its work uses up its slot's tries, and the old one is back. One in which it does stays.
func TestRAUCKeepsOnlyWhatWorks(t *testing.T) {
	d := newRAUCDevice(t)
	s := startService(t, yard)
	well := d.of(t, s)
	install := func() {
		t.Helper()
		if said, code := d.run(t, "rauc", "install", d.bundle()); code != 0 {
			t.Fatalf("rauc install: exit code %d, %s", code, said)
		}
	}
	// visit boots, and gives the slots that were booted.
	visit := func(boots int, b board, wait string, then func()) (slots string) {
		for range boots {
			slot := d.boot()
			slots += slot
			d.up(slot, func() {
				// The new version of the test is the unhealthy one; the old one works.
				if slot == "A" {
					d.settle(well, "60s")
				} else {
					d.settle(b, wait)
				}
				then()
			})
		}
		return slots
	}
	if got := visit(1, well, "60s", install); got != "A" {
		t.Fatalf("booted is %q", got)
	}
	if text, _ := os.ReadFile(filepath.Join(d.bootloader.dir, "slot.b")); !strings.HasPrefix(string(text), "version two\nversion one") {
		t.Errorf("the other slot has %.30q", text)
	}
	if got := visit(4, d.board, "1s", func() {}); got != "BBBA" {
		t.Errorf("with a new version that does not work %q is booted, want its three tries and then the old one", got)
	}
	visit(1, well, "60s", install)
	if got := visit(4, well, "60s", func() {}); got != "BBBB" {
		t.Errorf("with a new version that works %q is booted", got)
	}
}

// execStart is the command of a unit that ships, with another patience.
func execStart(t *testing.T, unit, wait string) []string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("../../packaging", unit))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if command, ok := strings.CutPrefix(strings.TrimSpace(line), "ExecStart="); ok {
			args := strings.Fields(strings.Replace(command, "--wait 120s", "--wait "+wait, 1))
			args[0] = filepath.Base(args[0])
			return args
		}
	}
	t.Fatalf("%s starts nothing", unit)
	return nil
}
