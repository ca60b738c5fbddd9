package pipeline

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"vedette/capture"
	"vedette/cmd/vedette/internal/config"
	"vedette/supervisor/notify"
	"vedette/test/logtest"
)

// hungDriver never comes back from a read, whatever its context says.
func hungDriver(release chan struct{}) func(context.Context) error {
	return func(context.Context) error { <-release; return errors.New("too late") }
}

// manager is systemd's end of a service: its messages, and a service that speaks to it.
type manager struct {
	messages <-chan string
	options  Options
	log      *logtest.Log
}

// newManager prepares a service with one camera, the source, and a worker that never loads.
func newManager(t *testing.T, yard source) manager {
	t.Helper()
	folder := t.TempDir()
	address := filepath.Join(folder, "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: address, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	messages := make(chan string, 1024)
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
	t.Cleanup(func() { _ = conn.Close() })
	environment := map[string]string{"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "2000000"}
	notifier, err := notify.Take(
		func(name string) (string, bool) { value, ok := environment[name]; return value, ok },
		func(string) error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	cfg := config.Default()
	cfg.Device, cfg.StateDir = "test", filepath.Join(folder, "state")
	cfg.Infer.Model = os.Args[0] // never loaded: the worker is /bin/false
	cfg.MQTT.Brokers = []string{"tcp://127.0.0.1:1"}
	camera := capture.DefaultCamera()
	camera.Name = "yard"
	cfg.Cameras = []capture.Camera{camera}
	log := &logtest.Log{}
	return manager{messages, Options{
		Config: cfg, Executable: "/bin/false", Notifier: notifier, Logger: slog.New(slog.NewTextHandler(log, nil)),
		Sources: map[string]capture.Source{"yard": yard},
	}, log}
}

// ping waits for the watchdog's ping; false where systemd would kill before.
func (m manager) ping(within time.Duration) bool {
	timeout := time.After(within)
	for {
		select {
		case message := <-m.messages:
			if message == "WATCHDOG=1" {
				return true
			}
		case <-timeout:
			return false
		}
	}
}

func TestAServiceWithAHungCaptureLoopIsLeftToSystemd(t *testing.T) {
	release := make(chan struct{})
	m := newManager(t, source{next: hungDriver(release)})
	service, err := New(m.options)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- service.Run(ctx) }()

	if !m.ping(2 * time.Minute) {
		t.Fatal("no ping at the start")
	}
	const check = `check=cameras error="camera yard: its capture loop is `
	for deadline := time.Now().Add(2 * time.Minute); m.ping(2*time.Second) || !strings.Contains(m.log.String(), check); {
		if time.Now().After(deadline) {
			t.Fatalf("it is still pinged, or the log does not name the check:\n%s", m.log)
		}
	}
	stacks, err := os.ReadFile(filepath.Join(m.options.Config.StateDir, notify.StacksFile))
	if err != nil || !bytes.Contains(stacks, []byte("hungDriver")) {
		t.Errorf("the stacks do not show where it hangs: %v\n%.2000s", err, stacks)
	}
	close(release)
	if !m.ping(2 * time.Minute) {
		t.Error("no ping after the driver came back")
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestAServiceWithoutOutcomeEnds(t *testing.T) {
	m := newManager(t, source{next: func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }})
	m.options.Executable = filepath.Join(t.TempDir(), "worker") // that loads, and loads
	if err := os.WriteFile(m.options.Executable, []byte("#!/bin/sh\nexec sleep 60\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	service, err := New(m.options)
	if err != nil {
		t.Fatal(err)
	}
	if service.longestStart != 6*time.Minute { // 5 loads of a minute, and a minute
		t.Errorf("the longest start is %v", service.longestStart)
	}
	service.longestStart = 200 * time.Millisecond
	if err := service.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "no outcome within 200ms: no worker is ready") {
		t.Errorf("it ends with %v", err)
	}
	timeout := time.After(2 * time.Minute)
	for stopping := false; !stopping; {
		select {
		case message := <-m.messages:
			if strings.Contains(message, "READY") {
				t.Errorf("it said %q", message)
			}
			stopping = strings.HasPrefix(message, "STOPPING=1")
		case <-timeout:
			t.Fatal("it did not say that it stops")
		}
	}
}
