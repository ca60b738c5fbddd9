//go:build system

package system

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"vedette/infer/onnxfile/tinymodel"
	"vedette/test/vm"
)

const lonelyConfig = `
device: guest
cameras: [{name: yard, source: {scene: {size: 320x180, rate: 2}}}]
infer: {model: tiny, deadlines: {run: 120s, load: 10m}}
`

// TestPowerCutInAnUpgrade cuts the power while apt upgrades and downgrades. The machine comes up by itself with the old program
// or the new one and does its work, and what was broken off is to be done once more.
func TestPowerCutInAnUpgrade(t *testing.T) {
	if !nightly() {
		t.Skip("skipped: it boots anew after each cut; VEDETTE_NIGHTLY=1 make system-test has it")
	}
	const cuts = 6
	m := vm.Start(t, vm.Options{Cuts: true})
	ctx := t.Context()
	p := &packaged{watched: &watched{t: t, Machine: m}}
	// The image's own dpkg does not wait for the disk. A device's does.
	m.Succeed(ctx, "sh", "-c", "sed -i /force-unsafe-io/d /etc/dpkg/dpkg.cfg.d/*")
	var model bytes.Buffer
	if err := tinymodel.Write(&model, 64); err != nil {
		t.Fatal(err)
	}
	m.Write(ctx, stateModel, model.String())

	arch := m.Guest.Arch
	old := p.debs(arch, "vedette_*_"+arch+".deb", "vedette-onnxruntime_*_"+arch+".deb")
	next := p.debs("next-"+arch, "vedette_*.deb")
	p.apt(append([]string{"install"}, old...)...)
	m.Write(ctx, configFile, lonelyConfig)
	m.Succeed(ctx, "systemctl", "restart", "vedette")
	versions, programs := []string{p.version()}, []string{p.program()}
	replace := []string{"install", "--allow-downgrades"}
	began := time.Now()
	p.apt(append(replace, next...)...)
	whole := time.Since(began)
	versions, programs = append(versions, p.version()), append(programs, p.program())
	if programs[0] == programs[1] {
		t.Fatal("both versions have the same program")
	}

	m.Succeed(ctx, "sync") // what the test has written is to be there
	for i := range cuts {
		goal := i % 2
		other := [][]string{old[:1], next}[goal]
		m.Succeed(ctx, append([]string{
			"systemd-run", "--quiet", "--setenv=DEBIAN_FRONTEND=noninteractive",
			"apt-get", "--quiet", "--yes",
		}, append(replace, other...)...)...)
		after := time.Duration(rand.Int64N(int64(whole)))
		time.Sleep(after)
		if err := m.Guest.CutPower(ctx); err != nil {
			t.Fatal(err)
		}
		found := slices.Index(programs, p.program())
		if found < 0 {
			t.Fatal("the program is neither the old one nor the new one")
		}
		m.Succeed(ctx, "vedette", "health", "--wait", "180s")
		half := strings.TrimSpace(m.Succeed(ctx, "dpkg", "--audit"))
		t.Logf("power cut %.1f s into %.1f s: it came up healthy as %s; dpkg has something to mend: %t", after.Seconds(), whole.Seconds(), versions[found], half != "")
		// What apt itself asks for after such an end.
		m.Succeed(ctx, "dpkg", "--configure", "-a")
		p.apt(append(replace, other...)...)
		if now := p.version(); now != versions[goal] {
			t.Errorf("once more, it is %s", now)
		}
		if half := m.Succeed(ctx, "dpkg", "--audit"); half != "" {
			t.Errorf("once more, dpkg says: %s", half)
		}
	}
}

// program is the installed program's hash.
func (p *packaged) program() string {
	p.t.Helper()
	return p.Succeed(p.t.Context(), "sha256sum", "/usr/bin/vedette")
}
