package main

import (
	"bytes"
	"encoding/json"
	"image/jpeg"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// replayed is a folder with photographs, one of them cut short, one as PNG, and a video of one.
func replayed(t *testing.T) string {
	t.Helper()
	folder := t.TempDir()
	const photographs = "../../capture/scene/photographs/"
	astronaut, err := os.ReadFile(photographs + "astronaut.jpg")
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{
		"a.jpg": astronaut, "cut.jpg": astronaut[:len(astronaut)/2], "sub/c.jpg": astronaut, "notes.txt": []byte("no picture"),
	} {
		path := filepath.Join(folder, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, args := range [][]string{
		{"-i", photographs + "coffee.jpg", folder + "/b.png"},
		{
			"-loop", "1", "-i", photographs + "astronaut.jpg", "-frames:v", "12", "-r", "10",
			"-vf", "crop=320:320:n*8:0", "-pix_fmt", "yuv420p", folder + "/d.mkv",
		},
	} {
		if out, err := exec.Command("ffmpeg", append([]string{"-nostdin", "-loglevel", "error"}, args...)...).CombinedOutput(); err != nil {
			t.Skipf("skipped: ffmpeg does not do what it should: %v %s", err, out)
		}
	}
	return folder
}

func TestReplayGivesTheSameBytesWithAnyNumberOfWorkers(t *testing.T) {
	folder, out := replayed(t), t.TempDir()
	said := func(args ...string) string {
		stdout, stderr, code := said(t, append([]string{"replay"}, args...)...)
		if code != 0 {
			t.Fatalf("exit code %d: %s", code, stderr)
		}
		return stdout
	}
	one := said("--workers", "1", folder)
	if two := said("--workers", "2", "--pictures", out, folder); one != two {
		t.Errorf("one worker says\n%s\ntwo say\n%s", one, two)
	}
	lines := filepath.Join(t.TempDir(), "lines")
	write(t, lines, bytes.Repeat([]byte("lines of another day\n"), 1000))
	if stdout := said("--out", lines, folder); stdout != "" {
		t.Errorf("beside the file, standard output says\n%s", stdout)
	}
	if written, err := os.ReadFile(lines); err != nil || string(written) != one {
		t.Errorf("the file holds\n%s\n(%v), want\n%s", written, err, one)
	}
	type frame struct {
		File       string
		Frame      int
		Seconds    float64
		Error      string
		Detections []struct{ Label string }
	}
	var names []string
	for _, line := range strings.Split(strings.TrimSpace(one), "\n") {
		var f frame
		if err := json.Unmarshal([]byte(line), &f); err != nil {
			t.Fatalf("%v in %s", err, line)
		}
		if f.Frame == 0 {
			names = append(names, f.File)
		} else if f.Seconds != 0.1*float64(f.Frame) && f.Frame == 10 {
			t.Errorf("frame 10 of a video of 10 frames/s is at %g s", f.Seconds)
		}
		if damaged := f.File == "cut.jpg"; (f.Error != "") != damaged {
			t.Errorf("%s has the error %q", f.File, f.Error)
		}
		if f.File == "a.jpg" && (len(f.Detections) == 0 || f.Detections[0].Label != "person") {
			t.Errorf("in the astronaut's photograph is %v", f.Detections)
		}
	}
	if got := strings.Join(names, " "); got != "a.jpg b.png cut.jpg d.mkv sub/c.jpg" {
		t.Errorf("the files are %s", got)
	}
	for _, name := range []string{"a.jpg-000000.jpg", "b.png-000000.jpg", "d.mkv-000011.jpg", "sub_c.jpg-000000.jpg"} {
		file, err := os.Open(filepath.Join(out, name))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := jpeg.DecodeConfig(file); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		file.Close()
	}
}

func TestReplayWritesAVideo(t *testing.T) {
	folder := replayed(t)
	made := filepath.Join(folder, "annotated.mp4")
	if _, stderr, code := said(t, "replay", "--video", made, folder+"/d.mkv"); code != 0 {
		t.Fatalf("exit code %d: %s", code, stderr)
	}
	out, err := exec.Command("ffprobe", "-v", "error", "-count_frames", "-select_streams", "v:0",
		"-show_entries", "stream=width,height,r_frame_rate,nb_read_frames", "-of", "csv=p=0", made).CombinedOutput()
	if got := strings.TrimSpace(string(out)); err != nil || got != "320,320,10/1,12" {
		t.Errorf("%v: the video is %q, not 320x320, 10 frames/s, 12 frames", err, got)
	}
}

func TestReplaySaysWhatIsWrong(t *testing.T) {
	empty, folder := t.TempDir(), t.TempDir()
	kept, painted := folder+"/kept.mp4", folder+"/kept.mp4-000000.jpg"
	for _, path := range []string{kept, painted} {
		write(t, path, []byte("mine"))
	}
	const photographs = "../../capture/scene/photographs"
	for _, c := range []struct {
		args []string
		want string
		code int
	}{
		{[]string{"/nowhere"}, "there is no such file or folder", 1},
		{[]string{empty}, "it has no file that is called .jpg", 1},
		{[]string{"--batch", "9", empty}, "--batch: 9 is outside 1 to 8", 2},
		{[]string{"--batch", "8", "--workers", "3", empty}, "--batch: 8 frames times 3 workers are more than 16", 2},
		{[]string{"--workers", "99", empty}, "--workers goes from 1 to 16", 2},
		{[]string{"replay_test.go"}, "replay_test.go: ", 1},
		{[]string{"--out", kept, kept}, "--out: " + kept + " is an input, and would be lost", 2},
		{[]string{"--video", kept, kept}, "--video: " + kept + " is an input, and would be lost", 2},
		{[]string{"--out", kept, folder}, "--out: " + kept + " is an input, and would be lost", 2},
		{[]string{"--pictures", folder, folder}, "--pictures: " + painted + " is an input, and would be lost", 2},
		{[]string{"--out", empty, kept}, "cannot write: open " + empty + ": is a directory", 1},
		{[]string{"--out", "/dev/full", photographs}, "cannot write: write /dev/full: no space left on device", 1},
		{[]string{"--model", "/nowhere.onnx", "--out", kept, photographs}, "/nowhere.onnx", 1},
	} {
		if _, stderr, code := said(t, append([]string{"replay"}, c.args...)...); code != c.code || !strings.Contains(stderr, c.want) {
			t.Errorf("%v: exit code %d, %s: want %q", c.args, code, stderr, c.want)
		}
	}
	for _, path := range []string{kept, painted} {
		if text, err := os.ReadFile(path); err != nil || string(text) != "mine" {
			t.Errorf("%s holds %q now (%v)", path, text, err)
		}
	}
}

// The model's graph does with each picture of a batch the same as alone, so that the bytes are the same.
func TestReplayInBatches(t *testing.T) {
	const model = "../../infer/decode/testdata/families/batch/yolov8.onnx"
	folder := replayed(t)
	want := ""
	for _, args := range [][]string{
		{"--workers", "1"}, {"--workers", "1", "--batch", "4"}, {"--workers", "2", "--batch", "3"},
	} {
		stdout, stderr, code := said(t, append([]string{"replay", "--model", model, "--threshold", "0.3", folder}, args...)...)
		if code != 0 || strings.Count(stdout, "\n") != 16 || !strings.Contains(stdout, `"score"`) {
			t.Fatalf("%v: exit code %d, %s%s", args, code, stdout, stderr)
		}
		if want == "" {
			want = stdout
		}
		if stdout != want {
			t.Errorf("%v gives\n%s\none after the other\n%s", args, stdout, want)
		}
	}
	_, stderr, code := said(t, "replay", "--batch", "2", "--workers", "1", "--model", filepath.Dir(model)+"/../yolov8.onnx", folder)
	if code == 0 || !strings.Contains(stderr, "infer.batch.max is 2") {
		t.Errorf("a model for one picture: exit code %d, %s", code, stderr)
	}
}

// The picture's red square scores 0.82.
func TestReplayGoesByThresholds(t *testing.T) {
	w := newWorkshop(t)
	model := w.model(t, 64)
	for _, c := range []struct {
		manifest string
		flag     []string
		found    int
	}{
		{"", nil, 1},
		{"", []string{"--threshold", "0.9"}, 0},
		{"thresholds: {default: 0.9}\n", nil, 0},
		{"thresholds: {default: 0.9}\n", []string{"--threshold", "0.5"}, 1},
		{"thresholds: {person: 0.1}\n", []string{"--threshold", "0.9"}, 0},
	} {
		write(t, model+".yaml", []byte(c.manifest))
		args := append([]string{"replay", "--workers", "1", "--model", model, w.picture}, c.flag...)
		out, errs, code := said(t, args...)
		if got := strings.Count(out, `"person"`); code != 0 || got != c.found {
			t.Errorf("manifest %q, %v: exit code %d, found %d, want %d: %s%s", c.manifest, c.flag, code, got, c.found, out, errs)
		}
	}
	if _, errs, code := said(t, "replay", "--threshold", "2", w.picture); code != exitUsage {
		t.Errorf("a threshold of 2: exit code %d, %s", code, errs)
	}
}
