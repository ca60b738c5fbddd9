package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"vedette/mqtt/mqtttest"
	"vedette/mqtt/payload/schematest"
)

// TestMain lets the test binary be vedette itself: the tests run it as users do, and it starts itself as its worker.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && !strings.HasPrefix(os.Args[1], "-") {
		// As os.Exit does where there is no race detector, which would run the destructors of ONNX Runtime below a load or a run
		// that a worker leaves in the middle.
		syscall.Exit(runUntilSignal())
	}
	os.Setenv("GORACE", "halt_on_error=1") // so a race ends such a process by itself
	os.Exit(m.Run())
}

// fetched gives a file that `make setup` fetches, or that the environment names in its place.
func fetched(t *testing.T, variable, path string) string {
	t.Helper()
	if own := os.Getenv(variable); own != "" {
		return own
	}
	path, err := filepath.Abs(filepath.Join("../..", path))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("%v: run 'make setup', or set %s", err, variable)
	}
	return path
}

func onnxRuntime(t *testing.T) string {
	return fetched(t, "VEDETTE_ONNXRUNTIME", "build/onnxruntime/"+runtime.GOARCH+"/libonnxruntime.so")
}

func cocoModel(t *testing.T) string { return fetched(t, "VEDETTE_MODEL", "build/models/coco.onnx") }

// vedette is the program with the fetched runtime and model.
func vedette(ctx context.Context, t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(ctx, os.Args[0], args...)
	cmd.Env = append(os.Environ(),
		"VEDETTE_ONNXRUNTIME="+onnxRuntime(t), "VEDETTE_MODEL="+cocoModel(t),
		"VEDETTE_CONTROL="+filepath.Join(t.TempDir(), "control.sock"))
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 2 * time.Minute
	return cmd
}

// said runs vedette to its end and gives what it said.
func said(t *testing.T, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	cmd := vedette(ctx, t, args...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

func configFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "vedette.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// mosquitto starts a broker and gives its port.
func mosquitto(t *testing.T) string {
	t.Helper()
	return mqtttest.StartBroker(t).Port
}

// promises is what docs/schema says that subscribers see.
func promises(t *testing.T) *schematest.Interface {
	t.Helper()
	in, err := schematest.Load()
	if err != nil {
		t.Fatal(err)
	}
	return in
}

// listen gives what mosquitto_sub -v says, lines of "topic payload", and holds each message to what docs/schema says.
func listen(t *testing.T, port string) <-chan string {
	t.Helper()
	in := promises(t)
	// MQTT 5 lets a subscriber see whether a message was published as one to retain.
	cmd := exec.Command("mosquitto_sub", "-h", "127.0.0.1", "-p", port, "-V", "5", "--retain-as-published", "-q", "2",
		"-F", "%q %r %t %x", "-t", "#")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Skipf("mosquitto_sub is not installed: %v", err)
	}
	lines := make(chan string, 4096)
	subscribed := make(chan struct{}, 1)
	done := make(chan struct{})
	go func() {
		defer close(done)
		scanner := bufio.NewScanner(out)
		scanner.Buffer(nil, 1<<20)
		for scanner.Scan() {
			part := strings.SplitN(scanner.Text(), " ", 4)
			qos, retained, topic := part[0], part[1], part[2]
			message, err := hex.DecodeString(part[3]) // pictures are not text
			if err != nil {
				t.Error(err)
			}
			if topic == "probe" {
				select {
				case subscribed <- struct{}{}:
				default:
				}
				continue
			}
			channel, err := in.Find(topic)
			if err == nil && !channel.Incoming { // what others send is theirs
				err = in.Check(topic, message)
				if qos != fmt.Sprint(channel.QoS) || (retained == "1") != channel.Retained {
					t.Errorf("%s came with QoS %s, retained %s; asyncapi.yaml says %+v", topic, qos, retained, channel)
				}
			}
			if err != nil {
				t.Error(err)
			}
			lines <- topic + " " + string(message)
		}
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-done
		_ = cmd.Wait()
	})
	// It does not say when it has subscribed: it has when it hears what is said over and over.
	for deadline := time.Now().Add(2 * time.Minute); time.Now().Before(deadline); {
		if err := exec.Command("mosquitto_pub", "-h", "127.0.0.1", "-p", port, "-t", "probe", "-m", "x").Run(); err != nil {
			t.Fatal(err)
		}
		select {
		case <-subscribed:
			return lines
		case <-time.After(50 * time.Millisecond):
		}
	}
	t.Fatal("mosquitto_sub did not subscribe within two minutes")
	return nil
}

// children are the processes whose parent is pid.
func children(t *testing.T, pid int) []string {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	if err == nil && len(text) > 0 {
		return strings.Fields(string(text))
	}
	var found []string
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range stats {
		text, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
		if len(fields) > 1 && fields[1] == fmt.Sprint(pid) {
			found = append(found, filepath.Base(filepath.Dir(path)))
		}
	}
	return found
}

func TestDemoShowsAPersonAndACup(t *testing.T) {
	var lines []string
	var last struct{ Summary summary }
	for _, lasts := range []string{"6s", "30s", "2m"} { // a worker is ready after 1 s on a quiet machine, 14 on a busy one with -race
		stdout, stderr, code := said(t, "demo", "--for", lasts, "--json")
		if code != 0 {
			t.Fatalf("exit code %d: %s", code, stderr)
		}
		lines = strings.Split(strings.TrimSpace(stdout), "\n")
		if err := json.Unmarshal([]byte(lines[len(lines)-1]), &last); err != nil {
			t.Fatalf("last line %q: %v", lines[len(lines)-1], err)
		}
		if last.Summary.Published > 0 {
			break
		}
	}
	in := promises(t)
	for _, line := range lines[:len(lines)-1] {
		if err := in.Check("vedette/demo/scene/detections", []byte(line)); err != nil {
			t.Error(err)
		}
	}
	s := last.Summary
	if s.Published == 0 || s.Published != len(lines)-1 || s.Provider != "cpu" || s.Restarts != 0 {
		t.Errorf("%d lines, summary %+v", len(lines), s)
	}
	if s.Labels["person"] < s.Published*9/10 || s.Labels["cup"] < s.Published*9/10 {
		t.Errorf("in %d messages: %v", s.Published, s.Labels)
	}
}

func TestCtrlCLeavesNothing(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	cmd := vedette(ctx, t, "demo")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	scanner := bufio.NewScanner(out)
	for scanner.Scan() && !strings.Contains(scanner.Text(), "person") {
	}
	workers := children(t, cmd.Process.Pid)
	if len(workers) != 1 {
		t.Errorf("%d children, want the worker alone", len(workers))
	}
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	rest, _ := io.ReadAll(out)
	if err := cmd.Wait(); err != nil {
		t.Errorf("%v: %s", err, rest)
	}
	if took := time.Since(began); took > 20*time.Second { // 2 s on a quiet machine; systemd would kill after 20
		t.Errorf("stopping took %v", took)
	}
	for _, pid := range workers {
		if _, err := os.Stat("/proc/" + pid); err == nil {
			t.Errorf("worker %s is still there", pid)
		}
	}
}

func TestKilledServiceLeavesNoWorker(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	cmd := vedette(ctx, t, "demo")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	scanner := bufio.NewScanner(out)
	for scanner.Scan() && !strings.Contains(scanner.Text(), "person") {
	}
	workers := children(t, cmd.Process.Pid)
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	for _, pid := range workers {
		for deadline := time.Now().Add(2 * time.Minute); ; {
			text, err := os.ReadFile("/proc/" + pid + "/stat")
			if err != nil || bytes.Contains(text, []byte(") Z ")) { // a zombie waits for whoever adopted it
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("worker %s outlives its service", pid)
			}
			runtime.Gosched()
		}
	}
}

func TestMistakesAreOneClearLine(t *testing.T) {
	text := filepath.Join(t.TempDir(), "text.onnx")
	if err := os.WriteFile(text, []byte("this is not a model"), 0o600); err != nil {
		t.Fatal(err)
	}
	scene := "cameras: [{name: a, source: {scene: {}}}]\n"
	for _, c := range []struct {
		name string
		args []string
		code int
		says []string
	}{
		{"unknown command", []string{"watch"}, 2, []string{`unknown command "watch"`}},
		{"unknown flag", []string{"run", "--cfg", "x"}, 2, []string{"unknown flag: --cfg"}},
		{"superfluous argument", []string{"version", "now"}, 2, []string{"now"}},
		{"bad duration", []string{"demo", "--for", "soon"}, 2, []string{"soon"}},
		{"missing configuration", []string{"run", "--config", "/none.yaml"}, 1, []string{"/none.yaml"}},
		{"unknown key", []string{"run", "--config", configFile(t, "infer: {thread: 1}\n")}, 1, []string{`:1:9: unknown key "thread"`, `"threads"`}},
		{"no camera", []string{"run", "--config", configFile(t, "device: a\n")}, 1, []string{"no camera is configured"}},
		{"missing model", []string{"run", "--config", configFile(t, scene+"infer: {model: /none.onnx}\n")}, 1, []string{"/none.onnx"}},
		{"unknown model", []string{"run", "--config", configFile(t, scene+"infer: {model: mine}\n")}, 1, []string{`model "mine" is not there`}},
		{"missing password file", []string{"run", "--config", configFile(t, scene+"mqtt: {brokers: ['tcp://127.0.0.1:1'], password_file: /none}\n")}, 1, []string{"mqtt.password_file", "/none"}},
		{"model that is none", []string{"doctor", "--config", configFile(t, scene+"infer: {model: "+text+"}\n")}, 1, []string{text, "not an ONNX model"}},
		{"model of no known family", []string{"doctor", "--config", configFile(t, scene+"infer: {model: ../../infer/onnx/testdata/pick.onnx}\n")}, 1, []string{"pick.onnx", "known"}},
		{"library that is none", []string{"doctor", "--config", configFile(t, scene+"infer: {runtime: /bin/true}\n")}, 1, []string{"/bin/true", "OrtGetApiBase"}},
		{"broker that refuses", []string{"doctor", "--config", configFile(t, scene+"mqtt: {brokers: ['tcp://127.0.0.1:1']}\n")}, 1, []string{"127.0.0.1:1", "refused"}},
		{"video that is none", []string{"doctor", "--config", configFile(t, "cameras: [{name: a, source: {command: {format: y4m, argv: [ffmpeg, -loglevel, error, -i, /none.mp4, -f, yuv4mpegpipe, '-']}}}]\n")}, 1, []string{"/none.mp4"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			stdout, stderr, code := said(t, c.args...)
			if code != c.code {
				t.Errorf("exit code %d, want %d\n%s%s", code, c.code, stdout, stderr)
			}
			for _, part := range c.says {
				if !strings.Contains(stdout+stderr, part) {
					t.Errorf("it does not say %q:\n%s%s", part, stdout, stderr)
				}
			}
			if c.args[0] == "doctor" && strings.Count(stdout, "\nbad ") != 1 {
				t.Errorf("not one line is bad:\n%s", stdout)
			}
			if c.code == 1 && c.args[0] != "doctor" && strings.Count(stderr, "\n") != 1 {
				t.Errorf("more than one line:\n%s", stderr)
			}
			if strings.Contains(stderr, "goroutine ") {
				t.Errorf("a panic:\n%s", stderr)
			}
		})
	}
}

func TestDoctorProbesTheModelInAChild(t *testing.T) {
	stdout, stderr, code := said(t, "doctor", "--json")
	var report struct {
		Checks []struct{ Name, Verdict, Found string }
		Model  struct{ Family, Provider string }
	}
	if err := json.Unmarshal([]byte(stdout), &report); err != nil || code != 0 {
		t.Fatalf("exit code %d, %v: %s%s", code, err, stdout, stderr)
	}
	if report.Model.Family != "centernet" || report.Model.Provider != "cpu" {
		t.Errorf("model %+v", report.Model)
	}
	var names []string
	for _, c := range report.Checks {
		names = append(names, c.Name)
	}
	for _, want := range []string{"cameras", "ONNX Runtime", "model", "inference", "MQTT broker", "cgroup delegation"} {
		if !slices.Contains(names, want) {
			t.Errorf("%s is not looked at: %v", want, names)
		}
	}
}

func TestConfigDefaultsPassTheCheck(t *testing.T) {
	stdout, _, code := said(t, "config", "defaults")
	if code != 0 {
		t.Fatal(code)
	}
	if _, stderr, code := said(t, "config", "check", configFile(t, stdout)); code != 0 {
		t.Errorf("exit code %d: %s", code, stderr)
	}
	schema, _, code := said(t, "config", "schema")
	if code != 0 || !json.Valid([]byte(schema)) {
		t.Errorf("exit code %d, schema %.80q", code, schema)
	}
}

func TestManPages(t *testing.T) {
	folder := t.TempDir()
	if _, stderr, code := said(t, "man", folder); code != 0 {
		t.Fatal(stderr)
	}
	page, err := os.ReadFile(filepath.Join(folder, "vedette-run.1"))
	if err != nil || !bytes.Contains(page, []byte("config")) {
		t.Errorf("%v: %.100q", err, page)
	}
}
