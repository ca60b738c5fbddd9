package pipeline

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"vedette/capture"
	"vedette/cmd/vedette/internal/config"
	"vedette/supervisor/sandbox"
)

// The test binary confines itself as `vedette confine` does, and then becomes itself: to look at what it may open, or as a worker.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case "confine":
			policy, err := sandbox.ReadPolicy(os.NewFile(policyFD, "policy"))
			if err == nil {
				err = policy.Exec(os.Args[4:], os.Environ()) // confine --policy=4 -- …
			}
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		case "look":
			for _, attempt := range os.Args[2:] {
				fmt.Println(attempt, int(look(attempt)))
			}
			return
		case "infer-worker":
			if err := buildingWorker(); err != nil {
				fmt.Fprintln(os.Stderr, err)
				os.Exit(1)
			}
			return
		}
	}
	os.Exit(m.Run())
}

// look opens what is named, "+" in front: for writing.
func look(attempt string) syscall.Errno {
	path, flags := attempt, os.O_RDONLY
	if rest, ok := strings.CutPrefix(attempt, "+"); ok {
		path, flags = rest, os.O_WRONLY|os.O_CREATE
	}
	file, err := os.OpenFile(path, flags, 0o600)
	var errno syscall.Errno
	if err != nil {
		errors.As(err, &errno)
		return errno
	}
	_ = file.Close()
	return 0
}

// seen tells for each attempt what a program under the policy sees.
func seen(t *testing.T, p sandbox.Policy, attempts ...string) map[string]syscall.Errno {
	t.Helper()
	if status := sandbox.Supported(); status.Landlock == 0 {
		t.Skipf("this kernel cannot confine: %v", status.Missing)
	}
	policy, err := p.File()
	if err != nil {
		t.Fatal(err)
	}
	defer policy.Close()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, confined(policyFD, append([]string{self, "look"}, attempts...)...)...)
	cmd.ExtraFiles = []*os.File{os.Stdin, policy} // ControlFD, policyFD
	cmd.Env = append(os.Environ(), "GORACE=atexit_sleep_ms=0")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, &stderr)
	}
	results := map[string]syscall.Errno{}
	for line := range strings.Lines(string(out)) {
		var attempt string
		var errno int
		if _, err := fmt.Sscan(line, &attempt, &errno); err != nil {
			t.Fatalf("%v: %q", err, line)
		}
		results[attempt] = syscall.Errno(errno)
	}
	return results
}

func file(t *testing.T, parts ...string) string {
	t.Helper()
	path := filepath.Join(parts...)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("text"), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestWhatAWorkerSees(t *testing.T) {
	folder := t.TempDir()
	cfg := config.Default()
	cfg.StateDir = folder + "/state"
	if err := os.MkdirAll(cacheFolder(cfg), 0o700); err != nil {
		t.Fatal(err)
	}
	model, weights := file(t, folder, "models/own.onnx"), file(t, folder, "models/own.onnx.data")
	secrets := []string{
		file(t, folder, "models/other.key"), file(t, folder, "etc/vedette.yaml"), file(t, folder, "state/outbox/1"),
	}
	camera := filepath.Join(folder, "video0")
	if err := unix.Mknod(camera, unix.S_IFCHR|0o666, int(unix.Mkdev(1, 7))); err == nil {
		secrets = append(secrets, camera)
	}
	secrets = append(secrets, "/etc/passwd", "/dev/full", "/dev/tty", "/proc/1/cmdline",
		fmt.Sprintf("/proc/%d/environ", os.Getpid()), "+"+model, "+"+folder+"/state/outbox/2", "+"+folder+"/new")
	public := []string{
		model, weights, "/dev/null", "+/dev/null", "/dev/urandom", "/proc/self/maps", "/proc/cpuinfo", "/etc/ld.so.cache",
		"/sys/devices/system/cpu/online", "+" + cacheFolder(cfg) + "/engine",
	}
	results := seen(t, workerPolicy(cfg, model), append(slices.Clone(secrets), public...)...)
	if len(results) != len(secrets)+len(public) {
		t.Errorf("%d of %d attempts were made", len(results), len(secrets)+len(public))
	}
	for attempt, got := range results {
		want := syscall.Errno(0)
		if slices.Contains(secrets, attempt) {
			want = unix.EACCES
		}
		if got != want {
			t.Errorf("%s: %v, want %v", attempt, got, want)
		}
	}
}

func TestWhatASourceSees(t *testing.T) {
	folder := t.TempDir()
	secret := file(t, folder, "etc/vedette.yaml")
	clip, picture := file(t, folder, "clips/yard.avi"), file(t, folder, "pictures/1.jpg")
	source := capture.CommandConfig{
		Argv: []string{"ffmpeg", "-i", "file://" + clip, "-i", folder + "/pictures/%d.jpg"},
	}
	open := []string{clip, picture, "/etc/hosts", "/dev/null", "/usr/bin/env", "/proc/self/maps"}
	closed := []string{secret, "+" + clip, "+" + folder + "/new", "/dev/full", "/proc/1/cmdline", "/etc/shadow"}
	for attempt, got := range seen(t, sourcePolicy(source), append(slices.Clone(open), closed...)...) {
		want := syscall.Errno(0)
		if slices.Contains(closed, attempt) {
			want = unix.EACCES
		}
		if got != want {
			t.Errorf("%s: %v, want %v", attempt, got, want)
		}
	}
}

func TestNamedFiles(t *testing.T) {
	t.Chdir(t.TempDir())
	folder, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	file(t, folder, "clip.avi")
	for text, want := range map[string][]string{
		"ffmpeg -i /srv/a.mp4 -f rawvideo -":            {"/srv/a.mp4"},
		"gst-launch-1.0 filesrc location=/srv/a.mp4 !":  {"/srv/a.mp4"},
		"ffmpeg -i file:///srv/a.mp4":                   {"/srv/a.mp4"},
		"sh -c 'cat \"/srv/a.y4m\"; sleep 1'":           {"/srv/a.y4m"},
		"ffmpeg -i rtsp://user:word@camera/stream -":    nil,
		"ffmpeg -i clip.avi -vf scale=640:360 . / -":    {folder + "/clip.avi"},
		"ffmpeg -f v4l2 -i /dev/video2 -pix_fmt nv12 -": {"/dev/video2"},
	} {
		if got := namedFiles(text); !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
}

// TestAcceleratorsAreNoCameras holds the patterns against the nodes of boards, as NVIDIA's drivers name them.
func TestAcceleratorsAreNoCameras(t *testing.T) {
	matched := func(node string) bool {
		return slices.ContainsFunc(acceleratorDevices(), func(pattern string) bool {
			ok, err := filepath.Match(pattern, node)
			if err != nil {
				t.Fatal(err)
			}
			return ok
		})
	}
	for _, node := range []string{
		"/dev/video0", "/dev/media0", "/dev/v4l-subdev0", "/dev/nvhost-vi", "/dev/nvhost-isp", "/dev/nvhost-nvcsi",
		"/dev/nvhost-ctrl-isp", "/dev/dri/card0", "/dev/capture-vi-channel0",
	} {
		if matched(node) {
			t.Errorf("%s is open to a worker", node)
		}
	}
	for _, node := range []string{
		"/dev/nvidia0", "/dev/nvidiactl", "/dev/nvidia-uvm", "/dev/nvidia-uvm-tools", "/dev/nvmap", "/dev/nvhost-gpu",
		"/dev/nvhost-as-gpu", "/dev/nvhost-ctrl-gpu", "/dev/nvgpu/igpu0/ctrl", "/dev/dri/renderD128",
	} {
		if !matched(node) {
			t.Errorf("%s is closed to a worker", node)
		}
	}
}
