package onnx

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// fakeLibrary compiles a library that answers as an ONNX Runtime of a version that has no interface for us. Its file
// says its version only where named does.
func fakeLibrary(t *testing.T, path, version string, versioned bool) {
	t.Helper()
	compiler := os.Getenv("CC")
	if compiler == "" {
		compiler = "cc"
	}
	folder := t.TempDir()
	source := fmt.Sprintf(`
static const void *api(unsigned version) { return 0; }
static const char *name(void) { return %q; }
static const struct { const void *(*api)(unsigned); const char *(*name)(void); } base = { api, name };
const void *OrtGetApiBase(void) { return &base; }
`, version)
	script := fmt.Sprintf("VERS_%s { global: OrtGetApiBase; local: *; };\n", version)
	for name, text := range map[string]string{"fake.c": source, "fake.map": script} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	args := []string{"-shared", "-fPIC", "-o", path, filepath.Join(folder, "fake.c")}
	if versioned {
		args = append(args, "-Wl,--version-script="+filepath.Join(folder, "fake.map"))
	}
	if out, err := exec.Command(compiler, args...).CombinedOutput(); err != nil {
		t.Fatalf("cannot compile the fake library: %v\n%s", err, out)
	}
}

func link(t *testing.T, target, path string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(target, path); err != nil {
		t.Fatal(err)
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestFindOrder(t *testing.T) {
	lib := library(t)
	root := t.TempDir()
	s := Search{Root: root, Arch: runtime.GOARCH, LoaderPath: "relative:/opt/loader"}
	if _, err := Find(s); err == nil || !strings.Contains(err.Error(), filepath.Join(root, PackagedFolder)) ||
		!strings.Contains(err.Error(), EnvLibrary) {
		t.Errorf("an empty machine answers %v: want where it looked and the remedy", err)
	}

	// From the last place to the first: each one wins over those before it.
	write(t, filepath.Join(root, "etc/ld.so.conf"), "# comment\ninclude ld.so.conf.d/*.conf\n")
	write(t, filepath.Join(root, "etc/ld.so.conf.d/gpu.conf"), "/opt/gpu/lib\ninclude /etc/ld.so.conf\n")
	for _, place := range []struct{ path, from string }{
		{"/opt/onnxruntime/lib/libonnxruntime.so", "well-known folder"},
		{"/usr/lib/libonnxruntime.so.1", "loader"},
		{"/opt/gpu/lib/libonnxruntime.so.1", "loader"},
		{"/opt/gpu/lib/libonnxruntime.so", "loader"},
		{"/opt/loader/libonnxruntime.so.1", "loader"},
		{PackagedFolder + "/libonnxruntime.so", "package"},
	} {
		path := filepath.Join(root, place.path)
		link(t, lib, path)
		f, err := Find(s)
		if err != nil || f.Library.Path != path || f.Library.From != place.from || !plausible(f.Library.Version) {
			t.Errorf("found %+v (%v): want %s from the %s", f.Library, err, path, place.from)
		}
	}
	write(t, filepath.Join(root, jetson), "# R36\n")
	if f, err := Find(s); err != nil || f.Library.From != "loader" {
		t.Errorf("on a Jetson it finds %+v (%v): want the system's", f.Library, err)
	}

	s.Env = filepath.Join(root, "opt/gpu/lib/libonnxruntime.so")
	if f, err := Find(s); err != nil || f.Library.Path != s.Env || f.Library.From != EnvLibrary {
		t.Errorf("found %+v (%v): want %s", f.Library, err, EnvLibrary)
	}
	s.Explicit = lib
	if f, err := Find(s); err != nil || f.Library.Path != lib || f.Library.From != "infer.runtime" {
		t.Errorf("found %+v (%v): want the explicit path", f.Library, err)
	}
	s.Explicit = filepath.Join(root, "none.so")
	f, err := Find(s)
	if err == nil || f.Library.Path != "" || !strings.Contains(err.Error(), s.Explicit+", named by infer.runtime") {
		t.Errorf("an explicit path without a file answers %+v, %v: want an error that names it", f.Library, err)
	}
}

func TestFindPassesOverWhatWillNotDo(t *testing.T) {
	root := t.TempDir()
	s := Search{Root: root, Arch: runtime.GOARCH}
	fakeLibrary(t, filepath.Join(root, PackagedFolder, "libonnxruntime.so"), "1.15.1", true)
	write(t, filepath.Join(root, "lib/libonnxruntime.so"), "not a library")
	write(t, filepath.Join(root, "usr/lib/libonnxruntime.so/file"), "a folder in the way")
	f, err := Find(s)
	for _, want := range []string{"is ONNX Runtime 1.15.1, too old: 1.16 or newer", "no ELF header", "is not a file"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v lacks %q", err, want)
		}
	}
	if len(f.Seen) != 3 || f.Seen[0].Version != "1.15.1" {
		t.Errorf("seen %+v", f.Seen)
	}
	link(t, library(t), filepath.Join(root, "usr/local/lib/libonnxruntime.so"))
	if f, err = Find(s); err != nil || f.Library.From != "well-known folder" || len(f.Seen) != 4 {
		t.Errorf("found %+v after %d (%v): want the good one at the end", f.Library, len(f.Seen), err)
	}
}

func TestInspect(t *testing.T) {
	folder := t.TempDir()
	named := filepath.Join(folder, "libonnxruntime.so.1.15.1")
	fakeLibrary(t, named, "1.15.1", false)
	link(t, named, filepath.Join(folder, "libonnxruntime.so"))
	other := map[string]string{"amd64": "arm64", "arm64": "amd64"}[runtime.GOARCH]
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ path, arch, want string }{
		{filepath.Join(folder, "libonnxruntime.so"), runtime.GOARCH, "is ONNX Runtime 1.15.1, too old"},
		{library(t), other, "for another machine"},
		{self, runtime.GOARCH, "is not"},
	} {
		if _, err := inspect(c.path, c.arch); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v: want %q", c.path, err, c.want)
		}
	}
}

// A library that is too old and does not say so must be an error in a process of its own, not a crash.
func TestOldLibraryIsAnError(t *testing.T) {
	path := filepath.Join(t.TempDir(), "libonnxruntime.so")
	fakeLibrary(t, path, "1.15.1", false)
	child := exec.Command(os.Args[0], "-test.run=^TestOpenInChild$", "-test.v")
	child.Env = append(os.Environ(), "ONNX_TEST_OPEN="+path)
	out, err := child.CombinedOutput()
	want := "cannot load ONNX Runtime " + path + ": it is too old: 1.16 or newer is needed"
	if err != nil || !strings.Contains(string(out), want) {
		t.Errorf("the child answers %v:\n%s", err, out)
	}
}

func TestOpenInChild(t *testing.T) {
	path := os.Getenv("ONNX_TEST_OPEN")
	if path == "" {
		t.Skip("only for a child of TestOldLibraryIsAnError")
	}
	_, err := Open(Options{Runtime: path, Model: "testdata/free_batch.onnx"})
	t.Log(err)
}
