//go:build system

package system

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"vedette/capture"
	"vedette/test/vm"
)

// The drivers' answers that `make test` goes by are recorded anew with
//
//	VEDETTE_RECORD=1 go test -tags system -count 1 -v ./test/system -run TestRecordAnswers
func TestRecordAnswers(t *testing.T) {
	if os.Getenv("VEDETTE_RECORD") == "" {
		t.Skip("skipped: VEDETTE_RECORD is not set, and what was recorded last is in capture/v4l2/testdata/recorded")
	}
	m := withVivid(t)
	ctx := t.Context()
	loadLoopback(t, m, "10")
	jpeg := capture.Format{Pixel: capture.MJPEG, Width: 384, Height: 288}.Packed()
	feeds(ctx, m, 10, jpeg, 5, pedestrians(t, m, jpeg, 5))
	program := filepath.Join(t.TempDir(), "v4l2.test")
	build := exec.CommandContext(ctx, "go", "test", "-c", "-o", program, "../../capture/v4l2")
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOARCH="+m.Guest.Arch)
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	m.Put(ctx, program, "/opt/v4l2.test")
	for name, c := range map[string][3]string{
		"vivid-yuyv":              {"/dev/video0", "yuyv", "320x180"},
		"vivid-i420":              {"/dev/video0", "i420", "640x360"},
		"vivid-nv12-multiplanar":  {"/dev/video1", "nv12", "320x180"},
		"vivid-rgb24-multiplanar": {"/dev/video1", "rgb24", "640x360"},
		"v4l2loopback-mjpeg":      {"/dev/video10", "mjpeg", "384x288"},
	} {
		record(ctx, t, m, name, c)
	}
}

func record(ctx context.Context, t *testing.T, m *vm.Machine, name string, c [3]string) {
	t.Helper()
	to := name + ".txt"
	m.Succeed(ctx, "env", "VEDETTE_RECORD_NODE="+c[0], "VEDETTE_RECORD_AS="+c[1], "VEDETTE_RECORD_SIZE="+c[2],
		"VEDETTE_RECORD_TO="+vm.Share+"/"+to, "/opt/v4l2.test", "-test.run", "^TestRecord$")
	text, err := os.ReadFile(filepath.Join(m.Guest.HostShare(), to))
	if err != nil {
		t.Fatal(err)
	}
	folder := "../../capture/v4l2/testdata/recorded"
	if err := os.MkdirAll(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(folder, to), text, 0o644); err != nil {
		t.Fatal(err)
	}
}
