//go:build system

package system

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"vedette/test/vm"
)

// repository installs from what `make apt-repo` makes, by the package that brings its key, and looks whether a changed index
// is refused.
func (p *packaged) repository() {
	ctx, arch := p.t.Context(), p.Guest.Arch
	home, key := p.signingKey()
	packages := p.t.TempDir()
	for _, deb := range p.debs(arch, "vedette_*_"+arch+".deb", "vedette-onnxruntime_*_"+arch+".deb") {
		name := filepath.Base(deb)
		if err := os.Rename(filepath.Join(p.Guest.HostShare(), name), filepath.Join(packages, name)); err != nil {
			p.t.Fatal(err)
		}
	}
	folder := filepath.Join(p.Guest.HostShare(), "apt")
	maker := exec.Command("../../packaging/deb/apt-repo", "file:"+vm.Share+"/apt", packages)
	maker.Env = append(os.Environ(), "GNUPGHOME="+home, "APT_KEY="+key, "OUT="+folder)
	if said, err := maker.CombinedOutput(); err != nil {
		p.t.Fatalf("%v: %s", err, said)
	}
	p.Succeed(ctx, "sh", "-ec", "apt-get --quiet --yes install "+vm.Share+"/apt/pool/vedette-archive-keyring_*.deb")
	// Debian's own sources, of which the guest reaches none, are left out.
	update := []string{
		"apt-get", "update", "-o", "Dir::Etc::sourcelist=/etc/apt/sources.list.d/vedette.sources", "-o", "Dir::Etc::sourceparts=-",
		"-o", "APT::Update::Error-Mode=any",
	}
	p.Succeed(ctx, update...)
	p.apt("install", "vedette", "vedette-onnxruntime")
	p.version()

	index := filepath.Join(folder, "dists/stable/InRelease")
	signed, err := os.ReadFile(index)
	if err != nil {
		p.t.Fatal(err)
	}
	changed := bytes.Replace(signed, []byte("Origin: Vedette"), []byte("Origin: Another"), 1)
	if err := os.WriteFile(index, changed, 0o644); err != nil || bytes.Equal(signed, changed) {
		p.t.Fatalf("the index is not changed: %v", err)
	}
	if err := os.Remove(filepath.Join(folder, "dists/stable/Release.gpg")); err != nil {
		p.t.Fatal(err)
	}
	if said := p.Run(ctx, update...); said.ExitCode == 0 {
		p.t.Errorf("a changed index is taken: %+v", said)
	}
}

// signingKey makes a key of its own: gpg's folder, and the fingerprint.
func (p *packaged) signingKey() (home, fingerprint string) {
	p.t.Helper()
	home, err := os.MkdirTemp("", "gpg") // short: gpg's agent has a socket in it
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() {
		_ = exec.Command("gpgconf", "--homedir", home, "--kill", "all").Run()
		_ = os.RemoveAll(home)
	})
	gpg := func(arguments ...string) string {
		said, err := exec.Command("gpg", append([]string{"--batch", "--quiet", "--homedir", home}, arguments...)...).CombinedOutput()
		if err != nil {
			p.t.Fatalf("gpg: %v: %s", err, said)
		}
		return string(said)
	}
	gpg("--passphrase", "", "--quick-gen-key", "Test <test@example.invalid>", "ed25519", "sign", "1d")
	_, rest, _ := strings.Cut(gpg("--with-colons", "--list-keys"), "\nfpr:::::::::")
	fingerprint, _, _ = strings.Cut(rest, ":")
	return home, fingerprint
}
