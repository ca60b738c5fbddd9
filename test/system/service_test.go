//go:build system

package system

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"vedette/capture"
	"vedette/capture/scene"
	"vedette/test/vm"
)

func TestVersionIsOfThisProgram(t *testing.T) {
	m := installed(t)
	var version struct{ Version, OS, Arch string }
	said := m.Succeed(t.Context(), "vedette", "version", "--json")
	if err := json.Unmarshal([]byte(said), &version); err != nil {
		t.Fatalf("%v: %s", err, said)
	}
	if version.Version == "" || version.OS != "linux" || version.Arch != m.Guest.Arch {
		t.Errorf("got %s", said)
	}
}

func TestDoctorFindsNothingAmiss(t *testing.T) {
	m := installed(t)
	said := m.Succeed(t.Context(), asService("--wait", "--pipe", "vedette", "doctor", "--json")...)
	var report struct {
		Checks []struct{ Name, Verdict, Found string }
		Model  struct{ Family string }
	}
	if err := json.Unmarshal([]byte(said), &report); err != nil {
		t.Fatalf("%v: %s", err, said)
	}
	verdicts := map[string]string{}
	for _, check := range report.Checks {
		verdicts[check.Name] = check.Verdict
	}
	for _, name := range []string{
		"ONNX Runtime", "model", "inference", "camera yard", "MQTT broker tcp://127.0.0.1:1883", "cgroup delegation", "state directory",
	} {
		if verdicts[name] != "good" {
			t.Errorf("%s is %q, want good", name, verdicts[name])
		}
	}
	if report.Model.Family != "centernet" {
		t.Errorf("the model's family is %q, want centernet", report.Model.Family)
	}
	if t.Failed() {
		t.Log(said)
	}
}

// detections is a message as a subscriber reads it.
type detections struct {
	V          int
	Camera     string
	Sequence   uint32
	Frame      struct{ Width, Height int }
	Detections []struct {
		Label string
		Box   [4]float32
	}
}

func TestServicePublishesWhatItSees(t *testing.T) {
	m := installed(t)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	m.Succeed(ctx, asService("--unit=vedette", "vedette", "run", "--config", configFile)...)
	t.Cleanup(func() {
		if t.Failed() {
			journal, err := m.Guest.Journal(context.Background(), "vedette")
			t.Log(journal, err)
		}
	})
	heard := m.Succeed(ctx, "mosquitto_sub", "-t", "vedette/guest/yard/detections", "-C", "5", "-W", "480")
	var last uint32
	for line := range strings.Lines(heard) {
		var message detections
		if err := json.Unmarshal([]byte(line), &message); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		if err := plausible(message); err != nil {
			t.Errorf("%v: %s", err, line)
		}
		if message.Sequence <= last {
			t.Errorf("sequence %d follows %d", message.Sequence, last)
		}
		last = message.Sequence
	}
	if status := retained(ctx, m, "status"); status != "online" {
		t.Errorf("the status of a running service is %q, want online", status)
	}

	m.Succeed(ctx, "systemctl", "stop", "vedette")
	if status := retained(ctx, m, "status"); status != "offline" {
		t.Errorf("the status after a stop is %q, want offline", status)
	}
	if left := m.Run(ctx, "pgrep", "--list-full", "--exact", "vedette"); left.ExitCode != 1 {
		t.Errorf("there are processes left: %s", left.Stdout)
	}
	if journal := m.Journal(ctx, "vedette"); !strings.Contains(journal, "Deactivated successfully") {
		t.Errorf("systemd did not see a clean end:\n%s", journal)
	}
}

// plausible holds a message against the scene: the tiny model finds what is red, which is in the person's picture.
func plausible(message detections) error {
	if message.V != 1 || message.Camera != "yard" || message.Frame.Width != 320 || message.Frame.Height != 180 {
		return fmt.Errorf("this is not of camera yard")
	}
	if len(message.Detections) != 1 || message.Detections[0].Label != "person" {
		return fmt.Errorf("want one person")
	}
	shown, err := scene.New(capture.SceneConfig{Size: capture.Size{Width: 320, Height: 180}, Rate: 5, Format: capture.YUYV})
	if err != nil {
		return err
	}
	box := message.Detections[0].Box
	for _, object := range shown.Truth(message.Sequence) {
		x, y := (object.X1+object.X2)/2, (object.Y1+object.Y2)/2
		if object.Label == "person" && (x < box[0] || x > box[2] || y < box[1] || y > box[3]) {
			return fmt.Errorf("the person's middle, %.2f %.2f, is outside the box", x, y)
		}
	}
	return nil
}

// retained is a topic's retained message.
func retained(ctx context.Context, m *vm.Machine, topic string) string {
	said := m.Succeed(ctx, "mosquitto_sub", "-t", "vedette/guest/"+topic, "-C", "1", "-W", "60")
	return strings.TrimSpace(said)
}
