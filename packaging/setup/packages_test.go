package main

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestInstallsWhatIsMissing(t *testing.T) {
	for name, superuser := range map[string]bool{"root": true, "sudo": false} {
		t.Run(name, func(t *testing.T) {
			m := newMachine(t)
			m.superuser = superuser
			m.program(t, "env", `shift; exec "$@"`)
			m.program(t, "sudo", `echo "sudo" >>"`+m.bin+`/apt.calls"; exec "$@"`)
			m.program(t, "apt-get", `echo "$@" >>"`+m.bin+`/apt.calls"; case "$*" in *update) exit 100;; esac`)
			archive := filepath.Join(m.root, "usr/lib/x86_64-linux-gnu/libturbojpeg.a")
			if err := errors.Join(os.Remove(filepath.Join(m.bin, "gcc")), os.Remove(archive)); err != nil {
				t.Fatal(err)
			}
			if err := m.run(t.Context(), nil); err != nil { // though the lists could not be read
				t.Fatal(err)
			}
			calls, err := os.ReadFile(filepath.Join(m.bin, "apt.calls"))
			if err != nil {
				t.Fatal(err)
			}
			want := []string{
				"-qq -o Dpkg::Use-Pty=0 update",
				"-qq -o Dpkg::Use-Pty=0 install -y --no-install-recommends gcc libturbojpeg0-dev",
			}
			how := "as root"
			if !superuser {
				want = []string{"sudo", want[0], "sudo", want[1]}
				how = "by sudo"
			}
			if string(calls) != strings.Join(want, "\n")+"\n" {
				t.Errorf("called with\n%s", calls)
			}
			if said := m.out.String(); !strings.Contains(said, "installing the Debian packages gcc libturbojpeg0-dev, "+how) {
				t.Errorf("it said %q", said)
			}
		})
	}
}

func TestCannotInstall(t *testing.T) {
	m := newMachine(t)
	if err := os.Remove(filepath.Join(m.bin, "npm")); err != nil {
		t.Fatal(err)
	}
	m.fails(t, nil, "npm", "no apt-get")
	m.program(t, "apt-get", "")
	m.superuser = false
	m.fails(t, nil, "as root", "apt-get install npm")
	m.superuser = true
	m.program(t, "env", `echo "E: no space left" >&2; exit 100`)
	m.fails(t, nil, "cannot install npm", "no space left")
}

func TestForeignArchitecture(t *testing.T) {
	m := newMachine(t)
	m.arch = "arm64"
	arm := m.pins.libraries["amd64"]
	arm.path = "onnxruntime/arm64/libonnxruntime.so"
	m.pins.libraries["arm64"] = arm
	m.program(t, "aarch64-linux-gnu-gcc", "")
	put(t, filepath.Join(m.root, "usr/aarch64-linux-gnu/include/stdlib.h"), "")
	m.program(t, "apt-get", `
echo "$@" >>"`+m.bin+`/apt.calls"
case "$*" in *download*) echo deb >libturbojpeg0-dev_2.1.5_arm64.deb ;; esac`)
	m.program(t, "dpkg-deb", `
[ "$1" = -x ]
/bin/mkdir -p "$3/usr/lib/aarch64-linux-gnu"
/bin/cp "$2" "$3/usr/lib/aarch64-linux-gnu/libturbojpeg.a"`)
	kept := []string{
		"models/coco.onnx", "onnxruntime/arm64/libonnxruntime.so",
		"sysroot/arm64/usr/lib/aarch64-linux-gnu/libturbojpeg.a", "tfjs/centernet.bin", "tfjs/centernet.json",
	}
	for range 2 {
		if err := m.run(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		m.holds(t, kept...)
	}
	calls, err := os.ReadFile(filepath.Join(m.bin, "apt.calls"))
	if err != nil || bytes.Count(calls, []byte("\n")) != 2 || !bytes.Contains(calls, []byte("APT::Architecture=arm64")) {
		t.Errorf("apt-get was called with\n%s%v", calls, err)
	}
	m.arch, m.host = "amd64", "arm64"
	m.fails(t, kept, "a build for amd64")
}
