package metrics

import (
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"

	"vedette/capture"
	"vedette/cmd/vedette/internal/bestview"
	"vedette/cmd/vedette/internal/lives"
	"vedette/infer"
	"vedette/infer/client"
	"vedette/infer/wire"
	"vedette/mqtt"
	"vedette/mqtt/payload"
	"vedette/supervisor"
)

var update = flag.Bool("update", false, "write docs/METRICS.md's table anew")

const docs = "../../../../docs/"

// sample is a service with everything that is shown at all.
func sample() (Snapshot, *Recorder) {
	age, temperature := 0.25, 61.5
	s := Snapshot{
		State: payload.State{
			Clock: payload.Synced,
			Cameras: map[string]payload.Camera{
				"yard": {
					State: string(capture.Streaming), LastFrameAge: &age,
					Drops: map[string]uint64{string(capture.DropRate): 7},
				},
				"gate": {State: string(capture.Lost)},
			},
			Degraded:  []payload.Degradation{{What: "camera gate", Why: "no such device", Remedy: "plug it in"}},
			Resources: payload.Resources{Temperature: &temperature},
		},
		Frames:   map[string]uint64{"yard": 12, "gate": 0},
		Resident: map[string]int64{"infer-worker": 1 << 20},
		Client: client.Stats{
			Results: 5, Runs: 3, Damaged: 1, InFlight: 2, Copy: 1500 * time.Millisecond,
			Rejected: map[wire.Reason]uint64{wire.StaleGeneration: 3},
		},
		MQTT: mqtt.Status{Connected: true, Published: 9, Dropped: 4, Queued: 8},
		Best: bestview.Stats{Published: 2, Dropped: map[string]uint64{bestview.ByRate: 3, bestview.ByMemory: 0, bestview.BySize: 1, bestview.ByFailed: 0}},
		Open: lives.Stats{Written: 700, Syncs: 6},
		May:  []string{"web", "camera yard", "camera gate", "worker infer-worker"},
	}
	s.State.Worker = payload.Worker{
		Name: "infer-worker", State: string(supervisor.Ready), Generation: 2, Restarts: 1, Provider: "cpu", Runtime: "1.2", Nodes: map[string]int{"cpu": 266},
		Model: &payload.Model{Name: "coco", SHA256: "ab", Family: "centernet"},
	}
	s.State.Workers = []payload.Worker{s.State.Worker}
	r := NewRecorder()
	r.Worker("infer-worker")
	r.Fault(supervisor.Fault{Process: "infer-worker", Kind: supervisor.KindSignal})
	r.Crossing("yard", "doorstep", "in", "person")
	r.Camera("yard").Result(
		&infer.Model{SHA256: "ab", Labels: []string{"person", "cup"}}, []infer.Detection{{Class: 1}, {Class: 1}, {Class: 7}},
		infer.Timings{Queue: time.Millisecond, Total: 40 * time.Millisecond},
	)
	return s, r
}

func gatherSample(t *testing.T) []*dto.MetricFamily {
	t.Helper()
	s, r := sample()
	return gather(t, s, r)
}

func gather(t *testing.T, s Snapshot, r *Recorder) []*dto.MetricFamily {
	t.Helper()
	families, err := NewRegistry("1.0", func() Snapshot { return s }, r).Gather()
	if err != nil {
		t.Fatal(err)
	}
	return families
}

// exposition is what a scrape sees of Vedette's own metrics.
func exposition(t *testing.T, families []*dto.MetricFamily) string {
	t.Helper()
	var text strings.Builder
	for _, family := range families {
		if own(family.GetName()) {
			if _, err := expfmt.MetricFamilyToText(&text, family); err != nil {
				t.Fatal(err)
			}
		}
	}
	return text.String()
}

func own(name string) bool { return strings.HasPrefix(name, "vedette_") }

func TestWhatIsShown(t *testing.T) {
	text := exposition(t, gatherSample(t))
	for _, line := range []string{
		`vedette_camera_state{camera="yard",state="streaming"} 1`,
		`vedette_camera_state{camera="yard",state="lost"} 0`,
		`vedette_camera_state{camera="gate",state="lost"} 1`,
		`vedette_camera_frames_total{camera="yard"} 12`,
		`vedette_camera_frames_dropped_total{camera="yard",cause="rate"} 7`,
		`vedette_camera_last_frame_age_seconds{camera="yard"} 0.25`,
		`vedette_detections_total{camera="yard",label="person"} 0`,
		`vedette_detections_total{camera="yard",label="cup"} 2`,
		`vedette_detections_total{camera="yard",label="other"} 1`,
		`vedette_inference_duration_seconds_bucket{stage="total",le="0.025"} 0`,
		`vedette_inference_duration_seconds_bucket{stage="total",le="0.05"} 1`,
		`vedette_inference_duration_seconds_sum{stage="queue"} 0.001`,
		`vedette_inference_frames_total{outcome="result"} 5`,
		`vedette_inference_frames_total{outcome="failed"} 0`,
		`vedette_inference_frames_in_flight 2`,
		`vedette_inference_runs_total 3`,
		`vedette_ring_copy_seconds_total 1.5`,
		`vedette_worker_state{state="ready",worker="infer-worker"} 1`,
		`vedette_worker_state{state="unreapable",worker="infer-worker"} 0`,
		`vedette_worker_generation{worker="infer-worker"} 2`,
		`vedette_worker_restarts_total{worker="infer-worker"} 1`,
		`vedette_worker_resident_memory_bytes{worker="infer-worker"} 1.048576e+06`,
		`vedette_worker_faults_total{kind="signal",worker="infer-worker"} 1`,
		`vedette_worker_messages_rejected_total{reason="stale_generation"} 3`,
		`vedette_worker_messages_rejected_total{reason="truncated"} 0`,
		`vedette_open_objects_written_bytes_total 700`,
		`vedette_open_objects_syncs_total 6`,
		`vedette_mqtt_connected 1`,
		`vedette_mqtt_messages_published_total 9`,
		`vedette_mqtt_messages_dropped_total 4`,
		`vedette_mqtt_queue_length 8`,
		`vedette_degraded{what="camera gate"} 1`,
		`vedette_degraded{what="camera yard"} 0`,
		`vedette_degraded{what="web"} 0`,
		`vedette_clock_synced 1`,
		`vedette_temperature_celsius 61.5`,
		`vedette_model_info{family="centernet",name="coco",provider="cpu",runtime="1.2",sha256="ab"} 1`,
	} {
		if !strings.Contains(text, line+"\n") {
			t.Errorf("no line %s", line)
		}
	}
	if t.Failed() {
		t.Log(text)
	}
	for word, n := range map[string]int{
		`vedette_camera_frames_dropped_total{camera="gate",`: len(capture.DropCauses()),
		`vedette_worker_faults_total{`:                       len(supervisor.Kinds()),
		`vedette_worker_state{`:                              len(supervisor.States()),
		`vedette_worker_messages_rejected_total{`:            len(wire.Reasons()),
	} {
		if got := strings.Count(text, word); got != n {
			t.Errorf("%d lines %s…}, want %d: each is there from the start", got, word, n)
		}
	}
}

// What a model or a worker says must not be able to break a scrape, let alone the service.
func TestOddWords(t *testing.T) {
	s, r := sample()
	s.State.Worker.Model.Name, s.State.Worker.Provider = "bad\xff", "\n\"{}"
	r.Fault(supervisor.Fault{Process: "infer-worker", Kind: "tantrum"})
	labels := []string{"\xfe", "a\nb", `"`, "", "other"}
	for i := range 5 * maxLabels {
		labels = append(labels, fmt.Sprint(i))
	}
	camera := r.Camera("gate")
	for _, class := range []int{-1, 0, 3, len(labels) - 1, len(labels), 1 << 30} {
		camera.Result(&infer.Model{SHA256: "cd", Labels: labels}, []infer.Detection{{Class: class}}, infer.Timings{Total: -1})
	}
	camera.Result(&infer.Model{SHA256: "ef", Labels: []string{"still", "more"}}, []infer.Detection{{Class: 1}}, infer.Timings{})
	text := exposition(t, gather(t, s, r))
	for _, want := range []string{
		`vedette_worker_faults_total{kind="protocol",worker="infer-worker"} 1`,
		`vedette_detections_total{camera="gate",label="other"} 5`,
		`vedette_detections_total{camera="gate",label="` + "\uFFFD" + `"} 1`,
	} {
		if !strings.Contains(text, want+"\n") {
			t.Errorf("no line %s", want)
		}
	}
	if got := strings.Count(text, `vedette_detections_total{camera="gate"`); got > maxLabels+1 {
		t.Errorf("%d labels of one camera, and %d are the most", got, maxLabels)
	}
}

func TestNamesFollowTheConventions(t *testing.T) {
	families := gatherSample(t)
	problems, err := promlint.NewWithMetricFamilies(families).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		if own(p.Metric) {
			t.Errorf("%s: %s", p.Metric, p.Text)
		}
	}
	program, err := exec.LookPath("promtool")
	if err != nil {
		t.Skip("promtool (Debian's prometheus) is not installed: only promlint has looked")
	}
	cmd := exec.Command(program, "check", "metrics")
	cmd.Stdin = strings.NewReader(exposition(t, families))
	if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("%v: %s", err, out)
	}
}

// What is described and what is shown agree, whatever there is to show: a pedantic registry looks.
func TestEachMetricIsDescribed(t *testing.T) {
	s, r := sample()
	for name, snapshot := range map[string]Snapshot{"full": s, "empty": {}} {
		registry := prometheus.NewPedanticRegistry()
		registry.MustRegister(newCollector("1.0", func() Snapshot { return snapshot }), r)
		if _, err := registry.Gather(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestRecordingAllocatesNothing(t *testing.T) {
	camera, model, detections := busy()
	timings := infer.Timings{Queue: 1, Preprocess: 2e6, Infer: 3e7, Decode: 4e5, Total: 4e7}
	camera.Result(model, detections, timings)
	if n := testing.AllocsPerRun(1000, func() { camera.Result(model, detections, timings) }); n != 0 {
		t.Errorf("%v allocations for a frame", n)
	}
}

func BenchmarkResult(b *testing.B) {
	camera, model, detections := busy()
	timings := infer.Timings{Queue: 1, Preprocess: 2e6, Infer: 3e7, Decode: 4e5, Total: 4e7}
	b.ReportAllocs()
	for b.Loop() {
		camera.Result(model, detections, timings)
	}
}

func BenchmarkScrape(b *testing.B) {
	s, r := sample()
	registry := NewRegistry("1.0", func() Snapshot { return s }, r)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := registry.Gather(); err != nil {
			b.Fatal(err)
		}
	}
}

// busy is a camera with a model of COCO's size and a frame with 20 objects.
func busy() (*Camera, *infer.Model, []infer.Detection) {
	model := &infer.Model{SHA256: "ab"}
	for i := range 80 {
		model.Labels = append(model.Labels, fmt.Sprintf("label %d", i))
	}
	var detections []infer.Detection
	for i := range 20 {
		detections = append(detections, infer.Detection{Class: 4 * i})
	}
	return NewRecorder().Camera("yard"), model, detections
}

const (
	tableBegin = "<!-- made by: go test ./cmd/vedette/internal/metrics -update -->\n"
	tableEnd   = "<!-- end -->\n"
)

// docs/METRICS.md has each metric, as the registry describes it.
func TestMetricsAreDocumented(t *testing.T) {
	path := docs + "METRICS.md"
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(text), tableBegin)
	_, after, ok2 := strings.Cut(rest, tableEnd)
	if !ok || !ok2 {
		t.Fatalf("%s has no table between %q and %q", path, tableBegin, tableEnd)
	}
	want := before + tableBegin + table(gatherSample(t)) + tableEnd + after
	if *update {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if string(text) != want {
		t.Errorf("%s is not what the registry says: go test ./cmd/vedette/internal/metrics -update", path)
	}
}

func table(families []*dto.MetricFamily) string {
	var out strings.Builder
	out.WriteString("| metric | type | labels | meaning |\n| --- | --- | --- | --- |\n")
	for _, f := range families {
		if !own(f.GetName()) {
			continue
		}
		var labels []string
		for _, pair := range f.GetMetric()[0].GetLabel() {
			labels = append(labels, "`"+pair.GetName()+"`")
		}
		fmt.Fprintf(&out, "| `%s` | %s | %s | %s |\n", f.GetName(), strings.ToLower(f.GetType().String()),
			strings.Join(labels, ", "), strings.ReplaceAll(f.GetHelp(), `"`, "`"))
	}
	return out.String()
}

// The dashboard and the alerts ask for nothing that is not there.
func TestDashboardAndRulesNameWhatExists(t *testing.T) {
	exists := map[string]bool{}
	for _, f := range gatherSample(t) {
		exists[f.GetName()] = true
		if f.GetType() == dto.MetricType_HISTOGRAM {
			for _, suffix := range []string{"_bucket", "_sum", "_count"} {
				exists[f.GetName()+suffix] = true
			}
		}
	}
	names := regexp.MustCompile(`\b(vedette|process|go)_[a-z_]+`)
	for _, file := range []string{"grafana/vedette.json", "prometheus/vedette.rules.yml", "prometheus/vedette.test.yml"} {
		text, err := os.ReadFile(docs + file)
		if err != nil {
			t.Fatal(err)
		}
		found := map[string]bool{}
		for _, name := range names.FindAllString(string(text), -1) {
			found[name] = true
			if !exists[name] {
				t.Errorf("%s asks for %s, which is not exported", file, name)
			}
		}
		t.Logf("%s: %v", file, slices.Sorted(maps.Keys(found)))
		if len(found) < 5 {
			t.Errorf("%s: only %d metrics were found: is it read at all?", file, len(found))
		}
	}
}

// dashboard is what the tests look at of a Grafana dashboard.
type dashboard struct {
	SchemaVersion int
	Templating    struct {
		List []struct{ Name, Type, Query any }
	}
	Panels []struct {
		ID          int
		Title, Type string
		Description string
		Datasource  struct{ UID string }
		Targets     []struct {
			Expr       string
			Datasource struct{ UID string }
		}
	}
}

func readDashboard(t *testing.T) dashboard {
	t.Helper()
	text, err := os.ReadFile(docs + "grafana/vedette.json")
	if err != nil {
		t.Fatal(err)
	}
	var d dashboard
	if err := json.Unmarshal(text, &d); err != nil {
		t.Fatal(err)
	}
	return d
}

// Nobody's data source is built in, and each panel says what it shows.
func TestDashboardCanBeImported(t *testing.T) {
	d := readDashboard(t)
	if d.SchemaVersion < 39 || len(d.Templating.List) == 0 || d.Templating.List[0].Type != "datasource" {
		t.Errorf("schema version %d, variables %v", d.SchemaVersion, d.Templating.List)
	}
	seen := map[int]bool{}
	for _, panel := range d.Panels {
		if seen[panel.ID] {
			t.Errorf("panel %q has the id of another", panel.Title)
		}
		seen[panel.ID] = true
		if panel.Type == "row" {
			continue
		}
		if len(panel.Targets) == 0 || panel.Description == "" || panel.Datasource.UID != "${datasource}" {
			t.Errorf("panel %q: %+v", panel.Title, panel)
		}
		for _, target := range panel.Targets {
			if target.Datasource.UID != "${datasource}" {
				t.Errorf("panel %q asks %q", panel.Title, target.Datasource.UID)
			}
		}
	}
}

func promtool(t *testing.T, args ...string) {
	t.Helper()
	program, err := exec.LookPath("promtool")
	if err != nil {
		t.Skip("promtool (Debian's prometheus) is not installed")
	}
	if out, err := exec.Command(program, args...).CombinedOutput(); err != nil {
		t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

func TestPromtoolAcceptsTheRules(t *testing.T) {
	promtool(t, "check", "rules", "--lint-fatal", docs+"prometheus/vedette.rules.yml")
	promtool(t, "test", "rules", docs+"prometheus/vedette.test.yml")
}

// Grafana fills its variables in and asks Prometheus: with values in their place each query has to parse.
func TestPromtoolAcceptsTheDashboardsQueries(t *testing.T) {
	values := strings.NewReplacer("$__rate_interval", "1m", "$instance", ".*", "$camera", ".*")
	var rules strings.Builder
	rules.WriteString("groups:\n- name: dashboard\n  rules:\n")
	queries := 0
	for _, panel := range readDashboard(t).Panels {
		for _, target := range panel.Targets {
			fmt.Fprintf(&rules, "  - {record: 'q%d', expr: %q}\n", queries, values.Replace(target.Expr))
			queries++
		}
	}
	if queries == 0 {
		t.Fatal("the dashboard asks nothing")
	}
	path := filepath.Join(t.TempDir(), "dashboard.yml")
	if err := os.WriteFile(path, []byte(rules.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	promtool(t, "check", "rules", path)
}

func TestCrossingsAreBounded(t *testing.T) {
	r := NewRecorder()
	for i := range maxCrossings + 10 {
		r.Crossing("yard", "doorstep", "in", fmt.Sprint("label ", i))
		r.Crossing("yard", "doorstep", "in", "label 0")
	}
	series := 0
	for _, family := range gather(t, Snapshot{}, r) {
		if family.GetName() == "vedette_line_crossings_total" {
			series = len(family.GetMetric())
		}
	}
	if series != maxCrossings+1 {
		t.Errorf("%d series", series)
	}
}
