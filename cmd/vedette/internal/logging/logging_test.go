package logging

import (
	"log/slog"
	"strings"
	"testing"
)

func TestChildsRecordsKeepTheirLevelAndFields(t *testing.T) {
	var out strings.Builder
	relay := Relay(slog.New(slog.NewTextHandler(&out, nil)).With("worker", "infer"))
	child := ForChild(writerFunc(func(p []byte) { relay(strings.TrimSuffix(string(p), "\n")) }))
	child.Error("cannot load", "model", "a.onnx")
	child.Debug("too quiet for the parent")
	relay("Cannot load library libcudart.so.13")
	relay("{not a record")
	relay("")
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	want := [][]string{
		{"level=ERROR", `msg="cannot load"`, "worker=infer", "model=a.onnx"},
		{"level=WARN", `msg="Cannot load library libcudart.so.13"`, "worker=infer"},
		{"level=WARN", `msg="{not a record"`},
	}
	if len(lines) != len(want) {
		t.Fatalf("%d lines, want %d:\n%s", len(lines), len(want), out.String())
	}
	for i, parts := range want {
		for _, part := range parts {
			if !strings.Contains(lines[i], part) {
				t.Errorf("line %q lacks %q", lines[i], part)
			}
		}
	}
}

type writerFunc func([]byte)

func (f writerFunc) Write(p []byte) (int, error) { f(p); return len(p), nil }

func TestJournalKey(t *testing.T) {
	if got := journalKey("last frame-age.s"); got != "VEDETTE_LAST_FRAME_AGE_S" {
		t.Errorf("%q", got)
	}
}
