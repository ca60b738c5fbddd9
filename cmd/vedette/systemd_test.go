package main

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// underSystemd starts the service as systemd does, and gives its messages.
func underSystemd(t *testing.T, config string, watchdog time.Duration) (*exec.Cmd, <-chan string, *bytes.Buffer) {
	t.Helper()
	address := filepath.Join(t.TempDir(), "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: address, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	cmd := vedette(ctx, t, "run", "--config", config)
	var log bytes.Buffer
	cmd.Stderr = &log
	cmd.Env = append(cmd.Env, "NOTIFY_SOCKET="+address, fmt.Sprintf("WATCHDOG_USEC=%d", watchdog.Microseconds()))
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	messages := make(chan string, 4096)
	go func() {
		defer close(messages)
		buffer := make([]byte, 8192)
		for {
			n, err := conn.Read(buffer)
			if err != nil {
				return
			}
			messages <- string(buffer[:n])
		}
	}()
	t.Cleanup(func() {
		cancel()
		_ = cmd.Wait()
		_ = conn.Close()
		for range messages {
		}
	})
	return cmd, messages, &log
}

// awaitMessage gives the messages up to the first that contains every text.
func awaitMessage(t *testing.T, messages <-chan string, texts ...string) []string {
	t.Helper()
	var heard []string
	timeout := time.After(3 * time.Minute)
	for {
		select {
		case m := <-messages:
			heard = append(heard, m)
			if !slices.ContainsFunc(texts, func(text string) bool { return !strings.Contains(m, text) }) {
				return heard
			}
		case <-timeout:
			t.Fatalf("no message with %q within three minutes: %q", texts, heard)
		}
	}
}

func TestServiceUnderSystemd(t *testing.T) {
	config := configFile(t, `
cameras:
  - {name: scene, source: {scene: {}}, rate: 2}
  - {name: yard, source: {command: {argv: [sh, -c, "env | grep -E '^(PATH|NOTIFY|WATCHDOG)' >&2; exit 1"], format: y4m}}}
mqtt: {brokers: ['tcp://127.0.0.1:`+mosquitto(t)+`']}
`)
	const watchdog = 8 * time.Second // on a busy machine a look has taken two
	cmd, messages, log := underSystemd(t, config, watchdog)
	start := awaitMessage(t, messages, "READY=1\nSTATUS=2 cameras, 1 worker on cpu, ")
	if !slices.ContainsFunc(start, func(m string) bool { return strings.HasPrefix(m, "EXTEND_TIMEOUT_USEC=") }) {
		t.Errorf("the start was not prolonged: %q", start)
	}
	looked := 0
	for _, pid := range children(t, cmd.Process.Pid) {
		environment, err := os.ReadFile("/proc/" + pid + "/environ")
		if err != nil || len(environment) == 0 {
			continue // the camera's program ends at once
		}
		looked++
		if bytes.Contains(environment, []byte("NOTIFY_SOCKET")) || bytes.Contains(environment, []byte("WATCHDOG")) {
			t.Errorf("process %s has systemd's variables: %q", pid, environment)
		}
	}
	if looked == 0 {
		t.Error("there is no worker")
	}
	awaitMessage(t, messages, "STATUS=2 cameras, 1 worker on cpu, ", " frames/s; camera yard lost")
	began := time.Now()
	for range 3 {
		awaitMessage(t, messages, "WATCHDOG=1")
	}
	if took := time.Since(began); took > 3*watchdog { // half of it each
		t.Errorf("three pings took %v", took)
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	awaitMessage(t, messages, "STOPPING=1")
	if err := cmd.Wait(); err != nil {
		t.Errorf("%v: %s", err, log)
	}
	if said := log.String(); !strings.Contains(said, "PATH=") || strings.Contains(said, "NOTIFY_SOCKET") {
		t.Errorf("the source command has systemd's variables, or does not say what it has:\n%s", said)
	}
	if strings.Contains(log.String(), "watchdog") {
		t.Errorf("a lost camera is no matter for the watchdog:\n%s", log)
	}
}

// A model that crashes every load must not become a loop of restarts: the service is up, and says what it cannot do.
func TestServiceWhoseModelCannotBeLoadedIsReady(t *testing.T) {
	model := filepath.Join(t.TempDir(), "broken.onnx")
	if err := os.WriteFile(model, []byte("this is not a model"), 0o600); err != nil {
		t.Fatal(err)
	}
	config := configFile(t, `
cameras: [{name: scene, source: {scene: {}}}]
infer: {model: `+model+`}
mqtt: {brokers: ['tcp://127.0.0.1:1']}
`)
	_, messages, _ := underSystemd(t, config, 2*time.Second)
	awaitMessage(t, messages, "READY=1\nSTATUS=1 camera, 1 worker, ", "infer-worker degraded after load: ",
		"not an ONNX model", "no connection to the MQTT broker")
	awaitMessage(t, messages, "WATCHDOG=1")
}
