package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"vedette/mqtt/payload"
	"vedette/test/logtest"
)

// service is a running `vedette run`, a broker's subscriber, and the command line beside it.
type service struct {
	cmd      *exec.Cmd
	cancel   context.CancelFunc
	config   string
	stateDir string
	more     []string // arguments of `run`
	log      *logtest.Log
	lines    <-chan string
}

const yard = "  - {name: yard, rate: 5, source: {scene: {size: 640x360, rate: 10}}}\n"

// startService runs the service over the cameras (and what else of the configuration follows them), with a state directory of its
// own. mqtt is what its section has beside the broker.
func startService(t *testing.T, cameras string, mqtt ...string) *service {
	t.Helper()
	port := mosquitto(t)
	s := &service{log: &logtest.Log{}, lines: listen(t, port), stateDir: t.TempDir()}
	section := strings.Join(append([]string{fmt.Sprintf("brokers: ['tcp://127.0.0.1:%s']", port)}, mqtt...), ", ")
	head := fmt.Sprintf("device: test\nstate_dir: %s\nmqtt: {%s}\nweb: {listen: ''}\n", s.stateDir, section)
	s.config = configFile(t, head+"cameras:\n"+cameras)
	s.start(t)
	t.Cleanup(func() { s.stop(t) })
	return s
}

func (s *service) start(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute) // each wait has its own deadline
	s.cancel = cancel
	s.cmd = vedette(ctx, t, append([]string{"run", "--config", s.config}, s.more...)...)
	s.cmd.Stderr = s.log
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
}

// stop ends the service in good order.
func (s *service) stop(t *testing.T) {
	t.Helper()
	defer s.cancel()
	_ = s.cmd.Process.Signal(syscall.SIGTERM)
	if err := s.cmd.Wait(); err != nil {
		t.Errorf("%v: %s", err, s.log)
	}
}

// ask runs another vedette beside the service.
func (s *service) ask(t *testing.T, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), s.cmd.Path, args...)
	cmd.Env = s.cmd.Env
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	_ = cmd.Run() // the exit code tells
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

// rewrite puts text in the place of old in the configuration.
func (s *service) rewrite(t *testing.T, old, text string) {
	t.Helper()
	before, err := os.ReadFile(s.config)
	if err != nil || !bytes.Contains(before, []byte(old)) {
		t.Fatalf("%q is not in the configuration: %v", old, err)
	}
	if err := os.WriteFile(s.config, bytes.Replace(before, []byte(old), []byte(text), 1), 0o600); err != nil {
		t.Fatal(err)
	}
}

// await gives the first message of a topic that satisfies good.
func (s *service) await(t *testing.T, topic string, good func(text string) bool) string {
	t.Helper()
	return s.awaitTopic(t, "vedette/test/"+topic, good)
}

func (s *service) awaitTopic(t *testing.T, topic string, good func(text string) bool) string {
	t.Helper()
	timeout := time.After(3 * time.Minute)
	for {
		select {
		case line := <-s.lines:
			if name, text, _ := strings.Cut(line, " "); name == topic && good(text) {
				return text
			}
		case <-timeout:
			t.Fatalf("no such message on %s within three minutes; log:\n%s", topic, s.log)
		}
	}
}

func anything(string) bool { return true }

func (s *service) state(t *testing.T) (state payload.State) {
	t.Helper()
	out, errs, _ := s.ask(t, "doctor", "--json", "--config", s.config)
	var report struct{ State json.RawMessage }
	if err := json.Unmarshal([]byte(out), &report); err != nil || report.State == nil {
		t.Fatalf("doctor does not give the service's state: %v\n%s%s", err, out, errs)
	}
	if err := promises(t).Check("vedette/test/state", report.State); err != nil {
		t.Error(err)
	}
	if err := json.Unmarshal(report.State, &state); err != nil {
		t.Fatal(err)
	}
	return state
}

func TestHealthWaitsUntilTheServiceIsWell(t *testing.T) {
	s := startService(t, yard)
	out, errs, code := s.ask(t, "health", "--wait", "60s", "--json")
	var health payload.Health
	if err := json.Unmarshal([]byte(out), &health); err != nil || code != 0 || health.Health != payload.HealthGood {
		t.Fatalf("exit code %d, %v: %s%s%s", code, err, out, errs, s.log)
	}
	worker := s.state(t).Worker
	if err := syscall.Kill(worker.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	fault := s.await(t, "faults", anything)
	if !strings.Contains(fault, `"SIGKILL"`) {
		t.Errorf("fault %s", fault)
	}
	if out, _, code := s.ask(t, "health", "--wait", "60s"); code != 0 {
		t.Errorf("after a kill: exit code %d, %s", code, out)
	}
	out, _, _ = s.ask(t, "doctor", "--config", s.config)
	if !strings.Contains(out, "faults: 1 kept") || !strings.Contains(out, "SIGKILL") {
		t.Errorf("the doctor does not know of the fault:\n%s", out)
	}
}

// A library for the CPU alone stands in for a board whose driver is gone.
func TestAProviderThatIsNotInUseIsSaid(t *testing.T) {
	s := startService(t, yard+"infer: {providers: [cuda, cpu], fallback: cpu}\n")
	text := s.await(t, "state", func(text string) bool { return strings.Contains(text, `"state":"ready"`) })
	var state payload.State
	if err := json.Unmarshal([]byte(text), &state); err != nil {
		t.Fatal(err)
	}
	if state.Worker.Provider != "cpu" || !strings.HasPrefix(state.Worker.Degraded, "cuda: ") {
		t.Errorf("worker %+v", state.Worker)
	}
	var said []payload.Degradation
	for _, d := range state.Degraded {
		if d.What == "execution provider" {
			said = append(said, d)
		}
	}
	if len(said) != 1 || said[0].Why != "the model runs on cpu: "+state.Worker.Degraded || said[0].Remedy == "" {
		t.Errorf("degraded %+v", state.Degraded)
	}
}

func TestACameraThatIsLostIsSaidAtOnce(t *testing.T) {
	s := startService(t, yard+"  - {name: gate, source: {command: {argv: [sh, -c, 'sleep 5; exit 7'], format: yuyv, size: 64x64, rate: 5}}}\n")
	s.await(t, "state", func(text string) bool { return strings.Contains(text, `"state":"opening"`) })
	began := time.Now()
	text := s.await(t, "state", func(text string) bool { return strings.Contains(text, `"what":"camera gate"`) })
	if took := time.Since(began); took > 20*time.Second { // within a second of its loss, which takes 5 s; 30 s is the state's own pace
		t.Errorf("it was said after %v: %s", took, text)
	}
}

// A grey wall at 20 frames a second, for ever.
const wall = "[ffmpeg, -loglevel, error, -re, -f, lavfi, -i, 'color=gray:s=320x240:r=20', -pix_fmt, yuyv422, -f, rawvideo, '-']"

func TestAStillSceneIsNotLookedAt(t *testing.T) {
	if _, err := exec.LookPath("ffmpeg"); err != nil {
		t.Skip("skipped: there is no ffmpeg")
	}
	s := startService(t, "  - {name: wall, rate: 0, motion: {enabled: true}, source: {command: {argv: "+wall+
		", format: yuyv, size: 320x240, rate: 20}}}\n")
	s.await(t, "state", func(text string) bool { return strings.Contains(text, `"state":"ready"`) })
	for range 300 {
		state := s.state(t)
		if state.Cameras["wall"].Drops["motion"] > 20 {
			return
		}
	}
	t.Errorf("no frame of a wall is dropped because nothing moves: %+v", s.state(t).Cameras)
}

func TestHealthOfNoService(t *testing.T) {
	out, _, code := said(t, "health")
	if code != 1 || !strings.Contains(out, "bad") || !strings.Contains(out, "does not run") {
		t.Errorf("exit code %d: %s", code, out)
	}
}

func TestReload(t *testing.T) {
	s := startService(t, yard)
	s.await(t, "yard/detections", anything)
	before := s.state(t)

	s.rewrite(t, yard, yard+"  - {name: gate, rate: 5, source: {scene: {size: 320x240, rate: 10}}}\n")
	if _, errs, code := s.ask(t, "config", "reload"); code != 0 {
		t.Fatalf("exit code %d: %s", code, errs)
	}
	s.await(t, "gate/detections", anything)
	after := s.state(t)
	if after.Worker.PID != before.Worker.PID || after.Worker.Generation != 1 {
		t.Errorf("a new camera restarted the worker: %+v", after.Worker)
	}

	whole, err := os.ReadFile(s.config)
	if err != nil {
		t.Fatal(err)
	}
	bare, _, _ := bytes.Cut(whole, []byte("cameras:"))
	if err := os.WriteFile(s.config, bare, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, errs, code := s.ask(t, "config", "reload"); code != 1 || !strings.Contains(errs, "no camera") {
		t.Errorf("a configuration without cameras is taken: exit code %d, %s", code, errs)
	}
	if err := os.WriteFile(s.config, whole, 0o600); err != nil {
		t.Fatal(err)
	}

	for old, text := range map[string]string{
		"rate: 5, source": "rat: 5, source", "size: 320x240": "size: 3", "device: test": "device: other",
	} {
		s.rewrite(t, old, text)
		_, errs, code := s.ask(t, "config", "reload")
		if code != 1 || strings.Count(errs, "\n") != 1 {
			t.Errorf("%q is taken: exit code %d, %s", text, code, errs)
		}
		s.rewrite(t, text, old)
	}
	s.rewrite(t, "device: test", "infer: {model: /none.onnx}\ndevice: test")
	if _, errs, code := s.ask(t, "config", "reload"); code != 1 || !strings.Contains(errs, "/none.onnx") {
		t.Errorf("a model that is not there is taken: exit code %d, %s", code, errs)
	}
	if state := s.state(t); len(state.Cameras) != 2 || state.Worker.Generation != 1 {
		t.Errorf("a refused configuration changed something: %+v", state)
	}

	s.rewrite(t, "model: /none.onnx", "thresholds: {default: 0.99}")
	s.rewrite(t, yard, "")
	if err := s.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	s.await(t, "gate/detections", func(text string) bool { return strings.Contains(text, `"detections":[]`) })
	last := s.state(t)
	if _, there := last.Cameras["yard"]; there || last.Worker.Generation != 2 {
		t.Errorf("after a threshold's change and a camera's removal: %+v", last)
	}
	if gate := last.Cameras["gate"]; gate.State != "streaming" {
		t.Errorf("the camera that did not change is %s", gate.State)
	}
}

func TestOverridesWin(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "overrides.yaml"), []byte("infer: {threads: 7}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	file := configFile(t, "state_dir: "+dir+"\ninfer: {threads: 3}\ncameras:\n"+yard)
	out, errs, code := said(t, "config", "show", file)
	if code != 0 || !strings.Contains(out, "threads: 7 # "+dir+"/overrides.yaml:1") {
		t.Errorf("exit code %d: %s%s", code, out, errs)
	}
}
