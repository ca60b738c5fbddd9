package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"vedette/cmd/vedette/internal/config"
	"vedette/track"
	"vedette/track/replay"
)

// annotation is who is where in the video's first 300 frames: see testdata/street/README.md.
type annotation struct {
	Zones map[string]map[int]int `json:"zones"` // persons in a zone, by frame
	Lines map[string]struct {
		In, Out []int // frames in which a person crosses a line
	} `json:"lines"`
}

const annotated = 300 // frames, at 10 a second

// TestPeopleAreCountedInTheStreet holds counts in zones and over lines, of what the default model sees in a video, to what a person
// saw in it.
func TestPeopleAreCountedInTheStreet(t *testing.T) {
	var want annotation
	text, err := os.ReadFile("testdata/street/annotation.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &want); err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Load("testdata/street/street.yaml")
	if err != nil {
		t.Fatal(err)
	}
	in := map[string]map[int]int{}
	for zone := range want.Zones {
		in[zone] = map[int]int{}
	}
	crossed := map[track.Passage][]uint32{}
	options := func(string) (track.Options, error) {
		o := cfg.Tracker(cfg.Cameras[0], "street-")
		o.Config.UpdateEvery = 0 // each frame's state is looked at
		return o, nil
	}
	zones := map[string][]string{}
	events := 0
	err = replay.Run(replay.NewReader(bytes.NewReader(streetDetections(t))), options, func(r replay.Record, _ *track.Tracker, told []track.Event) error {
		for _, e := range told {
			events++
			zones[e.ID] = e.After.Zones
			if e.Type == track.TypeEnd {
				delete(zones, e.ID)
			}
			for _, c := range e.Crossed {
				p := track.Passage{Line: c.Line, Label: e.After.Label, Direction: c.Direction}
				crossed[p] = append(crossed[p], r.Frame.Sequence)
			}
		}
		for _, list := range zones {
			for _, zone := range list {
				in[zone][int(r.Frame.Sequence)]++
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	near := func(what string, got, want int) {
		t.Logf("%s: %d, seen by a person: %d", what, got, want)
		if math.Abs(float64(got-want)) > 0.15*float64(want) {
			t.Errorf("%s: %d is not within 15%% of %d", what, got, want)
		}
	}
	for zone, frames := range want.Zones {
		seen, counted := 0, 0
		var diff []string
		for frame, n := range frames {
			seen, counted = seen+n, counted+in[zone][frame]
			if n != in[zone][frame] {
				diff = append(diff, fmt.Sprintf("frame %d: %d, not %d", frame, in[zone][frame], n))
			}
		}
		t.Log(zone, diff)
		near("persons in "+zone+" over all frames looked at", counted, seen)
	}
	for line, ways := range want.Lines {
		for direction, frames := range map[track.Direction][]int{track.In: ways.In, track.Out: ways.Out} {
			got := crossed[track.Passage{Line: line, Label: "person", Direction: direction}]
			t.Log(line, direction, got, frames)
			near(fmt.Sprintf("over %s %s", line, direction), len(got), len(frames))
		}
	}
}

// streetDetections runs the service over the video and gives the detections messages as mosquitto_sub writes them, with times as
// the camera would have had them: the frames come as fast as the model takes them. VEDETTE_STREET names a recording to be taken
// instead.
func streetDetections(t *testing.T) []byte {
	t.Helper()
	if path := os.Getenv("VEDETTE_STREET"); path != "" {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return timed(t, text)
	}
	for _, need := range []string{"ffmpeg", "mosquitto_sub"} {
		if _, err := exec.LookPath(need); err != nil {
			t.Skipf("%s is not installed", need)
		}
	}
	if _, err := os.Stat(pedestrians); err != nil {
		t.Skip("opencv-doc's vtest.avi is not installed")
	}
	port := mosquitto(t)
	lines := listen(t, port)
	file := configFile(t, fmt.Sprintf(`
device: test
state_dir: %s
web: {listen: ""}
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
infer: {thresholds: {default: %g}}
mqtt: {brokers: ["tcp://127.0.0.1:%s"]}
`, filepath.Join(t.TempDir(), "state"), pedestrians, annotated, track.DefaultConfig().Low, port))
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	cmd := vedette(ctx, t, "run", "--config", file)
	var log strings.Builder
	cmd.Stderr = &log
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v: %s", err, &log)
	}
	var text bytes.Buffer
	for timeout := time.After(3 * time.Minute); ; {
		select {
		case line := <-lines:
			topic, message, _ := strings.Cut(line, " ")
			if topic == "vedette/test/street/detections" {
				text.WriteString(message + "\n")
			}
			if topic == "vedette/test/status" && message == "offline" {
				return timed(t, text.Bytes())
			}
		case <-timeout:
			t.Fatal("the service did not say offline")
		}
	}
}

// timed gives each message the time that its frame has in the video.
func timed(t *testing.T, text []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	frames := 0
	for line := range bytes.Lines(text) {
		var m map[string]any
		if err := json.Unmarshal(line, &m); err != nil {
			t.Fatal(err)
		}
		m["monotonic_ns"] = int64(time.Hour) + int64(m["sequence"].(float64))*int64(100*time.Millisecond)
		line, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		out.Write(append(line, '\n'))
		frames++
	}
	if frames != annotated {
		t.Errorf("%d of %d frames were published", frames, annotated)
	}
	return out.Bytes()
}
