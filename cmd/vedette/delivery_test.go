package main

import (
	"encoding/json"
	"image/jpeg"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"vedette/mqtt/payload"
)

// event is a message of events as a subscriber would declare it.
type event struct {
	Type, ID, Camera, Reason, Epoch string
	Seq                             uint64
	Before, After                   *struct{ Label string }
}

// port is that of the service's broker.
func (s *service) port(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(s.config)
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(text), "tcp://127.0.0.1:")
	port, _, _ := strings.Cut(after, "'")
	return port
}

// say publishes a message to the service's broker.
func (s *service) say(t *testing.T, topic, text string, flags ...string) {
	t.Helper()
	args := append([]string{"-h", "127.0.0.1", "-p", s.port(t), "-q", "1", "-t", topic, "-m", text}, flags...)
	if out, err := exec.Command("mosquitto_pub", args...).CombinedOutput(); err != nil {
		t.Fatalf("mosquitto_pub: %v: %s", err, out)
	}
}

// command sends a command and waits for its answer.
func (s *service) command(t *testing.T, name, text string) (r payload.Result) {
	t.Helper()
	s.say(t, "vedette/test/command/"+name, text)
	answer := s.await(t, "command/"+name+"/result", anything)
	if err := json.Unmarshal([]byte(answer), &r); err != nil {
		t.Fatal(err)
	}
	return r
}

func TestObjectsHaveALifeThatSubscribersSee(t *testing.T) {
	s := startService(t, yard)
	var first event
	parse := func(text string) (e event) {
		if err := json.Unmarshal([]byte(text), &e); err != nil {
			t.Fatal(err)
		}
		return e
	}
	s.await(t, "yard/events", func(text string) bool {
		first = parse(text)
		return first.Type == "new" && first.After.Label == "person"
	})
	if first.Before != nil || first.Camera != "yard" || first.Epoch == "" {
		t.Errorf("new: %+v", first)
	}
	// It may have come before the event: who subscribes anew is told of it again.
	later := &service{log: s.log, lines: listen(t, s.port(t))}
	discovered := later.awaitTopic(t, "homeassistant/device/vedette_test/config", func(text string) bool {
		return strings.Contains(text, `"l_yard_person_occupancy"`)
	})
	if !strings.Contains(discovered, "vedette/test/yard/person") {
		t.Errorf("discovery %s", discovered)
	}
	if got := s.command(t, "reload", `{"id":"1"}`); got.OK || !strings.Contains(got.Error, "mqtt.commands") {
		t.Errorf("a command that is not listed: %+v", got)
	}
	s.rewrite(t, "  - {name: yard", "  - {name: yard, disabled: true")
	if _, errs, code := s.ask(t, "config", "reload"); code != 0 {
		t.Fatalf("reload: %s", errs)
	}
	s.await(t, "yard/events", func(text string) bool {
		e := parse(text)
		return e.Type == "end" && e.ID == first.ID && e.Reason == "disabled" && e.Epoch == first.Epoch && e.Seq > first.Seq
	})
	late := exec.CommandContext(t.Context(), "mosquitto_sub", "-h", "127.0.0.1", "-p", s.port(t), "-C", "1", "-W", "60", "-t", "vedette/test/yard/person")
	if count, err := late.Output(); string(count) != "0\n" {
		t.Errorf("who comes later counts %q: %v", count, err)
	}
}

func TestCommandsOverMQTT(t *testing.T) {
	s := startService(t, yard+"infer: {thresholds: {default: 0.4}}\n", "commands: [snapshot, enable, threshold, reload, restart-worker]")
	s.await(t, "yard/detections", anything)
	for _, c := range []struct{ name, text, says string }{
		{"reload", `{"id":"r"}`, ""},
		{"camera/porch/enable", `{"id":"e0","args":{"enabled":false}}`, "there is no camera \"porch\": it is one of yard"},
		{"camera/yard/enable", `{"id":"e1","args":{"enabled":false}}`, ""},
		{"camera/yard/enable", `{"id":"e2","args":{"enabled":true}}`, ""},
		{"threshold", `{"id":"t0","args":{"label":"unicorn","value":0.5}}`, `knows no label "unicorn"`},
		{"threshold", `{"id":"t1","args":{"label":"person","value":0.99}}`, ""},
		{"restart-worker", `{"id":"w"}`, ""},
		{"restart-worker", `{"id":"w"}`, ""}, // the same again is answered, and not done
		{"reload", `{"id":"x","expires_at":"2020-01-01T00:00:00Z"}`, "expired"},
		{"reload", "ON", "cannot be read"},
		{"snapshot", `{"id":"s"}`, ""},
	} {
		got := s.command(t, c.name, c.text)
		if got.OK != (c.says == "") || !strings.Contains(got.Error, c.says) {
			t.Errorf("%s %s: %+v, want %q; log:\n%s", c.name, c.text, got, c.says, s.log)
		}
	}
	s.say(t, "vedette/test/command/snapshot", `{"id":"s2","args":{"camera":"yard"}}`)
	shot := s.await(t, "yard/snapshot", anything)
	if picture, err := jpeg.DecodeConfig(strings.NewReader(shot)); err != nil || picture.Width != 640 || picture.Height != 360 {
		t.Errorf("a picture of %d bytes: %+v, %v", len(shot), picture, err)
	}
	overrides, err := os.ReadFile(filepath.Join(s.stateDir, "overrides.yaml"))
	if err != nil || !strings.Contains(string(overrides), "person: 0.99") || !strings.Contains(string(overrides), "disabled: false") {
		t.Errorf("overrides.yaml: %v\n%s", err, overrides)
	}
	if state := s.state(t); state.Worker.Restarts != 2 || state.Worker.Generation != 3 { // for the threshold, and by command
		t.Errorf("worker %+v", state.Worker)
	}
}
