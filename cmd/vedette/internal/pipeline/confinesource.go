package pipeline

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"vedette/capture"
	"vedette/capture/command"
	"vedette/supervisor/sandbox"
)

// sourcePolicyFD is the first descriptor that command.Wrap hands over.
const sourcePolicyFD = 3

// confineSource makes the programs of a command source confine themselves: they read streams that anybody may have made.
func confineSource(executable string, source capture.CommandConfig) command.Wrap {
	return func(argv []string) ([]string, []*os.File, error) {
		policy, err := sourcePolicy(source).File()
		if err != nil {
			return nil, nil, err
		}
		return append([]string{executable}, confined(sourcePolicyFD, argv...)...), []*os.File{policy}, nil
	}
}

// sourcePolicy is what a source's program may do: talk to the network, run what is installed, read what its command line
// and environment name, and use the hardware's decoders. The configuration and its secrets, and the state directory, are
// out of its reach, and nothing may be written.
func sourcePolicy(source capture.CommandConfig) sandbox.Policy {
	p := sandbox.Policy{
		Network:     true,
		Read:        append(libraryFiles(), sourceFiles()...),
		ReadExecute: []string{"/usr", "/bin", "/sbin", "/lib", "/lib64", "/opt"},
		Write:       []string{"/dev/null"},
		Devices:     append(acceleratorDevices(), "/dev/nvhost-*", "/dev/v4l2-nv*"),
	}
	words := slices.Clone(source.Argv)
	for _, value := range source.Env {
		words = append(words, value)
	}
	text := strings.Join(words, " ")
	if strings.Contains(text, "v4l2") || strings.Contains(text, "libcamera") {
		p.Devices = append(p.Devices, "/dev/video*", "/dev/media*", "/dev/v4l-subdev*", "/dev/dma_heap/*")
	}
	for _, path := range namedFiles(text) {
		info, err := os.Stat(path)
		switch {
		case errors.Is(err, fs.ErrNotExist) && strings.ContainsAny(filepath.Base(path), "%*"):
			p.Read = append(p.Read, filepath.Dir(path)) // of numbered pictures
		case err != nil:
		case info.Mode()&fs.ModeCharDevice != 0:
			p.Devices = append(p.Devices, path)
		default:
			p.ReadExecute = append(p.ReadExecute, path)
		}
	}
	return p
}

// sourceFiles is what network programs and GStreamer read.
func sourceFiles() []string {
	return []string{
		"/etc/hosts", "/etc/host.conf", "/etc/resolv.conf", "/etc/nsswitch.conf", "/etc/gai.conf", "/etc/services",
		"/etc/protocols", "/etc/passwd", "/etc/group", "/etc/machine-id", "/etc/ssl/certs", "/etc/ssl/openssl.cnf",
		"/etc/ca-certificates", "/etc/pki/tls/certs", "/etc/gnutls", "/etc/crypto-policies", "/etc/fonts",
		"/etc/alternatives", "/etc/nvidia", "/etc/nv_tegra_release", "/run/systemd/resolve", "/run/NetworkManager",
		"/sys", "/proc/net", "/proc/sys", "/proc/version", "/proc/devices", "/proc/driver/nvidia", "/proc/device-tree",
		"/var/cache/fontconfig",
	}
}

// namedFiles finds the paths in a command line, and those that its parts hold: location=/srv/a.mp4, file:///srv/a.mp4,
// or a whole shell script. The root is none of them.
func namedFiles(text string) []string {
	var files []string
	for _, word := range strings.FieldsFunc(text, func(r rune) bool { return strings.ContainsRune(" \t\n\"'=,;|<>()", r) }) {
		word = strings.TrimPrefix(strings.TrimPrefix(word, "file:"), "//")
		path := filepath.Clean(word)
		if strings.HasPrefix(word, "/") && path != "/" {
			files = append(files, path)
			continue
		}
		// A name without a folder counts only where it is a file: "." is not.
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
			if path, err = filepath.Abs(path); err == nil {
				files = append(files, path)
			}
		}
	}
	return files
}
