package onnx

// #cgo LDFLAGS: -Wl,--wrap=dlsym
import "C"

import (
	"debug/elf"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	ort "github.com/yalue/onnxruntime_go"
)

// minVersion is the oldest ONNX Runtime that this package was tried with. The binding uses nothing that is newer.
const minVersion = "1.16"

// inspect tells what an ONNX Runtime library is without loading it: its version comes from the symbol version that
// official builds give OrtGetApiBase ("VERS_1.30.0"), else from the file's full name ("libonnxruntime.so.1.22.2").
func inspect(path, arch string) (version string, err error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", errors.New("does not exist")
	}
	if err != nil {
		return "", fmt.Errorf("cannot be read: %w", errors.Unwrap(err))
	}
	if !info.Mode().IsRegular() {
		return "", errors.New("is not a file")
	}
	file, err := elf.Open(path)
	if err != nil {
		if errors.Is(err, fs.ErrPermission) {
			return "", errors.New("cannot be read: permission denied")
		}
		return "", errors.New("is not a shared library (no ELF header)")
	}
	defer file.Close()
	if machine, known := machines()[arch]; known && file.Machine != machine {
		return "", fmt.Errorf("is a library for another machine (%s, not %s)", file.Machine, machine)
	}
	if file.Type != elf.ET_DYN {
		return "", errors.New("is not a shared library")
	}
	symbols, err := file.DynamicSymbols()
	if err != nil && !errors.Is(err, elf.ErrNoSymbols) {
		return "", fmt.Errorf("is not a usable shared library: %w", err)
	}
	exported := false
	for _, s := range symbols {
		if s.Name == "OrtGetApiBase" && s.Section != elf.SHN_UNDEF {
			exported = true
			version = strings.TrimPrefix(s.Version, "VERS_")
		}
	}
	if !exported {
		return "", errors.New("is not ONNX Runtime (it has no OrtGetApiBase)")
	}
	if !plausible(version) {
		version = versionOfName(path)
	}
	if version != "" && older(version, minVersion) {
		return version, fmt.Errorf("is ONNX Runtime %s, too old: %s or newer is needed", version, minVersion)
	}
	return version, nil
}

func machines() map[string]elf.Machine {
	return map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64}
}

// versionOfName reads the version at the end of the file that a link such as libonnxruntime.so leads to.
func versionOfName(path string) string {
	target, err := filepath.EvalSymlinks(path)
	if err != nil {
		return ""
	}
	_, version, _ := strings.Cut(filepath.Base(target), ".so.")
	if !plausible(version) {
		return ""
	}
	return version
}

// plausible tells whether a version has at least a major and a minor number.
func plausible(version string) bool {
	parts := strings.Split(version, ".")
	for _, p := range parts {
		if _, err := strconv.Atoi(p); err != nil {
			return false
		}
	}
	return len(parts) >= 2
}

// older compares the first two numbers of plausible versions.
func older(a, b string) bool {
	number := func(v string, i int) int {
		n, _ := strconv.Atoi(strings.Split(v, ".")[i]) // plausible has looked
		return n
	}
	if number(a, 0) != number(b, 0) {
		return number(a, 0) < number(b, 0)
	}
	return number(a, 1) < number(b, 1)
}

// load makes the library part of this process, for good: ONNX Runtime keeps threads and, on a GPU, driver state that
// unloading would leave behind. The first library of a process is its only one.
func load(library Candidate) error {
	if ort.IsInitialized() {
		return nil
	}
	path, err := filepath.Abs(library.Path) // a bare name would make the loader search by itself
	if err != nil {
		return fmt.Errorf("cannot load ONNX Runtime %s: %w", library.Path, err)
	}
	ort.SetSharedLibraryPath(path)
	// Some builds of the library (npm's of 1.29 and 1.30) hold a client that reports its use over the network. While the environment is
	// made it already looks for the machine's identity with a shell, and 1.29 crashes where it may not start one.
	if err := os.Setenv("ORT_DISABLE_TELEMETRY", "1"); err != nil {
		return fmt.Errorf("cannot turn off the telemetry of ONNX Runtime %s: %w", library.Path, err)
	}
	if err := ort.InitializeEnvironment(); err != nil {
		// Nothing of the binding may be called now: it has closed the library, and GetVersion would crash.
		if strings.HasSuffix(err.Error(), "Error setting ORT API base: 2") {
			return fmt.Errorf("cannot load ONNX Runtime %s: it is too old: %s or newer is needed", library.Path, minVersion)
		}
		return fmt.Errorf("cannot load ONNX Runtime %s: %w", library.Path, plain(err))
	}
	// Builds of before that variable know this.
	if err := ort.DisableTelemetry(); err != nil {
		return fmt.Errorf("cannot turn off the telemetry of ONNX Runtime %s: %w", library.Path, plain(err))
	}
	return nil
}
