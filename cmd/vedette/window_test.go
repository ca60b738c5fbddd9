package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"vedette/capture"
	"vedette/capture/scene"
	"vedette/infer"
	"vedette/web/access"
)

// browserTools gives the folder of the browser tests, or skips where what they need is missing.
func browserTools(t *testing.T) string {
	t.Helper()
	for _, tool := range []string{"node", "chromium"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("the page is not opened, as there is no %s: apt-get install nodejs chromium", tool)
		}
	}
	dir, err := filepath.Abs("../../test/web")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "node_modules", "playwright-core")); err != nil {
		t.Skip("the page is not opened, as its tools are missing: cd test/web && npm ci --ignore-scripts")
	}
	return dir
}

// window is a service with a page, a scene at camera yard, and a broker beside it.
type window struct {
	base, broker, config, state   string
	adminPassword, viewerPassword string
	adminToken, viewerToken       string
}

// openWindow runs the service until the test ends.
func openWindow(t *testing.T) window {
	t.Helper()
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	w := window{
		broker: mosquitto(t), state: filepath.Join(dir, "state"), adminPassword: "who may change things", viewerPassword: "who may look",
		adminToken: strings.Repeat("a1", 16), viewerToken: strings.Repeat("b2", 16),
	}
	if err := os.Mkdir(w.state, 0o700); err != nil {
		t.Fatal(err)
	}
	hash := func(password string) string {
		text, err := access.HashPassword(password)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	address := freeAddress(t)
	w.base = "http://" + address
	w.config = write("vedette.yaml", fmt.Sprintf(`
state_dir: %s
cameras:
  - {name: yard, rate: %d, source: {scene: {}}, zones: {%s: {polygon: %s}}, lines: {%s: {from: %s, to: %s}}}
infer: {thresholds: {default: %g}}
mqtt: {brokers: ["tcp://127.0.0.1:%s"]}
web:
  listen: %s
  admin: {password_file: %s, token_file: %s}
  viewer: {password_file: %s, token_file: %s}`,
		w.state, demoRate, zoneName, inJSON(zoneCorners()), lineName, inJSON(lineEnds()[0]), inJSON(lineEnds()[1]),
		demoThreshold, w.broker, address,
		write("admin", hash(w.adminPassword)), write("admin-token", w.adminToken),
		write("viewer", hash(w.viewerPassword)), write("viewer-token", w.viewerToken)))
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	cmd := vedette(ctx, t, "run", "--config", w.config)
	log := filepath.Join(dir, "log")
	file, err := os.Create(log)
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = file
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stop()
		_ = cmd.Wait() // its end is another test's
		file.Close()
		if text, err := os.ReadFile(log); err == nil && t.Failed() {
			t.Logf("the service's log:\n%s", text)
		}
	})
	eventually(t, w.base+"/healthz", func(status int, _ string) bool { return status == 200 })
	return w
}

func inJSON(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(text)
}

// observation is what the browser saw of one frame.
type observation struct {
	Sequence uint32
	Boxes    []struct {
		Label string
		Box   [4]float64
		Text  struct{ Rows, Dark float64 }
	}
}

// TestPageInChromium opens the page of a running service: see test/web/page.mjs for what is done there.
func TestPageInChromium(t *testing.T) {
	if raceDetector {
		t.Skip("the race detector leaves the page too few pictures; .ci/run runs this without it")
	}
	tools := browserTools(t)
	w := openWindow(t)
	messages := listen(t, w.broker)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "node", "page.mjs", w.base, w.adminPassword, w.viewerPassword, inJSON(edges()))
	cmd.Dir = tools
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	heard := hearDetections(ctx, messages)
	var frames []observation
	var outlines []outline
	done := false
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 4<<20)
	for lines.Scan() {
		var said struct {
			Fail     string
			Detail   any
			Observed *observation
			Outlines []outline
			Done     bool
			YAML     string
			Cameras  []struct {
				Zones map[string]struct{ Polygon [][2]float64 }
			}
		}
		if err := json.Unmarshal(lines.Bytes(), &said); err != nil {
			t.Fatalf("%v in %s", err, lines.Text())
		}
		switch {
		case said.Fail != "":
			t.Errorf("%s: %v", said.Fail, said.Detail)
		case said.Observed != nil:
			frames = append(frames, *said.Observed)
		case said.Outlines != nil:
			outlines = said.Outlines
		case said.YAML != "":
			pastes(t, w, said.YAML)
		case said.Cameras != nil:
			compareZone(t, said.Cameras[0].Zones["drive"].Polygon)
		default:
			t.Log(lines.Text())
		}
		done = done || said.Done
	}
	if err := cmd.Wait(); err != nil || !done {
		t.Errorf("the browser's part has ended early: %v", err)
	}
	compareBoxes(t, frames, heard())
	compareOutlines(t, outlines)
	shown, stderr, code := said(t, "config", "show", w.config)
	if code != 0 || !strings.Contains(shown, "drive:") {
		t.Errorf("the zone is not in the configuration:\n%s%s", shown, stderr)
	}
}

// detected is what a subscriber reads of a frame.
type detected struct {
	Label string
	Box   [4]float64
}

// hearDetections collects detections messages by their sequence number, until ctx ends.
func hearDetections(ctx context.Context, lines <-chan string) func() map[uint32][]detected {
	var mu sync.Mutex
	heard := map[uint32][]detected{}
	go func() {
		for {
			select {
			case line := <-lines:
				topic, text, _ := strings.Cut(line, " ")
				var m struct {
					Sequence   uint32
					Detections []detected
				}
				if !strings.HasSuffix(topic, "/detections") || json.Unmarshal([]byte(text), &m) != nil {
					continue
				}
				mu.Lock()
				heard[m.Sequence] = m.Detections
				mu.Unlock()
			case <-ctx.Done():
				return
			}
		}
	}()
	return func() map[uint32][]detected {
		mu.Lock()
		defer mu.Unlock()
		return maps.Clone(heard) // more may come
	}
}

// compareBoxes holds what was drawn to the message of the same frame, and to what the scene has in it.
func compareBoxes(t *testing.T, frames []observation, heard map[uint32][]detected) {
	t.Helper()
	s, err := scene.New(capture.DefaultScene())
	if err != nil {
		t.Fatal(err)
	}
	compared := 0
	for _, frame := range frames {
		message, ok := heard[frame.Sequence]
		if !ok {
			t.Errorf("frame %d was shown, and no message tells of it", frame.Sequence)
			continue
		}
		for _, drawn := range frame.Boxes {
			var said []detected
			for _, d := range message {
				if d.Label == drawn.Label {
					said = append(said, d)
				}
			}
			if len(said) != 1 { // two boxes of a colour: their lines are not told apart
				continue
			}
			compared++
			for i, v := range drawn.Box {
				if math.Abs(v-said[0].Box[i]) > 0.01 {
					t.Errorf("frame %d: the %s is drawn at %.3f, and the message says %.3f", frame.Sequence, drawn.Label, drawn.Box, said[0].Box)
					break
				}
			}
			for _, truth := range s.Truth(frame.Sequence) {
				if truth.Label != drawn.Label {
					continue
				}
				box := infer.Box{X1: float32(drawn.Box[0]), Y1: float32(drawn.Box[1]), X2: float32(drawn.Box[2]), Y2: float32(drawn.Box[3])}
				if iou := box.IoU(infer.Box{X1: truth.X1, Y1: truth.Y1, X2: truth.X2, Y2: truth.Y2}); iou < 0.5 {
					t.Errorf("frame %d: the %s that is drawn overlaps the real one by %.2f", frame.Sequence, drawn.Label, iou)
				}
			}
			if text := drawn.Text; text.Rows < 14 || text.Dark < 0.04 || text.Dark > 0.6 {
				t.Errorf("frame %d: the label of the %s is %.0f pixels high and to %.0f%% dark", frame.Sequence, drawn.Label, text.Rows, 100*text.Dark)
			}
		}
	}
	if compared < 6 {
		t.Errorf("only %d boxes of %d frames could be compared", compared, len(frames))
	}
	t.Logf("%d boxes of %d frames compared", compared, len(frames))
}

// pastes takes the page's YAML into a configuration of one's own.
func pastes(t *testing.T, w window, yaml string) {
	t.Helper()
	whole := strings.Replace(yaml, "# … its source and the rest stay as they are", "source: {scene: {}}", 1)
	if _, stderr, code := said(t, "config", "check", configFile(t, whole)); code != 0 {
		t.Errorf("the page's YAML is refused: %s\n%s", stderr, whole)
	}
}

// compareZone knows where page.mjs has clicked, and that it has moved the third corner by the keyboard.
func compareZone(t *testing.T, polygon [][2]float64) {
	t.Helper()
	want := [][2]float64{{0.2, 0.2}, {0.8, 0.2}, {0.75, 0.9}, {0.2, 0.9}}
	if len(polygon) != len(want) {
		t.Errorf("the zone is %v", polygon)
		return
	}
	for i, p := range polygon {
		if math.Abs(p[0]-want[i][0]) > 0.005 || math.Abs(p[1]-want[i][1]) > 0.005 {
			t.Errorf("the zone is %v, want %v", polygon, want)
			return
		}
	}
}

// TestNewMasksHideOldPictures draws a mask while there are pictures of events.
func TestNewMasksHideOldPictures(t *testing.T) {
	w := openWindow(t)
	ask := func(method, path, token, body string) (int, []byte) {
		t.Helper()
		request, err := http.NewRequestWithContext(t.Context(), method, w.base+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Authorization", "Bearer "+token)
		request.Header.Set("Content-Type", "application/json")
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		text, err := io.ReadAll(response.Body)
		if err != nil {
			t.Fatal(err)
		}
		return response.StatusCode, text
	}
	var snapshot string
	for deadline := time.Now().Add(3 * time.Minute); snapshot == ""; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("no event has a picture")
		}
		var page struct{ Events []struct{ Snapshot string } }
		if _, text := ask("GET", "/api/v1/events", w.viewerToken, ""); json.Unmarshal(text, &page) != nil {
			t.Fatalf("%s", text)
		}
		for _, e := range page.Events {
			snapshot = e.Snapshot
		}
	}
	if status, picture := ask("GET", snapshot, w.viewerToken, ""); status != 200 || !bytes.HasPrefix(picture, []byte("\xff\xd8\xff")) {
		t.Fatalf("%s: %d, %d bytes", snapshot, status, len(picture))
	}
	if status, text := ask("PUT", "/api/v1/cameras/yard/regions", w.adminToken, `{"masks":[[[0,0],[1,0],[1,1],[0,1]]]}`); status != 204 {
		t.Fatalf("%d %s", status, text)
	}
	if status, picture := ask("GET", snapshot, w.viewerToken, ""); status != 404 {
		t.Errorf("what a mask hides is still shown: %d, %d bytes", status, len(picture))
	}
}

// TestCurlExamples runs what docs/WEB.md shows.
func TestCurlExamples(t *testing.T) {
	if _, err := exec.LookPath("curl"); err != nil {
		t.Skip("the examples are not run, as there is no curl: apt-get install curl")
	}
	text, err := os.ReadFile("../../docs/WEB.md")
	if err != nil {
		t.Fatal(err)
	}
	w := openWindow(t)
	eventually(t, w.base+"/healthz", func(status int, _ string) bool { return status == 200 })
	ran := 0
	for _, block := range strings.Split(string(text), "<!-- run by test/web -->\n```sh\n")[1:] {
		block, _, _ = strings.Cut(block, "```")
		for _, command := range strings.Split(strings.ReplaceAll(block, "\\\n", " "), "\n") {
			if strings.TrimSpace(command) == "" {
				continue
			}
			ran++
			// The service here asks for a token for looking, too.
			if !strings.Contains(command, "TOKEN") {
				command = strings.Replace(command, "curl ", `curl -H "Authorization: Bearer $TOKEN" `, 1)
			}
			command = strings.ReplaceAll(command, "http://127.0.0.1:8642", w.base)
			cmd := exec.CommandContext(t.Context(), "sh", "-c", command)
			cmd.Dir = t.TempDir()
			cmd.Env = append(os.Environ(), "TOKEN="+w.viewerToken, "ADMIN_TOKEN="+w.adminToken)
			out, err := cmd.CombinedOutput()
			const timedOut = 28 // what a stream ends with, as --max-time says
			if err != nil && (!strings.Contains(command, "--max-time") || cmd.ProcessState.ExitCode() != timedOut) {
				t.Errorf("%s: %v\n%s", command, err, out)
			}
			for _, name := range []string{"yard.jpg", "yard.mjpeg"} {
				if !strings.Contains(command, "-o "+name) {
					continue
				}
				if picture, err := os.ReadFile(filepath.Join(cmd.Dir, name)); err != nil || !strings.Contains(string(picture), "\xff\xd8\xff") {
					t.Errorf("%s: %d bytes are no picture: %v", command, len(picture), err)
				}
			}
		}
	}
	if ran < 10 {
		t.Errorf("%d examples found", ran)
	}
}
