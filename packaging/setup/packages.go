package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// need is a program in PATH, or a pattern of files, and the Debian package that has it.
type need struct{ file, pkg string }

func (s setup) needs() []need {
	var list []need
	if s.arch == s.host {
		list = []need{
			{"gcc", "gcc"},
			{"/usr/include/stdlib.h", "libc6-dev"},
			{"/usr/lib/*/libturbojpeg.a", "libturbojpeg0-dev"},
		}
	} else {
		list = []need{
			{"aarch64-linux-gnu-gcc", "gcc-aarch64-linux-gnu"},
			{"/usr/aarch64-linux-gnu/include/stdlib.h", "libc6-dev-arm64-cross"},
		}
	}
	if s.lacksRuntime() || s.lacksWeights() {
		list = append(list, need{"npm", "npm"})
	}
	return list
}

func (s setup) present(n need) bool {
	if !filepath.IsAbs(n.file) {
		_, err := exec.LookPath(n.file)
		return err == nil
	}
	found, err := filepath.Glob(filepath.Join(s.root, n.file))
	return err == nil && len(found) > 0
}

// packages installs the Debian packages that are missing.
func (s setup) packages(ctx context.Context) error {
	var missing []string
	for _, n := range s.needs() {
		if !s.present(n) {
			missing = append(missing, n.pkg)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	names := strings.Join(missing, " ")
	if _, err := exec.LookPath("apt-get"); err != nil {
		return fmt.Errorf("this machine lacks what Debian calls %s, and has no apt-get: install them by hand", names)
	}
	apt := []string{"env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-qq", "-o", "Dpkg::Use-Pty=0"}
	as := "as root"
	if !s.superuser {
		if _, err := exec.LookPath("sudo"); err != nil {
			return fmt.Errorf("this machine lacks Debian packages; as root, run: apt-get install %s", names)
		}
		apt = append([]string{"sudo"}, apt...)
		as = "by sudo"
	}
	return s.long(fmt.Sprintf("installing the Debian packages %s, %s", names, as), func() (string, error) {
		// A repository that cannot be read matters only if what is missing was there.
		update := patient(ctx, append(apt[:len(apt):len(apt)], "update")...)
		err := patient(ctx, append(apt[:len(apt):len(apt)], append([]string{"install", "-y", "--no-install-recommends"},
			missing...)...)...)
		if err == nil {
			return "", nil
		}
		if update != nil {
			return "", fmt.Errorf("cannot install %s: %w\nbefore that: %w", names, err, update)
		}
		return "", fmt.Errorf("cannot install %s: %w", names, err)
	})
}

// sysroot unpacks what a build for a foreign architecture links to: libjpeg-turbo. The host's dpkg does not learn of
// that architecture: apt runs with a state of its own.
func (s setup) sysroot(ctx context.Context) error {
	if s.arch == s.host {
		return nil
	}
	root := filepath.Join(s.build, "sysroot", s.arch)
	if found, err := filepath.Glob(filepath.Join(root, "usr/lib/*/libturbojpeg.a")); err == nil && len(found) > 0 {
		return nil
	}
	const pkg = "libturbojpeg0-dev"
	return s.long(fmt.Sprintf("fetching Debian's %s for %s", pkg, s.arch), func() (string, error) {
		state, unpacked := filepath.Join(s.scratch(), "apt"), filepath.Join(s.scratch(), "sysroot")
		for _, folder := range []string{"lists/partial", "cache/archives/partial"} {
			if err := os.MkdirAll(filepath.Join(state, folder), 0o755); err != nil {
				return "", err
			}
		}
		if err := os.WriteFile(filepath.Join(state, "status"), nil, 0o644); err != nil {
			return "", err
		}
		apt := []string{
			"apt-get", "-qq", "-o", "APT::Architecture=" + s.arch, "-o", "APT::Architectures=" + s.arch,
			"-o", "Dir::State=" + state, "-o", "Dir::State::lists=" + state + "/lists",
			"-o", "Dir::State::status=" + state + "/status", "-o", "Dir::Cache=" + state + "/cache",
			"-o", "APT::Sandbox::User=root", "-o", "Acquire::Languages=none",
		}
		ctx, cancel := context.WithTimeout(ctx, download)
		defer cancel()
		update := quiet(ctx, state, append(apt[:len(apt):len(apt)], "update")...)
		if err := quiet(ctx, state, append(apt[:len(apt):len(apt)], "download", pkg)...); err != nil {
			if update != nil {
				err = fmt.Errorf("%w\nbefore that: %w", err, update)
			}
			return "", fmt.Errorf("cannot fetch %s for %s: %w", pkg, s.arch, err)
		}
		debs, err := filepath.Glob(filepath.Join(state, pkg+"_*.deb"))
		if err != nil || len(debs) != 1 {
			return "", fmt.Errorf("cannot fetch %s for %s: apt-get download left %d packages", pkg, s.arch, len(debs))
		}
		if err := quiet(ctx, state, "dpkg-deb", "-x", debs[0], unpacked); err != nil {
			return "", fmt.Errorf("cannot unpack %s: %w", filepath.Base(debs[0]), err)
		}
		if err := os.MkdirAll(filepath.Dir(root), 0o755); err != nil {
			return "", err
		}
		if err := os.RemoveAll(root); err != nil {
			return "", err
		}
		return filepath.Base(debs[0]), os.Rename(unpacked, root)
	})
}
