package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"vedette/cmd/vedette/internal/doctor"
)

// within is far beyond what anything here takes on a quiet machine.
const within = 3 * time.Minute

// freeAddress is one that nobody has at the moment.
func freeAddress(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

// get gives an answer's status and body; status 0 where there is none.
func get(t *testing.T, url string) (int, string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, err.Error()
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return 0, err.Error()
	}
	return response.StatusCode, string(body)
}

// eventually asks until the answer is good.
func eventually(t *testing.T, url string, good func(status int, body string) bool) string {
	t.Helper()
	for deadline := time.Now().Add(within); ; {
		status, body := get(t, url)
		if good(status, body) {
			return body
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s still says %d: %s", url, status, body)
		}
		select {
		case <-time.After(20 * time.Millisecond): // leaves the machine to the service
		case <-t.Context().Done():
		}
	}
}

// scrape is what Prometheus would take in.
type scrape map[string]*dto.MetricFamily

func scraped(t *testing.T, address string) scrape {
	t.Helper()
	status, body := get(t, "http://"+address+"/metrics")
	if status != http.StatusOK {
		t.Fatalf("%d: %s", status, body)
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(body))
	if err != nil {
		t.Fatalf("%v in\n%s", err, body)
	}
	return families
}

// value gives a sample's value: of the one that has these labels, given as name, value, name, value, …
func (s scrape) value(t *testing.T, name string, labels ...string) float64 {
	t.Helper()
	for _, m := range s[name].GetMetric() {
		has := map[string]string{}
		for _, pair := range m.GetLabel() {
			has[pair.GetName()] = pair.GetValue()
		}
		matches := true
		for i := 0; i < len(labels); i += 2 {
			matches = matches && has[labels[i]] == labels[i+1]
		}
		switch {
		case !matches:
		case m.Counter != nil:
			return m.GetCounter().GetValue()
		case m.Gauge != nil:
			return m.GetGauge().GetValue()
		case m.Histogram != nil:
			return float64(m.GetHistogram().GetSampleCount())
		}
	}
	t.Errorf("no sample %s %v", name, labels)
	return -1
}

// state is what the test reads of the state document.
type state struct {
	Workers []struct {
		Name, State, Provider string
		Generation, Restarts  float64
		PID                   int
		Model                 struct{ SHA256 string }
		LastFault             *struct{ Kind string } `json:"last_fault"`
	}
	Cameras map[string]struct {
		State string
		Drops map[string]float64
	}
	Degraded []degradation
}

type degradation struct{ What, Why, Remedy string }

// heard is what a subscriber knows of a run.
type heard struct {
	messages int
	frames   map[string]int            // by camera
	labels   map[string]map[string]int // by camera and label
	state    state
}

// listenUntil takes messages in until good says that there are enough.
func (h *heard) listenUntil(t *testing.T, lines <-chan string, good func() bool) {
	t.Helper()
	if h.frames == nil {
		h.frames, h.labels = map[string]int{}, map[string]map[string]int{}
	}
	for timeout := time.After(within); !good(); {
		select {
		case line := <-lines:
			h.take(t, line)
		case <-timeout:
			t.Fatalf("not enough was heard: %+v", h)
		}
	}
}

func (h *heard) take(t *testing.T, line string) {
	t.Helper()
	topic, payload, _ := strings.Cut(line, " ")
	parts := strings.Split(topic, "/")
	if parts[0] != "vedette" {
		return
	}
	h.messages++
	switch {
	case topic == "vedette/test/state":
		h.state = state{}
		if err := json.Unmarshal([]byte(payload), &h.state); err != nil {
			t.Fatalf("%v in %s", err, payload)
		}
	case len(parts) == 4 && parts[3] == "detections":
		var m message
		if err := json.Unmarshal([]byte(payload), &m); err != nil {
			t.Fatalf("%v in %s", err, payload)
		}
		camera := parts[2]
		h.frames[camera]++
		if h.labels[camera] == nil {
			h.labels[camera] = map[string]int{}
		}
		for _, d := range m.Detections {
			h.labels[camera][d.Label]++
		}
	}
}

// TestMetricsAgreeWithWhatIsPublished runs two cameras: a film of a few frames, whose counters have come to rest once the
// last message is there, and a scene that goes on. Then the worker is killed.
func TestMetricsAgreeWithWhatIsPublished(t *testing.T) {
	const film = 12 // frames
	if _, err := exec.LookPath("ffmpeg"); err != nil {
		t.Skip("ffmpeg is not installed")
	}
	broker := mosquitto(t)
	lines := listen(t, broker)
	address := freeAddress(t)
	config := configFile(t, fmt.Sprintf(`
device: test
cameras:
  - name: film
    rate: 0
    source:
      command:
        argv: [ffmpeg, -loglevel, error, -loop, "1", -i, ../../capture/scene/photographs/astronaut.jpg, -frames:v, "%d",
               -vf, "scale=640:480", -f, rawvideo, -pix_fmt, bgr24, "-"]
        format: bgr24
        size: 640x480
        rate: 10
        lossless: true
  - name: yard
    rate: 2
    source: {scene: {size: 320x180}}
mqtt: {brokers: ["tcp://127.0.0.1:%s"]}
web: {listen: "%s"}
`, film, broker, address))
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	cmd := vedette(ctx, t, "run", "--config", config)
	var log strings.Builder
	cmd.Stderr = &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := false
	defer func() {
		if !ended {
			cancel()
			_ = cmd.Wait()
		}
		if t.Failed() {
			t.Log(&log)
		}
	}()

	eventually(t, "http://"+address+"/healthz", func(status int, body string) bool {
		return status == http.StatusOK && body == "alive\n"
	})
	// A film that has ended is no camera that works: the same as `vedette health` says.
	eventually(t, "http://"+address+"/readyz", func(status int, body string) bool {
		return status == http.StatusServiceUnavailable && strings.HasPrefix(body, "not ready: camera film is disabled")
	})

	var h heard
	h.listenUntil(t, lines, func() bool {
		// A camera is disabled before its start as well as after its end: the worker's state tells which.
		return h.frames["film"] == film && h.frames["yard"] > 1 && h.state.Cameras["film"].State == "disabled" &&
			h.state.Workers[0].State == "ready"
	})
	s := scraped(t, address)
	if got := s.value(t, "vedette_camera_frames_total", "camera", "film"); got != film {
		t.Errorf("%v frames of the film were captured, want %d", got, film)
	}
	if h.labels["film"]["person"] < film {
		t.Errorf("labels in the film: %v", h.labels["film"])
	}
	for _, m := range s["vedette_detections_total"].GetMetric() {
		camera, label := m.GetLabel()[0].GetValue(), m.GetLabel()[1].GetValue()
		if want := h.labels["film"][label]; camera == "film" && m.GetCounter().GetValue() != float64(want) {
			t.Errorf("%v times %s in the metrics, %d times in the messages", m.GetCounter().GetValue(), label, want)
		}
	}
	for cause, n := range h.state.Cameras["film"].Drops {
		if got := s.value(t, "vedette_camera_frames_dropped_total", "camera", "film", "cause", cause); got != n {
			t.Errorf("%v frames of the film dropped by %s in the metrics, %v in the state", got, cause, n)
		}
	}
	if got := s.value(t, "vedette_camera_state", "camera", "film", "state", "disabled"); got != 1 {
		t.Errorf("the film's state disabled is %v", got)
	}
	worker := h.state.Workers[0]
	s.value(t, "vedette_model_info", "sha256", worker.Model.SHA256, "provider", worker.Provider)
	published := s.value(t, "vedette_mqtt_messages_published_total")
	if published+1 < float64(h.messages) { // one may be heard before it is counted
		t.Errorf("%v messages published, and %d were heard", published, h.messages)
	}
	// The parts are read at the same time, not at the same moment: the yard goes on.
	results := s.value(t, "vedette_inference_frames_total", "outcome", "result")
	if timed := s.value(t, "vedette_inference_duration_seconds", "stage", "infer"); timed < film+2 || timed > results+2 {
		t.Errorf("%v frames were timed, %v have results", timed, results)
	}
	if got := s.value(t, "vedette_worker_resident_memory_bytes", "worker", worker.Name); got < 10<<20 {
		t.Errorf("the worker has %v bytes", got)
	}
	s.value(t, "process_resident_memory_bytes")
	s.value(t, "go_goroutines")

	if worker.PID <= 1 { // 0 would be this test itself
		t.Fatalf("the worker's process is not told: %+v", h.state)
	}
	if err := syscall.Kill(worker.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	h.listenUntil(t, lines, func() bool {
		w := h.state.Workers[0]
		return w.Restarts == 1 && w.State == "ready"
	})
	s, worker = scraped(t, address), h.state.Workers[0]
	for name, want := range map[string]float64{
		"vedette_worker_restarts_total": worker.Restarts,
		"vedette_worker_generation":     worker.Generation,
	} {
		if got := s.value(t, name, "worker", worker.Name); got != want {
			t.Errorf("%s is %v, the state says %v", name, got, want)
		}
	}
	if got := s.value(t, "vedette_worker_faults_total", "worker", worker.Name, "kind", worker.LastFault.Kind); got != 1 {
		t.Errorf("%v faults of kind %s", got, worker.LastFault.Kind)
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	ended = true
	if err := cmd.Wait(); err != nil {
		t.Errorf("%v", err)
	}
}

// TestTakenPortDegrades holds the port that the service wants: it goes on, and says so in its state and to the doctor.
func TestTakenPortDegrades(t *testing.T) {
	broker := mosquitto(t)
	lines := listen(t, broker)
	other, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	config := configFile(t, fmt.Sprintf(`
device: test
cameras: [{name: yard, rate: 2, source: {scene: {size: 320x180}}}]
mqtt: {brokers: ["tcp://127.0.0.1:%s"]}
web: {listen: "%s"}
`, broker, other.Addr()))
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	cmd := vedette(ctx, t, "run", "--config", config)
	var log strings.Builder
	cmd.Stderr = &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var h heard
	web := func() int { // other parts may be degraded too, on this machine
		return slices.IndexFunc(h.state.Degraded, func(d degradation) bool { return d.What == "web" })
	}
	h.listenUntil(t, lines, func() bool { return h.frames["yard"] > 0 && web() >= 0 })
	d := h.state.Degraded[web()]
	if !strings.Contains(d.Why, "address already in use") || !strings.Contains(d.Remedy, "web.listen") {
		t.Errorf("%+v", d)
	}

	verdict := func() doctor.Check {
		var report doctor.Report
		stdout, stderr, code := said(t, "doctor", "--json", "--config", config)
		if err := json.Unmarshal([]byte(stdout), &report); err != nil {
			t.Fatalf("exit code %d, %v: %s%s", code, err, stdout, stderr)
		}
		for _, c := range report.Checks {
			if c.Name == "web page and metrics" {
				return c
			}
		}
		t.Fatalf("doctor does not look at the port: %s", stdout)
		return doctor.Check{}
	}
	// Who holds the port does not answer, which doctor does not wait for long.
	if c := verdict(); c.Verdict != doctor.Missing || !strings.Contains(c.Remedy, "web.listen") {
		t.Errorf("while another program has the port: %+v", c)
	}
	address := other.Addr().String()
	_ = other.Close()
	h.listenUntil(t, lines, func() bool { return web() < 0 })
	if status, body := get(t, "http://"+address+"/readyz"); status != http.StatusOK || body != "ready\n" {
		t.Errorf("%d %s", status, body)
	}
	if c := verdict(); c.Verdict != doctor.Good || !strings.Contains(c.Found, "are served") {
		t.Errorf("while the service has the port: %+v", c)
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("%v", err)
	}
	if n := strings.Count(log.String(), "address already in use"); n != 1 {
		t.Errorf("it is told %d times:\n%s", n, &log)
	}
}
