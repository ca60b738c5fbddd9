package main

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"vedette/infer"
	"vedette/infer/onnx"
)

// Real pedestrians, from Debian's opencv-doc: 795 frames of 768x576.
const pedestrians = "/usr/share/doc/opencv-doc/examples/data/vtest.avi"

// How many frames are compared, and published before the test ends.
const compared = 50

type message struct {
	Sequence   int `json:"sequence"`
	Detections []struct {
		Label   string     `json:"label"`
		ClassID int        `json:"class_id"`
		Score   float32    `json:"score"`
		Box     [4]float32 `json:"box"`
	} `json:"detections"`
}

// TestPedestriansArePublished runs the service over a video, and reads with mosquitto_sub what a subscriber sees. The boxes are
// held against the same model and frames by way of OpenCV: its resize, and the output's rows as they are.
func TestPedestriansArePublished(t *testing.T) {
	if _, err := os.Stat(pedestrians); err != nil {
		t.Skip("opencv-doc's vtest.avi is not installed")
	}
	if _, err := exec.LookPath("ffmpeg"); err != nil {
		t.Skip("ffmpeg is not installed")
	}
	port := mosquitto(t)
	lines := listen(t, port)
	config := configFile(t, fmt.Sprintf(`
device: test
cameras:
  - name: street
    rate: 0
    source:
      command:
        argv: [ffmpeg, -loglevel, error, -i, %s, -frames:v, "%d", -f, rawvideo, -pix_fmt, bgr24, "-"]
        format: bgr24
        size: 768x576
        rate: 10
        lossless: true
mqtt: {brokers: ["tcp://127.0.0.1:%s"]}
`, pedestrians, 2*compared, port))
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	cmd := vedette(ctx, t, "run", "--config", config)
	var log strings.Builder
	cmd.Stderr = &log
	if err := cmd.Run(); err != nil { // it ends by itself with the video
		t.Fatalf("%v: %s", err, &log)
	}
	published, statuses := collect(t, lines)
	if len(published) != 2*compared {
		t.Errorf("%d of %d frames were published", len(published), 2*compared)
	}
	persons := 0
	for _, m := range published {
		for _, d := range m.Detections {
			if d.Label == "person" {
				persons++
				break
			}
		}
	}
	if persons*100 <= 95*len(published) {
		t.Errorf("persons in %d of %d frames", persons, len(published))
	}
	if want := "online offline"; strings.Join(statuses, " ") != want {
		t.Errorf("status was %q, want %q", statuses, want)
	}
	compare(t, published)
}

// collect reads until the service says offline.
func collect(t *testing.T, lines <-chan string) (published []message, statuses []string) {
	t.Helper()
	timeout := time.After(3 * time.Minute)
	for {
		select {
		case line := <-lines:
			topic, payload, _ := strings.Cut(line, " ")
			switch topic {
			case "vedette/test/street/detections":
				var m message
				if err := json.Unmarshal([]byte(payload), &m); err != nil {
					t.Fatalf("%v in %s", err, payload)
				}
				published = append(published, m)
			case "vedette/test/status":
				statuses = append(statuses, payload)
				if payload == "offline" {
					return published, statuses
				}
			}
		case <-timeout:
			t.Fatal("the service did not say offline")
		}
	}
}

// compare holds published boxes against the reference: IoU >= 0.95 and score within 0.01 for what is clearly over the threshold.
func compare(t *testing.T, published []message) {
	t.Helper()
	python := "/usr/bin/python3"
	if err := exec.Command(python, "-c", "import cv2").Run(); err != nil {
		t.Skip("Debian's python3-opencv is not installed: nothing independent to compare with")
	}
	inputs := filepath.Join(t.TempDir(), "inputs.f32")
	script := `
import cv2, numpy, subprocess, sys
raw = subprocess.check_output(["ffmpeg", "-loglevel", "error", "-i", sys.argv[1], "-frames:v", sys.argv[3],
                               "-f", "rawvideo", "-pix_fmt", "bgr24", "-"])
with open(sys.argv[2], "wb") as out:
    for frame in numpy.frombuffer(raw, numpy.uint8).reshape(-1, 576, 768, 3):
        frame = cv2.resize(frame, (512, 512))
        planes = cv2.cvtColor(frame, cv2.COLOR_BGR2RGB).transpose(2, 0, 1)
        out.write(planes.astype(numpy.float32).tobytes())
`
	if out, err := exec.Command(python, "-c", script, pedestrians, inputs, fmt.Sprint(compared)).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	session, err := onnx.Open(onnx.Options{
		Runtime: onnxRuntime(t), Model: cocoModel(t), Providers: []string{"cpu"}, Fallback: "fail", Threads: 2,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer session.Close()
	pixels, err := os.ReadFile(inputs)
	if err != nil {
		t.Fatal(err)
	}
	missed, boxes := 0, 0
	for frame := range min(compared, len(published)) {
		in := session.Input()
		for i := range in {
			in[i] = math.Float32frombits(binary.LittleEndian.Uint32(pixels[4*(frame*len(in)+i):]))
		}
		if err := session.Run(); err != nil {
			t.Fatal(err)
		}
		rows, _ := session.Output(0)
		for row := rows; len(row) >= 6; row = row[6:] {
			if row[4] < 0.42 { // nearer to the threshold of 0.4 a box may be on either side of it
				continue
			}
			boxes++
			want := infer.Box{X1: row[0] / 512, Y1: row[1] / 512, X2: row[2] / 512, Y2: row[3] / 512}.Clip()
			if !matched(published[frame], want, row[4], int(row[5])) {
				missed++
				t.Logf("frame %d: no match for class %v, score %.3f, box %v", frame, row[5], row[4], want)
			}
		}
	}
	t.Logf("%d of %d boxes match", boxes-missed, boxes)
	if missed > 0 || boxes < compared {
		t.Errorf("%d of %d boxes do not match the reference", missed, boxes)
	}
}

func matched(m message, want infer.Box, score float32, class int) bool {
	for _, d := range m.Detections {
		box := infer.Box{X1: d.Box[0], Y1: d.Box[1], X2: d.Box[2], Y2: d.Box[3]}
		if d.ClassID == class && box.IoU(want) >= 0.95 && max(d.Score-score, score-d.Score) <= 0.01 {
			return true
		}
	}
	return false
}
