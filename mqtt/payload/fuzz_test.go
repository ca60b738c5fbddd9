package payload_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"vedette/mqtt/payload"
)

func FuzzDetections(f *testing.F) {
	in := load(f)
	f.Fuzz(func(t *testing.T, camera, label string, score, x, y float32, second, nanosecond, queue, total int64) {
		d := payload.Detections{
			Camera: camera, CapturedAt: time.Unix(second, nanosecond), Monotonic: max(time.Duration(total), 0), Clock: payload.Synced,
			Width: 1, Height: 1, Objects: []payload.Object{
				{Label: label, Score: score, Box: [4]float32{x, y, y, x}}, {Label: camera, Score: x, Box: [4]float32{score}},
			},
			Timings: payload.Timings{Queue: time.Duration(queue), Total: time.Duration(total)},
		}
		text := d.AppendJSON(nil)
		agree(t, decoded(t, text), expected(t, &d), text)
		d.Camera = "yard" // the configuration lets no other sort of name through
		if err := in.Check("vedette/test/yard/detections", d.AppendJSON(text[:0])); err != nil {
			t.Error(err)
		}
	})
}

func FuzzFault(f *testing.F) {
	in := load(f)
	f.Fuzz(func(t *testing.T, message, traceback, line string, second, nanosecond int64) {
		text, err := json.Marshal(payload.Fault{
			V: payload.Version, Epoch: "0123456789abcdef", Seq: 1,
			Time: payload.Time{Time: time.Unix(second, nanosecond)}, Clock: payload.Unsynced, Process: "infer-worker",
			Kind: "panic", Message: message, Traceback: traceback, Generation: 1, LastLog: []string{line},
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := in.Check("vedette/test/faults", text); err != nil {
			t.Error(err)
		}
	})
}

// FuzzTopics: a prefix that is taken makes topics that a broker takes (MQTT 3.1.1, 4.7), each its own.
func FuzzTopics(f *testing.F) {
	f.Fuzz(func(t *testing.T, prefix, device string) {
		topics, err := payload.NewTopics(prefix, device)
		if err != nil {
			return
		}
		all := []string{topics.Status(), topics.State(), topics.Faults(), topics.Detections("yard")}
		for i, topic := range all {
			if !utf8.ValidString(topic) || strings.ContainsAny(topic, "+#\x00") || len(topic) > 65535 ||
				strings.HasPrefix(topic, "$") || strings.HasPrefix(topic, "/") || !strings.HasPrefix(topic, topics.Prefix()+"/") {
				t.Errorf("prefix %q and device %q make topic %q", prefix, device, topic)
			}
			if slices.Contains(all[:i], topic) {
				t.Errorf("topic %q has two messages", topic)
			}
		}
	})
}
