package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"vedette/capture"
)

const small = `
cameras:
  - name: yard
    source:
      v4l2: {id: usb-cam, formats: [yuyv]}
`

func TestSilenceMeansDefaults(t *testing.T) {
	got, err := Parse("vedette.yaml", []byte(small))
	if err != nil {
		t.Fatal(err)
	}
	want := Default()
	camera := capture.DefaultCamera()
	camera.Name = "yard"
	camera.Source.V4L2 = &capture.V4L2Config{
		ID: "usb-cam", Formats: []capture.PixelFormat{capture.YUYV},
		Size: capture.Size{Width: 1280, Height: 720}, Rate: 30,
	}
	want.Cameras = []capture.Camera{camera}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestRateOfZeroIsNotSilence(t *testing.T) {
	got, err := Parse("vedette.yaml", []byte(small+"    rate: 0\ninfer:\n  deadlines: {run: 250ms}\n"))
	if err != nil {
		t.Fatal(err)
	}
	if got.Cameras[0].Rate != 0 || got.Infer.Deadlines.Run != 250*time.Millisecond || got.Infer.Deadlines.Load != time.Minute {
		t.Errorf("rate %v, deadlines %+v", got.Cameras[0].Rate, got.Infer.Deadlines)
	}
}

func TestDefaultsAreValidAndReadBack(t *testing.T) {
	text, err := Default().Text()
	if err != nil {
		t.Fatal(err)
	}
	got, err := Parse("defaults", text)
	if err != nil {
		t.Fatalf("%v in:\n%s", err, text)
	}
	want, _ := Parse("nothing", nil)
	want.Cameras, got.Cameras = nil, nil // an empty list and none are the same
	want.MQTT.Brokers, got.MQTT.Brokers = nil, nil
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestLaterLayerWins(t *testing.T) {
	dir := t.TempDir()
	image, operator := filepath.Join(dir, "image.yaml"), filepath.Join(dir, "operator.yaml")
	write(t, image, "infer: {threads: 2, model: coco}\nmqtt: {username: image}\n")
	write(t, operator, "infer: {model: /models/mine.onnx}\n")
	got, err := Load(image, operator)
	if err != nil {
		t.Fatal(err)
	}
	if got.Infer.Threads != 2 || got.Infer.Model != "/models/mine.onnx" || got.MQTT.Username != "image" {
		t.Errorf("threads %d, model %q, username %q", got.Infer.Threads, got.Infer.Model, got.MQTT.Username)
	}
}

func TestMistakesAreNamedWithTheirPlace(t *testing.T) {
	for _, c := range []struct {
		name, text string
		want       []string
	}{
		{"unknown key", "infer:\n  thread: 2\n", []string{`f.yaml:2:3: unknown key "thread": did you mean "threads"?`}},
		{"unknown key in a camera", small + "    ratte: 3\n", []string{`f.yaml:6:5: unknown key "ratte": did you mean "rate"?`}},
		{"nothing near", "zzzzzzzzzzzz: 1\n", []string{`f.yaml:1:1: unknown key "zzzzzzzzzzzz"`}},
		{"wrong type", "infer:\n  threads: many\n", []string{`f.yaml:2:12: "many" is not a whole number`}},
		{"colon in braces", "mqtt: {brokers: [tcp://127.0.0.1:1883]}\n", []string{"f.yaml:1:33: within braces a colon ends a word", "quotes"}},
		{"no duration", "infer:\n  deadlines: {run: 5}\n", []string{"f.yaml:2:"}},
		{"not YAML", "infer: [\n", []string{"f.yaml:"}},
		{"duplicate key", "device: a\ndevice: b\n", []string{"f.yaml:2:1: ", "device"}},
		{"two documents", "device: a\n---\ndevice: b\n", []string{"second YAML document"}},
		{"bad size", "cameras:\n  - name: a\n    source:\n      v4l2: {size: 12}\n", []string{"f.yaml:", "1280x720"}},
		{
			"bad pixel format", "cameras:\n  - name: a\n    source:\n      v4l2: {formats: [h264]}\n",
			[]string{"f.yaml:", `unknown pixel format "h264"`, "mjpeg"},
		},
		{
			"camera's name", "cameras:\n  - name: My Yard\n    source: {v4l2: {}}\n",
			[]string{"f.yaml:2:11: cameras[0].name: ", "a-z"},
		},
		{"reserved name", "cameras:\n  - name: events\n    source: {v4l2: {}}\n", []string{"reserved"}},
		{
			"same name twice", "cameras:\n  - {name: a, source: {v4l2: {}}}\n  - {name: a, source: {v4l2: {}}}\n",
			[]string{"f.yaml:3:", "is taken by camera 1"},
		},
		{"no source", "cameras:\n  - name: a\n", []string{"f.yaml:2:", "needs a source"}},
		{"two sources", "cameras:\n  - name: a\n    source: {v4l2: {}, scene: {}}\n", []string{"v4l2 and scene"}},
		{"region", small + "    region: [0.5, 0, 0.2, 1]\n", []string{"f.yaml:6:", "cameras[0].region: "}},
		{"NaN", small + "    region: [.nan, 0, 1, 1]\n", []string{"cameras[0].region: "}},
		{
			"zone that crosses itself", small + "    zones:\n      gate: {polygon: [[0, 0], [1, 1], [1, 0], [0, 1]]}\n",
			[]string{"f.yaml:7:23: cameras[0].zones.gate.polygon: it crosses itself: the edges from corner 1 and from corner 3 meet"},
		},
		{
			"mask that crosses itself", small + "    masks: [[[0, 0], [1, 1], [1, 0], [0, 1]]]\n",
			[]string{"f.yaml:6:13: cameras[0].masks[0]: it crosses itself"},
		},
		{
			"zone out of range", small + "    zones:\n      gate: {polygon: [[0, 0], [1, 1.5], [1, 0]]}\n",
			[]string{"f.yaml:7:23: cameras[0].zones.gate.polygon: corner 2 is not two numbers x, y in 0..1"},
		},
		{
			"zone with a spike", small + "    zones:\n      gate: {polygon: [[0, 0], [1, 0], [0.5, 0]]}\n",
			[]string{"f.yaml:7:", "run back over each other at corner 2"},
		},
		{
			"zone with a corner twice", small + "    zones:\n      gate: {polygon: [[0, 0], [1, 0], [1, 1], [0, 0]]}\n",
			[]string{"f.yaml:7:", "corners 1 and 4 are the same"},
		},
		{
			"zones of one name", small + "    zones:\n      gate: {polygon: [[0, 0], [1, 0], [1, 1]]}\n      gate: {polygon: [[0, 0], [1, 0], [1, 1]]}\n",
			[]string{"f.yaml:8:7: ", "gate"},
		},
		{
			"zone and line of one name", small + "    zones: {gate: {polygon: [[0, 0], [1, 0], [1, 1]]}}\n    lines: {gate: {from: [0, 0], to: [1, 1]}}\n",
			[]string{`f.yaml:7:19: cameras[0].lines.gate: name "gate" is taken by a zone`},
		},
		{
			"zone's name", small + "    zones: {events: {polygon: [[0, 0], [1, 0], [1, 1]]}}\n",
			[]string{`f.yaml:6:21: cameras[0].zones.events: name "events" is reserved`},
		},
		{
			"line without a length", small + "    lines: {gate: {from: [0.5, 0.5], to: [0.5, 0.5]}}\n",
			[]string{"f.yaml:6:42: cameras[0].lines.gate.to: it is the same as from"},
		},
		{
			"zone's filter", small + "    zones: {gate: {polygon: [[0, 0], [1, 0], [1, 1]], filters: {car: {min_area: 0.5, max_area: 0.2}}}}\n",
			[]string{"f.yaml:6:", "cameras[0].zones.gate.filters.car.min_area: 0.5 is more than max_area, 0.2"},
		},
		{"tracking", "track: {low: 2, timeout: 0s}\n", []string{"f.yaml:1:14: track.low: score 2 is outside 0..1", "track.timeout: 0s"}},
		{"rate that is no number", small + "    rate: .nan\n", []string{"f.yaml:6:", "cameras[0].rate: NaN"}},
		{"rotate", small + "    rotate: 45\n", []string{"f.yaml:6:13: cameras[0].rotate: 45 is not 0, 90, 180 or 270"}},
		{"flip", small + "    flip: both\n", []string{"f.yaml:6:11: cameras[0].flip: flip \"both\" is neither horizontal nor vertical"}},
		{"motion of MJPEG", "cameras:\n  - name: a\n    source: {v4l2: {}}\n    motion: {enabled: true}\n", []string{"cameras[0].motion.enabled: ", "leave mjpeg out"}},
		{"provider", "infer: {providers: [gpu]}\n", []string{`f.yaml:1:21: infer.providers[0]: "gpu" is none of`}},
		{"threshold", "infer: {thresholds: {person: 4}}\n", []string{"infer.thresholds.person: score 4 is outside 0..1"}},
		{
			"limits", "infer: {limits: {memory: lots, cpu: most, cpuset: all, pids: 1}}\n",
			[]string{
				`f.yaml:1:26: infer.limits.memory: "lots" is no amount of memory`, `infer.limits.cpu: "most"`,
				`infer.limits.cpuset: "all"`, "infer.limits.pids: 1 is outside 8",
			},
		},
		{"web on every interface", "web: {listen: '0.0.0.0:80'}\n", []string{"f.yaml:1:15: web.listen: ", "loopback"}},
		{"level", "log: {level: loud}\n", []string{"log.level"}},
		{"two mistakes, two lines", "log: {level: loud}\nstate_dir: ''\n", []string{"log.level", "f.yaml:2:12: state_dir", "\n"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Parse("f.yaml", []byte(c.text))
			if err == nil {
				t.Fatal("accepted")
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error %q does not say %q", err, want)
				}
			}
		})
	}
}

func TestMissingFileIsNamed(t *testing.T) {
	_, err := Load(filepath.Join(t.TempDir(), "none.yaml"))
	if err == nil || !strings.Contains(err.Error(), "none.yaml") {
		t.Errorf("error %v", err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(small))
	f.Add([]byte("infer: {thresholds: {default: .nan}}"))
	f.Add([]byte("a: &a [*a]"))
	f.Add([]byte("cameras: [{name: a, masks: [[[0,0],[1,0],[1,1]]]}]"))
	f.Fuzz(func(t *testing.T, text []byte) {
		if len(text) > 4096 {
			return
		}
		if _, err := Parse("f.yaml", text); err != nil && err.Error() == "" {
			t.Error("an error without a word")
		}
	})
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
