package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/jpeg"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"aead.dev/minisign"

	"vedette/infer/onnxfile/tinymodel"
	"vedette/test/logtest"
)

// workshop is where models are made and signed.
type workshop struct {
	dir, keys, secret, picture string
}

func newWorkshop(t *testing.T) workshop {
	t.Helper()
	w := workshop{dir: t.TempDir(), keys: t.TempDir()}
	public, private, err := minisign.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	text, err := public.MarshalText()
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(w.keys, "factory.pub"), text)
	if text, err = private.MarshalText(); err != nil {
		t.Fatal(err)
	}
	w.secret = filepath.Join(w.dir, "secret.key")
	write(t, w.secret, text)

	scene := image.NewRGBA(image.Rect(0, 0, 320, 240))
	draw.Draw(scene, scene.Bounds(), image.NewUniform(color.Gray{90}), image.Point{}, draw.Src)
	draw.Draw(scene, image.Rect(80, 60, 200, 180), image.NewUniform(color.RGBA{R: 230, G: 20, B: 20, A: 255}), image.Point{}, draw.Src)
	w.picture = filepath.Join(w.dir, "red.jpg")
	file, err := os.Create(w.picture)
	if err != nil {
		t.Fatal(err)
	}
	if err := jpeg.Encode(file, scene, nil); err != nil {
		t.Fatal(err)
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	return w
}

func write(t *testing.T, path string, text []byte) {
	t.Helper()
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
}

// model writes a model that differs by its input's size.
func (w workshop) model(t *testing.T, size int) string {
	t.Helper()
	path := filepath.Join(w.dir, fmt.Sprintf("tiny%d.onnx", size))
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := tinymodel.Write(file, size); err != nil {
		t.Fatal(err)
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

func fileSum(t *testing.T, path string) string {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}

// pack makes a signed bundle with a self-test.
func (w workshop) pack(t *testing.T, version int, model string, more ...string) string {
	t.Helper()
	out := filepath.Join(w.dir, fmt.Sprintf("tiny-%d.bundle", version))
	args := append([]string{"model", "pack", model, "--name", "tiny", "--version", fmt.Sprint(version), "--key", w.secret, "--out", out}, more...)
	if stdout, stderr, code := said(t, args...); code != 0 {
		t.Fatalf("pack: %d %s%s", code, stdout, stderr)
	}
	return out
}

// A model's life on a device: installed, switched to while the service runs, refused where it does not work, and rolled back by
// the service itself where workers fail with it.
func TestModelsAreSwitchedAndRolledBack(t *testing.T) {
	w := newWorkshop(t)
	first := w.pack(t, 1, w.model(t, 64), "--picture", w.picture)
	stateDir := t.TempDir()
	port := mosquitto(t)
	s := &service{log: &logtest.Log{}, lines: listen(t, port)}
	s.config = configFile(t, fmt.Sprintf("device: test\nstate_dir: %s\nmqtt: {brokers: ['tcp://127.0.0.1:%s']}\nweb: {listen: ''}\ninfer: {model: tiny}\ncameras:\n%s",
		stateDir, port, yard))
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	s.cmd = vedette(ctx, t, "run", "--config", s.config)
	s.cmd.Stderr = s.log
	ask := func(want string, code int, args ...string) {
		t.Helper()
		out, errs, got := s.ask(t, append([]string{"model", "--config", s.config, "--keys", w.keys}, args...)...)
		if got != code || !strings.Contains(out+errs, want) {
			t.Errorf("model %v: exit code %d, says %q %q, want %d and %q\n%s", args, got, out, errs, code, want, s.log)
		}
	}
	ask("signed by factory", 0, "verify", first)
	ask("version 1 is installed", 0, "add", first)
	ask("takes the model when it starts", 0, "use", "tiny")
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = s.cmd.Process.Signal(syscall.SIGTERM)
		if err := s.cmd.Wait(); err != nil {
			t.Errorf("%v: %s", err, s.log)
		}
	}()
	runs := func(sum string) func(string) bool {
		return func(text string) bool {
			return strings.Contains(text, sum) && strings.Contains(text, `"state":"ready"`)
		}
	}
	one, two := fileSum(t, filepath.Join(w.dir, "tiny64.onnx")), fileSum(t, w.model(t, 96))
	s.await(t, "state", runs(one))

	second := w.pack(t, 2, filepath.Join(w.dir, "tiny96.onnx"), "--picture", w.picture)
	ask("version 2 is installed", 0, "add", second)
	ask("version 2 is in use", 0, "use", "tiny")
	s.await(t, "state", runs(two))
	ask("in use", 0, "list")
	ask("signed by factory", 0, "verify", "tiny@2")

	// One that does not load is found out before the switch.
	junk := filepath.Join(w.dir, "junk.onnx")
	write(t, junk, []byte("no model at all"))
	ask("version 3 is installed", 0, "add", w.pack(t, 3, junk))
	ask("it was tried and does not work", 1, "use", "tiny@3")
	ask("version 3 was here already", 1, "add", w.pack(t, 1, filepath.Join(w.dir, "tiny64.onnx")))

	// Nor is one whose files are not what was installed.
	ask("version 5 is installed", 0, "add", w.pack(t, 5, w.model(t, 160)))
	damaged, err := filepath.Glob(filepath.Join(stateDir, "models", "tiny", "sha256-*", "model.onnx"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range damaged {
		if fileSum(t, path) == fileSum(t, filepath.Join(w.dir, "tiny160.onnx")) {
			write(t, path, []byte("another model, or none"))
		}
	}
	ask("model.onnx: ", 1, "use", "tiny@5")

	// One whose workers fail is undone by the service itself.
	ask("version 6 is installed", 0, "add", w.pack(t, 6, w.model(t, 128), "--picture", w.picture))
	ask("version 6 is in use", 0, "use", "tiny@6")
	six := fileSum(t, filepath.Join(w.dir, "tiny128.onnx"))
	for range 3 {
		s.await(t, "state", runs(six))
		worker := s.state(t).Worker
		if err := syscall.Kill(worker.PID, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		s.await(t, "faults", anything)
	}
	s.await(t, "state", func(text string) bool {
		return strings.Contains(text, two) && strings.Contains(text, "tiny version 6 was rolled back")
	})
	ask("version 6 is in use", 0, "rollback", "tiny") // the operator's word is the last
	s.await(t, "state", runs(six))
}

// switching is a service that runs a model by its path, and can switch to another.
type switching struct {
	*service
	w          workshop
	configured string // the model's path
}

func startSwitching(t *testing.T) switching {
	w := newWorkshop(t)
	configured := w.model(t, 64)
	s := startService(t, "  - {name: yard, rate: 5, source: {scene: {size: 320x240, rate: 10}}}\ninfer: {model: "+configured+"}\n")
	return switching{s, w, configured}
}

// model asks the command line about models.
func (s switching) model(t *testing.T, want string, code int, args ...string) {
	t.Helper()
	out, errs, got := s.ask(t, append([]string{"model", "--config", s.config, "--keys", s.w.keys}, args...)...)
	if got != code || !strings.Contains(out+errs, want) {
		t.Errorf("model %v: exit code %d, says %q %q, want %d and %q\n%s", args, got, out, errs, code, want, s.log)
	}
}

// runs waits until a model runs, and the state says more.
func (s switching) runs(t *testing.T, path, more string) {
	t.Helper()
	sum := fileSum(t, path)
	s.await(t, "state", func(text string) bool {
		return strings.Contains(text, sum) && strings.Contains(text, `"state":"ready"`) && strings.Contains(text, more)
	})
}

// overrides is what overrides.yaml says.
func (s switching) overrides(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(s.stateDir, "overrides.yaml"))
	if err != nil {
		t.Error(err)
	}
	return strings.TrimSpace(string(text))
}

// A switch to a model of another name, while the service runs: overrides.yaml names it from then on. Where workers fail with it the
// service goes back to the model that the configuration names, and its word is again the only one.
func TestAModelOfAnotherNameIsSwitchedToAndRolledBack(t *testing.T) {
	s := startSwitching(t)
	tiny := s.w.model(t, 96)
	s.runs(t, s.configured, "")

	junk := filepath.Join(s.w.dir, "junk.onnx")
	write(t, junk, []byte("no model at all"))
	s.model(t, "version 1 is installed", 0, "add", s.w.pack(t, 1, junk))
	s.model(t, "it was tried and does not work", 1, "use", "tiny")
	if _, err := os.Stat(filepath.Join(s.stateDir, "overrides.yaml")); err == nil {
		t.Errorf("a model that was refused is configured: %s", s.overrides(t))
	}

	s.model(t, "version 2 is installed", 0, "add", s.w.pack(t, 2, tiny, "--picture", s.w.picture))
	s.model(t, "model tiny version 2 is in use", 0, "use", "tiny")
	s.runs(t, tiny, "")
	if got := s.overrides(t); got != "infer:\n  model: tiny" {
		t.Errorf("the overrides are %q", got)
	}
	s.model(t, "model "+s.configured+" is in use", 0, "rollback", "tiny")
	s.runs(t, s.configured, "")

	s.model(t, "model tiny version 2 is in use", 0, "use", "tiny")
	for range 3 {
		s.runs(t, tiny, "")
		if err := syscall.Kill(s.state(t).Worker.PID, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		s.await(t, "faults", anything)
	}
	s.runs(t, s.configured, "tiny version 2 was rolled back")
	if got := s.overrides(t); got != "{}" {
		t.Errorf("the overrides are %q after a rollback", got)
	}
}

// A switch that takes the whole service down with it is undone when it was started often enough, as systemd starts it.
func TestAModelOfAnotherNameThatEndsTheServiceIsUndone(t *testing.T) {
	s := startSwitching(t)
	tiny := s.w.model(t, 96)
	s.runs(t, s.configured, "")
	s.model(t, "version 2 is installed", 0, "add", s.w.pack(t, 2, tiny))
	s.model(t, "model tiny version 2 is in use", 0, "use", "tiny")
	s.runs(t, tiny, "")
	for range 4 {
		if err := s.cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = s.cmd.Wait() // it was killed
		s.cancel()
		s.start(t)
		if out, errs, code := s.ask(t, "health", "--wait", "60s"); code != 0 {
			t.Fatalf("after a kill: exit code %d, %s%s\n%s", code, out, errs, s.log)
		}
	}
	s.runs(t, s.configured, "the service was started 3 times with it")
	if got := s.overrides(t); got != "{}" {
		t.Errorf("the overrides are %q after the fourth start", got)
	}
}
