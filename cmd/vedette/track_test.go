package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// recording is 30 frames in which a person walks to the right.
func recording(t *testing.T) string {
	t.Helper()
	var text strings.Builder
	for n := range 30 {
		x := 0.2 + 0.02*float64(n)
		line, err := json.Marshal(map[string]any{
			"v": 1, "camera": "street", "sequence": n, "monotonic_ns": n * 100_000_000, "frame": map[string]int{"width": 768, "height": 576},
			"detections": []any{map[string]any{"label": "person", "class_id": 0, "score": 0.8, "box": []float64{x, 0.3, x + 0.05, 0.5}}},
		})
		if err != nil {
			t.Fatal(err)
		}
		text.WriteString(string(line) + "\n")
	}
	path := filepath.Join(t.TempDir(), "detections.jsonl")
	if err := os.WriteFile(path, []byte(text.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestARecordingIsReplayedThroughZonesAndMeasured(t *testing.T) {
	path, mot := recording(t), filepath.Join(t.TempDir(), "tracks.txt")
	out, errs, code := said(t, "track", "--config", "testdata/street/street.yaml", "--json", "--mot", mot, path)
	if code != 0 {
		t.Fatalf("exit %d: %s", code, errs)
	}
	lines := strings.Split(strings.TrimSpace(out), "\n")
	var last struct {
		Summary map[string]tracked `json:"summary"`
	}
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &last); err != nil {
		t.Fatalf("%v in %s", err, out)
	}
	s := last.Summary["street"]
	if s.Frames != 30 || s.Objects["person"] != 1 || s.Entered["path"]["person"] != 1 || s.Crossed["bend"]["person out"] != 1 ||
		s.Crossed["crossing"]["person out"] != 1 {
		t.Errorf("%+v", s)
	}
	if !strings.Contains(lines[0], `"type":"new","id":"street-1"`) {
		t.Errorf("the first line is %s", lines[0])
	}
	again, _, _ := said(t, "track", "--config", "testdata/street/street.yaml", "--json", path)
	if again != out {
		t.Error("another time there are other events")
	}
	out, errs, code = said(t, "eval", "--tracking", "--json", mot, mot)
	if code != 0 || !strings.Contains(out, `"hota": 1`) || !strings.Contains(out, `"idf1": 1`) {
		t.Errorf("exit %d: %s%s", code, out, errs)
	}
}

// A file of tracks is of one camera; events and counts may be of several.
func TestTracksOfTwoCamerasAreNotMixed(t *testing.T) {
	one, err := os.ReadFile(recording(t))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "both.jsonl")
	if err := os.WriteFile(path, []byte(string(one)+strings.ReplaceAll(string(one), `"street"`, `"yard"`)), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, errs, code := said(t, "track", "--mot", filepath.Join(t.TempDir(), "tracks.txt"), path); code != 1 || !strings.Contains(errs, "cameras street and yard") {
		t.Errorf("exit %d: %s", code, errs)
	}
	if out, errs, code := said(t, "track", path); code != 0 || !strings.Contains(out, "yard") {
		t.Errorf("exit %d: %s%s", code, out, errs)
	}
}

func TestWhatCannotBeReplayedIsNamed(t *testing.T) {
	bad := filepath.Join(t.TempDir(), "bad.jsonl")
	if err := os.WriteFile(bad, []byte("{}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args []string
		want string
		code int
	}{
		{[]string{"track", bad}, "bad.jsonl: line 1: this is no detections message", 1},
		{[]string{"track", bad + "x"}, "no such file", 1},
		{[]string{"eval", "--tracking", bad, bad}, "bad.jsonl: line 1: 1 values", 1},
		{[]string{"eval", bad, bad}, "--tracking", 2},
	} {
		if _, errs, code := said(t, c.args...); code != c.code || !strings.Contains(errs, c.want) {
			t.Errorf("%v: exit %d, %s", c.args, code, errs)
		}
	}
}
