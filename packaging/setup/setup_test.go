package main

import (
	"bytes"
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestFetchesOnce(t *testing.T) {
	m := newMachine(t)
	if err := m.run(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	m.holds(t, everything()...)
	library, err := os.ReadFile(m.path("onnxruntime/amd64/libonnxruntime.so"))
	if err != nil || string(library) != libraryBytes {
		t.Errorf("the library is %q, %v", library, err)
	}
	converted, err := os.ReadFile(m.path("models/coco.onnx"))
	if err != nil || string(converted) != "onnx of graph weights" {
		t.Errorf("the model is %q, %v", converted, err)
	}
	said := m.out.String()
	for _, word := range []string{
		"fetching onnxruntime-node 1.30.0, about 108 MiB ... ", "kept libonnxruntime.so",
		"fetching @vladmandic/human 3.3.6", "converting the model to ONNX ... ", sha("onnx of graph weights"),
	} {
		if !strings.Contains(said, word) {
			t.Errorf("the progress lines have no %q:\n%s", word, said)
		}
	}
	if strings.Contains(said, "noise") || strings.Count(said, "\n") != 3 {
		t.Errorf("three lines are enough:\n%s", said)
	}

	m.out.Reset()
	if err := m.run(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	if m.out.Len() > 0 || m.calls(t) != 2 {
		t.Errorf("with nothing to do it said %q, and npm was called %d times in all", m.out, m.calls(t))
	}
}

func TestMakesGoodWhatIsDamaged(t *testing.T) {
	m := newMachine(t)
	put(t, m.path("onnxruntime/amd64/libonnxruntime.so"), "of an older version")
	put(t, m.path("tfjs/centernet.json"), "cut sh")
	put(t, filepath.Join(m.scratch(), "npm", "half.tgz"), "of a run that was killed")
	if err := m.run(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	m.holds(t, everything()...)
	if library, err := os.ReadFile(m.path("onnxruntime/amd64/libonnxruntime.so")); string(library) != libraryBytes {
		t.Errorf("the library is %q, %v", library, err)
	}
}

func TestRefusesAnotherArchive(t *testing.T) {
	m := newMachine(t)
	other := archive(t, entry{libraryEntry, "a library with something in it"})
	m.serves(t, other, nil)
	m.fails(t, nil, "onnxruntime-node-1.30.0.tgz", integrity(other), "expected "+m.pins.runtime.integrity)
}

func TestRefusesATruncatedArchive(t *testing.T) {
	m := newMachine(t)
	whole, err := os.ReadFile(filepath.Join(m.bin, "library"))
	if err != nil {
		t.Fatal(err)
	}
	m.serves(t, whole[:len(whole)/2], nil)
	m.fails(t, nil, "onnxruntime-node-1.30.0.tgz", "expected "+m.pins.runtime.integrity)
	// Even if that were the archive that is pinned.
	m.pins.runtime.integrity = integrity(whole[:len(whole)/2])
	m.fails(t, nil, "cannot unpack onnxruntime-node-1.30.0.tgz", "unexpected EOF")
}

func TestRefusesAnArchiveThatLacksAFile(t *testing.T) {
	m := newMachine(t)
	lacking := archive(t, entry{"package/models/centernet.json", "graph"})
	m.pins.weights.integrity = integrity(lacking)
	put(t, filepath.Join(m.bin, "weights"), string(lacking))
	m.fails(t, []string{"onnxruntime/amd64/libonnxruntime.so"}, "cannot unpack", "no file package/models/centernet.bin")
}

func TestRefusesAnotherFileInTheArchive(t *testing.T) {
	m := newMachine(t)
	library := m.pins.libraries["amd64"]
	library.sha256 = sha("what is pinned")
	m.pins.libraries["amd64"] = library
	m.fails(t, nil, libraryEntry, sha(libraryBytes), "expected "+sha("what is pinned"))
}

func TestRefusesAnotherModel(t *testing.T) {
	m := newMachine(t)
	m.pins.model = sha("what is pinned")
	m.fails(t, []string{"onnxruntime/amd64/libonnxruntime.so", "tfjs/centernet.bin", "tfjs/centernet.json"},
		"coco.onnx", sha("onnx of graph weights"), "expected "+sha("what is pinned"))
}

func TestFailuresOfPrograms(t *testing.T) {
	m := newMachine(t)
	m.program(t, "npm", `echo "npm error network is down" >&2; exit 1`)
	m.fails(t, nil, "cannot fetch onnxruntime-node 1.30.0", "network is down")
	if !strings.HasSuffix(m.out.String(), " ... failed\n") {
		t.Errorf("it said %q", m.out)
	}
	m = newMachine(t)
	m.program(t, "convert", `echo "unknown node" >&2; echo half >"$2"; exit 1`)
	m.fails(t, []string{"onnxruntime/amd64/libonnxruntime.so", "tfjs/centernet.bin", "tfjs/centernet.json"},
		"cannot convert the model", "unknown node")
}

func TestOperatorsOwnFiles(t *testing.T) {
	m := newMachine(t)
	library, model := filepath.Join(t.TempDir(), "own.so"), filepath.Join(t.TempDir(), "own.onnx")
	put(t, library, "")
	put(t, model, "")
	m.env[ownRuntime], m.env[ownModel] = library, model
	if err := os.Remove(filepath.Join(m.bin, "npm")); err != nil { // not even needed
		t.Fatal(err)
	}
	if err := m.run(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	m.holds(t)
	if said := m.out.String(); !strings.Contains(said, library) || !strings.Contains(said, model) {
		t.Errorf("it said %q", said)
	}
	m.env[ownRuntime] = "/not/there.so"
	m.fails(t, nil, ownRuntime, "/not/there.so")
}

func TestInterrupted(t *testing.T) {
	m := newMachine(t)
	m.program(t, "npm", `echo half >half.tgz; echo $$ >"`+m.bin+`/pid"; exec /bin/sleep 600`)
	started := filepath.Join(m.bin, "pid")
	if err := syscall.Mkfifo(started, 0o600); err != nil {
		t.Fatal(err)
	}
	child := exec.Command("/proc/self/exe", "-build", m.build, "runtime")
	child.Env = append(os.Environ(), "SETUP_TEST_MAIN=1", ownRuntime+"=")
	var said bytes.Buffer
	child.Stderr = &said
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	pid, err := os.ReadFile(started) // waits for npm
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	err = child.Wait()
	if child.ProcessState.ExitCode() != 1 || !strings.Contains(said.String(), "setup: interrupted; run it again") {
		t.Errorf("%v: %s", err, said.String())
	}
	if _, err := os.Stat("/proc/" + strings.TrimSpace(string(pid))); err == nil {
		t.Error("npm runs on")
	}
	m.holds(t)
	m = newMachine(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := m.run(ctx, nil); err == nil || !strings.Contains(err.Error(), "interrupted") {
		t.Errorf("%v", err)
	}
	m.holds(t)
}

func TestTakesTurns(t *testing.T) {
	m := newMachine(t)
	unlock, err := m.lock(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	waits, out := io.Pipe()
	other := m.setup
	other.out = out
	done := make(chan error)
	go func() { done <- other.run(t.Context(), nil); out.Close() }()
	line := make([]byte, 200)
	n, err := waits.Read(line)
	if err != nil || !strings.Contains(string(line[:n]), "waiting for another set-up") {
		t.Errorf("%q, %v", line[:n], err)
	}
	m.holds(t)
	unlock()
	go io.Copy(io.Discard, waits) //nolint:errcheck // ends with the pipe
	if err := <-done; err != nil {
		t.Error(err)
	}
	m.holds(t, everything()...)
}

func TestWrongArguments(t *testing.T) {
	build := t.TempDir()
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"-arch", "riscv64"}, `"riscv64"`},
		{[]string{"fetch"}, `"fetch"`},
	} {
		err := run(t.Context(), append([]string{"-build", build}, c.args...), io.Discard)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: %v", c.args, err)
		}
	}
}

func FuzzExtract(f *testing.F) {
	f.Add(archive(f, entry{libraryEntry, libraryBytes}))
	f.Add(archive(f, entry{"../" + libraryEntry, libraryBytes}))
	f.Fuzz(func(t *testing.T, data []byte) {
		folder := t.TempDir()
		path := filepath.Join(folder, "archive.tgz")
		put(t, path, string(data))
		err := extract(path, []packed{{entry: libraryEntry, path: "library.so"}}, folder)
		if _, stat := os.Stat(filepath.Join(folder, "library.so")); err == nil && stat != nil {
			t.Errorf("extract went well, and there is no file: %v", stat)
		}
		if left, _ := os.ReadDir(filepath.Dir(folder)); len(left) != 1 {
			t.Errorf("it wrote outside its folder: %v", left)
		}
	})
}
