//go:build system

package system

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"vedette/capture"
	"vedette/test/vm"
)

// nightly tells whether the long forms are wanted: every size, many times over, and what happens to a package now and then.
func nightly() bool { return os.Getenv("VEDETTE_NIGHTLY") != "" }

// Where the guest has the tests' own programs.
const (
	grabFile = "/usr/local/bin/grab"
	feedFile = "/usr/local/bin/feed"
)

// withVivid gives a machine with two of the kernel's made-up webcams: single-planar at /dev/video0, multi-planar at
// /dev/video1. They show upright bars that move sideways, without text.
func withVivid(t *testing.T) *vm.Machine {
	t.Helper()
	m := vm.Start(t, vm.Options{})
	ctx := t.Context()
	m.Put(ctx, built(t, "grab-"+m.Guest.Arch, ""), grabFile)
	m.Succeed(ctx, "modprobe", "vivid", "n_devs=2", "node_types=0x1,0x1", "num_inputs=1,1", "input_types=0x0,0x0", "multiplanar=1,2")
	m.Succeed(ctx, "udevadm", "settle")
	for _, node := range []string{"/dev/video0", "/dev/video1"} {
		m.Succeed(ctx, "v4l2-ctl", "-d", node, "-c", "osd_text_mode=2,test_pattern=0,horizontal_movement=5")
	}
	return m
}

// grabbed is what the program grab tells.
type grabbed struct {
	Format  capture.Format
	Frames  int
	Gaps    uint64
	Dropped map[string]uint64
	Torn    int
	Still   int
	Behind  int
	Seconds float64
	MaxAge  float64 `json:"max_age_s"`
	folder  string
}

func grab(t *testing.T, m *vm.Machine, arguments ...string) grabbed {
	t.Helper()
	ctx := t.Context()
	folder := strings.TrimSpace(m.Succeed(ctx, "mktemp", "-d", vm.Share+"/grab-XXXXXX"))
	said := m.Succeed(ctx, append([]string{grabFile, "-out", folder}, arguments...)...)
	g := grabbed{folder: filepath.Join(m.Guest.HostShare(), filepath.Base(folder))}
	if err := json.Unmarshal([]byte(said), &g); err != nil {
		t.Fatalf("%v: %s", err, said)
	}
	return g
}

// vividFormats are those of ours that vivid has: all but MJPEG.
func vividFormats() []capture.PixelFormat {
	all := capture.PixelFormats()
	return all[:len(all)-1]
}

// emulatedFormats are what is streamed where time is short on the slower machine.
func emulatedFormats(m *vm.Machine) []capture.PixelFormat {
	if m.Guest.Arch == "arm64" && !nightly() {
		return []capture.PixelFormat{capture.YUYV, capture.NV12}
	}
	return vividFormats()
}

// Every format in single- and multi-planar form arrives whole, in order, and as OpenCV reads it.
func TestVividFormats(t *testing.T) {
	m := withVivid(t)
	sizes, frames := []string{"320x180"}, 12
	if nightly() {
		sizes, frames = []string{"320x180", "640x360", "1280x720"}, 100
	}
	var all []grabbed
	for _, pixel := range emulatedFormats(m) {
		for _, size := range sizes {
			for _, node := range []string{"/dev/video0", "/dev/video1"} {
				if node == "/dev/video1" && frames < 100 && pixel != capture.YUYV && pixel != capture.NV12 && pixel != capture.I420 {
					continue
				}
				t.Run(fmt.Sprintf("%s %s %s", node, pixel, size), func(t *testing.T) {
					all = append(all, wholeAndInOrder(t, m, node, pixel, size, frames))
				})
			}
		}
	}
	agreeWithOpenCV(t, all, 2)

	// Bars have few colours: noise has them all.
	var noisy []grabbed
	m.Succeed(t.Context(), "v4l2-ctl", "-d", "/dev/video0", "-c", "test_pattern=21")
	for _, pixel := range emulatedFormats(m) {
		noisy = append(noisy, grab(t, m, "-device", "/dev/video0", "-format", pixel.String(), "-size", "320x180", "-frames", "1"))
	}
	agreeWithOpenCV(t, noisy, 100)
}

// wholeAndInOrder streams at the highest rate of a few at which this emulation loses nothing: how fast that is says
// nothing about the product, but that there is such a rate does.
func wholeAndInOrder(t *testing.T, m *vm.Machine, node string, pixel capture.PixelFormat, size string, frames int) grabbed {
	t.Helper()
	var g grabbed
	for _, rate := range []string{"25", "10", "5", "2"} {
		g = grab(t, m, "-device", node, "-format", pixel.String(), "-size", size, "-rate", rate, "-frames", fmt.Sprint(frames), "-bars")
		if g.Frames != frames || g.Torn > 0 || g.Still > 0 || g.Behind > 0 || g.Dropped["bad_buffer"] > 0 {
			t.Errorf("at %s/s: %+v", rate, g)
		}
		if got := fmt.Sprintf("%dx%d", g.Format.Width, g.Format.Height); got != size || g.Format.Pixel != pixel {
			t.Errorf("asked for %s %s, got %s %s", pixel, size, g.Format.Pixel, got)
		}
		if g.Gaps == 0 && g.Dropped["superseded"] == 0 {
			t.Logf("%d frames at %s/s in %.1f s, none lost, none torn, the oldest %.0f ms old", g.Frames, rate, g.Seconds, 1000*g.MaxAge)
			return g
		}
	}
	t.Errorf("even at the lowest rate frames were lost: %+v", g)
	return g
}

// agreeWithOpenCV compares on the host what the worker's preprocessing made of frames in the guest.
func agreeWithOpenCV(t *testing.T, all []grabbed, leastValues int) {
	t.Helper()
	t.Run("agrees with OpenCV", func(t *testing.T) { compareWithOpenCV(t, all, leastValues) })
}

func compareWithOpenCV(t *testing.T, all []grabbed, leastValues int) {
	t.Helper()
	const (
		python = "/usr/bin/python3"
		limit  = 2 // grey levels
	)
	if err := exec.Command(python, "-c", "import cv2").Run(); err != nil {
		t.Skip("skipped: OpenCV is not here to compare with: apt-get install python3-opencv")
	}
	var cases []map[string]any
	for _, g := range all {
		cases = append(cases, map[string]any{"folder": g.folder, "format": g.Format})
	}
	question, err := json.Marshal(cases)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(python, "testdata/opencv.py")
	cmd.Stdin = bytes.NewReader(question)
	var said bytes.Buffer
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, said.Bytes())
	}
	var answers []struct {
		Worst, Values int
		Mean          float64
	}
	if err := json.Unmarshal(out, &answers); err != nil || len(answers) != len(all) {
		t.Fatalf("%v: %s", err, out)
	}
	worst := 0
	for i, a := range answers {
		worst = max(worst, a.Worst)
		if a.Worst > limit || a.Values < leastValues {
			t.Errorf("%s %dx%d differs from OpenCV by up to %d grey levels, %.3f in the mean; the picture has %d values",
				all[i].Format.Pixel, all[i].Format.Width, all[i].Format.Height, a.Worst, a.Mean, a.Values)
		}
	}
	t.Logf("%d pictures agree with OpenCV within %d grey levels", len(answers), worst)
}

// pedestrians is real video, small, in raw frames or as MJPEG pictures, put where the guest finds it.
func pedestrians(t *testing.T, m *vm.Machine, format capture.Format, rate int) (guestFile string) {
	t.Helper()
	const video = "/usr/share/doc/opencv-doc/examples/data/vtest.avi"
	if _, err := os.Stat(video); err != nil {
		t.Skipf("skipped: there is no video of pedestrians here (opencv-doc): %v", err)
	}
	name := fmt.Sprintf("pedestrians-%s-%dx%d", format.Pixel, format.Width, format.Height)
	as := []string{"-f", "rawvideo", "-pix_fmt", "yuyv422"}
	if format.Pixel == capture.MJPEG {
		as = []string{"-f", "mjpeg", "-q:v", "3"}
	}
	args := append([]string{
		"-loglevel", "error", "-y", "-ss", "8", "-t", "3", "-i", video,
		"-vf", fmt.Sprintf("scale=%d:%d", format.Width, format.Height), "-r", fmt.Sprint(rate),
	}, as...)
	out, err := exec.Command("ffmpeg", append(args, filepath.Join(m.Guest.HostShare(), name))...).CombinedOutput()
	if err != nil {
		t.Fatalf("ffmpeg: %v: %s", err, out)
	}
	return vm.Share + "/" + name
}

// feeds starts a camera that shows a file, at the node /dev/videoN, as a unit of that name.
func feeds(ctx context.Context, m *vm.Machine, number int, format capture.Format, rate int, file string) {
	node := fmt.Sprintf("/dev/video%d", number)
	m.Succeed(ctx, "systemd-run", "--quiet", fmt.Sprintf("--unit=feed%d", number), feedFile, "-device", node,
		"-format", format.Pixel.String(), "-size", fmt.Sprintf("%dx%d", format.Width, format.Height), "-rate", fmt.Sprint(rate), file)
	m.Succeed(ctx, "timeout", "60", "sh", "-c", "until v4l2-ctl -d "+node+" -D | grep -q 'Video Capture'; do :; done")
}

func loadLoopback(t *testing.T, m *vm.Machine, numbers string) {
	t.Helper()
	ctx := t.Context()
	m.Put(ctx, built(t, "feed-"+m.Guest.Arch, ""), feedFile)
	m.Succeed(ctx, "modprobe", "v4l2loopback", "devices="+fmt.Sprint(1+strings.Count(numbers, ",")), "video_nr="+numbers,
		"exclusive_caps=1", "card_label=fed", "max_buffers=8")
	m.Succeed(ctx, "udevadm", "settle")
}

// Real video, raw and compressed, arrives as it was fed.
func TestFedCamera(t *testing.T) {
	m := vm.Start(t, vm.Options{})
	ctx := t.Context()
	m.Put(ctx, built(t, "grab-"+m.Guest.Arch, ""), grabFile)
	loadLoopback(t, m, "10,11")
	var all []grabbed
	for i, pixel := range []capture.PixelFormat{capture.YUYV, capture.MJPEG} {
		format := capture.Format{Pixel: pixel, Width: 384, Height: 288}.Packed()
		feeds(ctx, m, 10+i, format, 5, pedestrians(t, m, format, 5))
		g := grab(t, m, "-device", fmt.Sprintf("/dev/video%d", 10+i), "-format", pixel.String(), "-size", "384x288", "-rate", "5", "-frames", "10")
		if g.Frames != 10 || g.Dropped["bad_buffer"] > 0 {
			t.Errorf("%s: %+v", pixel, g)
		}
		all = append(all, g)
	}
	agreeWithOpenCV(t, all, 100)
}
