package command

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"vedette/mqtt"
	"vedette/mqtt/payload"
	"vedette/mqtt/payload/schematest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// rig is a desk and what it did.
type rig struct {
	t        *testing.T
	desk     *Desk
	in       *schematest.Interface
	clock    Clock
	fails    error
	executed []Request
	answers  []string // topic and message
}

func topics() payload.Topics {
	t, err := payload.NewTopics("vedette/{device}", "test")
	if err != nil {
		panic(err)
	}
	return t
}

var promises = sync.OnceValues(schematest.Load)

func newRig(t *testing.T, file string, allowed ...string) *rig {
	t.Helper()
	in, err := promises()
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, in: in, clock: Clock{Now: time.Now(), Synced: true}}
	r.desk, err = New(Options{
		Topics: topics(), Allowed: allowed, File: file,
		Clock:   func() Clock { return r.clock },
		Execute: func(_ context.Context, q Request) error { r.executed = append(r.executed, q); return r.fails },
		Answer: func(topic string, text []byte) {
			if err := in.Check(topic, text); err != nil {
				t.Error(err)
			}
			r.answers = append(r.answers, topic+" "+string(text))
		},
		Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// send delivers a message as the connection does, and carries out what is queued.
func (r *rig) send(topic, text string, retained bool) {
	r.t.Helper()
	for _, s := range r.desk.Subscriptions() {
		if s.Filter == topic || strings.Contains(s.Filter, "+") && strings.HasPrefix(topic, "vedette/test/command/camera/") {
			s.Handle(mqtt.Received{Topic: topic, Payload: []byte(text), Retained: retained})
			r.work()
			return
		}
	}
	r.t.Fatalf("nobody listens on %s", topic)
}

func (r *rig) work() {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.desk.Run(ctx) }()
	for len(r.desk.queue) > 0 {
		time.Sleep(time.Millisecond) // in synctest's time where there is such
	}
	cancel()
	err := <-done
	r.desk.stopped = false // the next work is of the same life
	if err != nil {
		r.t.Error(err)
	}
}

// last gives the last answer.
func (r *rig) last() payload.Result {
	r.t.Helper()
	if len(r.answers) == 0 {
		r.t.Fatal("no answer")
	}
	_, text, _ := strings.Cut(r.answers[len(r.answers)-1], " ")
	var result payload.Result
	if err := json.Unmarshal([]byte(text), &result); err != nil {
		r.t.Fatal(err)
	}
	return result
}

// bubble runs f in a time of its own.
func bubble(t *testing.T, f func(t *testing.T)) { t.Helper(); synctest.Test(t, f) }

func TestCommandsAreCarriedOutAndAnswered(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, "", Names()...)
		for _, c := range []struct {
			topic, text string
			want        Request
		}{
			{"snapshot", `{"id":"1"}`, Request{Name: Snapshot, ID: "1"}},
			{"snapshot", `{"v":1,"id":"2","args":{"camera":"yard"}}`, Request{Name: Snapshot, ID: "2", Camera: "yard"}},
			{"restart-worker", `{"id":"3","args":{}}`, Request{Name: RestartWorker, ID: "3"}},
			{"camera/yard/enable", `{"id":"4","args":{"enabled":false}}`, Request{Name: Enable, ID: "4", Camera: "yard"}},
			{"camera/yard/enable", `{"id":"5","args":{"enabled":true}}`, Request{Name: Enable, ID: "5", Camera: "yard", Enabled: true}},
			{"threshold", `{"id":"6","args":{"label":"person","value":0.5}}`, Request{Name: Threshold, ID: "6", Label: "person", Value: 0.5}},
			{"reload", `{"id":"a-Z_0.9:"}`, Request{Name: Reload, ID: "a-Z_0.9:"}},
			{"model", `{"id":"7","args":{"url":"https://m.lan/a.bundle","sha256":"` + hash + `"}}`, Request{Name: Model, ID: "7", URL: "https://m.lan/a.bundle", SHA256: hash}},
		} {
			text := []byte(c.text)
			if err := r.in.Check("vedette/test/command/"+c.topic, text); err != nil {
				t.Error(err)
			}
			r.send("vedette/test/command/"+c.topic, c.text, false)
			if got := r.executed[len(r.executed)-1]; got != c.want {
				t.Errorf("%s %s: %+v, want %+v", c.topic, c.text, got, c.want)
			}
			if want := "vedette/test/command/" + c.topic + `/result {"v":1,"id":"` + c.want.ID + `","ok":true}`; r.answers[len(r.answers)-1] != want {
				t.Errorf("answer %s, want %s", r.answers[len(r.answers)-1], want)
			}
		}
		r.fails = errors.New("there is no camera door")
		r.send("vedette/test/command/snapshot", `{"id":"8","args":{"camera":"door"}}`, false)
		if got := r.last(); got.OK || got.Error != "there is no camera door" || got.ID != "8" {
			t.Errorf("answer %+v", got)
		}
		counts := fmt.Sprint(r.desk.Counts())
		if !strings.Contains(counts, "{snapshot failed 1}") || !strings.Contains(counts, "{snapshot ok 2}") {
			t.Errorf("counts %s", counts)
		}
	})
}

func TestWhatIsRefused(t *testing.T) {
	for _, c := range []struct{ name, topic, text, says string }{
		{"nothing", "snapshot", "", "cannot be read"},
		{"no JSON", "snapshot", "ON", "cannot be read"},
		{"an array", "snapshot", "[]", "cannot be read"},
		{"two values", "snapshot", `{"id":"1"}{"id":"2"}`, "something follows"},
		{"another key", "snapshot", `{"id":"1","exec":"rm"}`, "cannot be read"},
		{"another argument", "snapshot", `{"id":"1","args":{"path":"/etc"}}`, "cannot be read"},
		{"a model without a hash", "model", `{"id":"1","args":{"url":"https://m.lan/a"}}`, "args.sha256 is missing"},
		{"a model's hash that is none", "model", `{"id":"1","args":{"url":"https://m.lan/a","sha256":"` + hash[1:] + `x"}}`, "args.sha256"},
		{"a model by plain HTTP", "model", `{"id":"1","args":{"url":"http://m.lan/a","sha256":"` + hash + `"}}`, "no https URL"},
		{"a model from the disk", "model", `{"id":"1","args":{"url":"file:///etc/passwd","sha256":"` + hash + `"}}`, "no https URL"},
		{"a model without a URL", "model", `{"id":"1","args":{"sha256":"` + hash + `"}}`, "args.url is missing"},
		{"an argument of another command", "reload", `{"id":"1","args":{"camera":"a"}}`, "reload has no argument camera"},
		{"no id", "snapshot", `{}`, "needs an id"},
		{"an id with a space", "snapshot", `{"id":"a b"}`, "needs an id"},
		{"a long id", "snapshot", `{"id":"` + strings.Repeat("a", 65) + `"}`, "needs an id"},
		{"another version", "snapshot", `{"v":2,"id":"1"}`, "version 2"},
		{"a path for a camera", "snapshot", `{"id":"1","args":{"camera":"../../etc"}}`, "no camera's name"},
		{"a wrong camera in the topic", "camera/Ü/enable", `{"id":"1","args":{"enabled":true}}`, "no camera's name"},
		{"enable without its argument", "camera/yard/enable", `{"id":"1"}`, "args.enabled is missing"},
		{"a word for a truth", "camera/yard/enable", `{"id":"1","args":{"enabled":"yes"}}`, "cannot be read"},
		{"a threshold of 7", "threshold", `{"id":"1","args":{"label":"a","value":7}}`, "args.value"},
		{"a threshold of nothing", "threshold", `{"id":"1","args":{"value":0.5}}`, "args.label"},
		{"oversized", "snapshot", `{"id":"1","args":{"camera":"` + strings.Repeat("a", MaxSize) + `"}}`, "more than 4096 bytes"},
		{"deep", "snapshot", strings.Repeat("[", MaxSize), "cannot be read"},
		{"not a time", "snapshot", `{"id":"1","expires_at":"tomorrow"}`, "cannot be read"},
	} {
		bubble(t, func(t *testing.T) {
			r := newRig(t, "", Names()...)
			r.send("vedette/test/command/"+c.topic, c.text, false)
			if got := r.last(); got.OK || !strings.Contains(got.Error, c.says) || strings.Contains(got.Error, "\n") {
				t.Errorf("%s: answer %+v, want %q", c.name, got, c.says)
			}
			if len(r.executed) > 0 {
				t.Errorf("%s: carried out: %+v", c.name, r.executed)
			}
		})
	}
}

func TestOnlyWhatTheConfigurationListsIsObeyed(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, "", Snapshot)
		r.send("vedette/test/command/reload", `{"id":"1"}`, false)
		if got := r.last(); got.OK || !strings.Contains(got.Error, "mqtt.commands") || got.ID != "1" || len(r.executed) > 0 {
			t.Errorf("answer %+v", got)
		}
	})
}

func TestRetainedIsNotObeyedAndItsIdStaysFree(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, "", Names()...)
		r.send("vedette/test/command/reload", `{"id":"1"}`, true)
		if got := r.last(); got.OK || !strings.Contains(got.Error, "retained") || len(r.executed) > 0 {
			t.Errorf("answer %+v", got)
		}
		r.send("vedette/test/command/reload", `{"id":"1"}`, false)
		if !r.last().OK || len(r.executed) != 1 {
			t.Errorf("answer %+v", r.last())
		}
	})
}

func TestACommandIsCarriedOutOnceAlsoOverARestart(t *testing.T) {
	bubble(t, func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "commands")
		r := newRig(t, file, Names()...)
		r.send("vedette/test/command/reload", `{"id":"1"}`, false)
		r.fails = errors.New("no")
		r.send("vedette/test/command/reload", `{"id":"2"}`, false)
		again := newRig(t, file, Names()...)
		for _, r := range []*rig{r, again} {
			before := len(r.executed)
			r.send("vedette/test/command/reload", `{"id":"1"}`, false)
			if got := r.last(); !got.OK || len(r.executed) != before {
				t.Errorf("repeated: answer %+v, carried out %v", got, r.executed)
			}
			r.send("vedette/test/command/reload", `{"id":"2"}`, false)
			if got := r.last(); got.OK || got.Error != "no" || len(r.executed) != before {
				t.Errorf("repeated: answer %+v, carried out %v", got, r.executed)
			}
			r.send("vedette/test/command/snapshot", `{"id":"1"}`, false)
			if got := r.last(); got.OK || !strings.Contains(got.Error, "another command") || len(r.executed) != before {
				t.Errorf("an id for something else: answer %+v", got)
			}
		}
	})
}

func TestACommandThatTheServiceDiedOverIsNotCarriedOutAgain(t *testing.T) {
	bubble(t, func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "commands")
		r := newRig(t, file, Names()...)
		p, err := parse(RestartWorker, "", []byte(`{"id":"1"}`))
		if err != nil {
			t.Fatal(err)
		}
		if err := r.desk.memory.keep(entry{ID: "1", Sum: p.sum}, true); err != nil { // all that was written before the end
			t.Fatal(err)
		}
		again := newRig(t, file, Names()...)
		again.send("vedette/test/command/restart-worker", `{"id":"1"}`, false)
		if got := again.last(); got.OK || !strings.Contains(got.Error, "outcome is not known") || len(again.executed) > 0 {
			t.Errorf("answer %+v, carried out %v", got, again.executed)
		}
	})
}

func TestExpiry(t *testing.T) {
	now := time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		name    string
		clock   Clock
		expires time.Time
		says    string // empty: it is obeyed
	}{
		{"in time", Clock{now, true, now.Add(-time.Hour)}, now.Add(time.Minute), ""},
		{"too late", Clock{now, true, time.Time{}}, now.Add(-time.Second), "has expired"},
		{"too far ahead", Clock{now, true, time.Time{}}, now.Add(2 * time.Hour), "more than 1h0m0s ahead"},
		{"clock not set, nothing known", Clock{time.Unix(0, 0), false, time.Time{}}, now, "clock is not set"},
		{"clock not set, after the floor", Clock{time.Unix(0, 0), false, now.Add(-time.Hour)}, now, "clock is not set"},
		{"clock not set, before the floor", Clock{time.Unix(0, 0), false, now.Add(time.Hour)}, now, "has expired"},
		{"clock set back, and said to be right", Clock{now, true, now.Add(24 * time.Hour)}, now.Add(time.Minute), "has expired"},
		{"clock set back below the floor", Clock{now, true, now.Add(time.Minute)}, now.Add(time.Hour), "set back"},
	} {
		bubble(t, func(t *testing.T) {
			r := newRig(t, "", Names()...)
			r.clock = c.clock
			r.send("vedette/test/command/reload", `{"id":"1","expires_at":"`+c.expires.Format(time.RFC3339)+`"}`, false)
			got := r.last()
			if got.OK != (c.says == "") || !strings.Contains(got.Error, c.says) || len(r.executed) > 0 != (c.says == "") {
				t.Errorf("%s: answer %+v, want %q", c.name, got, c.says)
			}
		})
	}
}

func TestAFloodIsBounded(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, "", Names()...)
		for i := range 100 {
			r.send("vedette/test/command/reload", fmt.Sprintf(`{"id":"%d"}`, i), false)
		}
		if len(r.executed) < burst || len(r.executed) > burst+1 || len(r.answers) > 4*burst {
			t.Errorf("of 100 at once %d were carried out, %d answered", len(r.executed), len(r.answers))
		}
		if got := r.last(); !strings.Contains(got.Error, "too many") {
			t.Errorf("answer %+v", got)
		}
		time.Sleep(time.Minute)
		r.send("vedette/test/command/reload", `{"id":"later"}`, false)
		if !r.last().OK {
			t.Errorf("after a minute: %+v", r.last())
		}
	})
}

// What was accepted is answered, also where the service ends before it is carried out; and so is what comes later.
func TestWhatWaitsAtTheEndIsAnswered(t *testing.T) {
	file := filepath.Join(t.TempDir(), "commands")
	r := newRig(t, file, Reload)
	take := func(id string) {
		r.desk.take(Reload, mqtt.Received{Topic: topics().Command(Reload), Payload: []byte(`{"id":"` + id + `"}`)})
	}
	take("waits")
	r.desk.stop()
	take("late")
	if len(r.executed) > 0 || len(r.answers) != 2 || !strings.Contains(r.answers[0], "waits") || !strings.Contains(r.answers[1], "late") {
		t.Fatalf("%v is carried out, the answers are %q", r.executed, r.answers)
	}
	again := newRig(t, file, Reload)
	again.send(topics().Command(Reload), `{"id":"waits"}`, false)
	if len(again.executed) != 1 {
		t.Errorf("sent again it is answered %q", again.answers)
	}
}

// The memory must hold every command that has not expired.
func TestTheMemoryOutlastsTheLongestLife(t *testing.T) {
	if most := int(longestLife/interval) + burst; most > remembered {
		t.Errorf("%d commands may come within %v, %d are remembered", most, longestLife, remembered)
	}
}

func TestMemoryIsBoundedAndReadBack(t *testing.T) {
	file := filepath.Join(t.TempDir(), "commands")
	m, err := openMemory(file)
	if err != nil {
		t.Fatal(err)
	}
	const n = 3 * remembered
	for i := range n {
		e := m.note(entry{ID: fmt.Sprint(i), Sum: "0123456789abcdef", Done: true, Error: strings.Repeat("x", 3000)})
		if err := m.keep(e, false); err != nil {
			t.Fatal(err)
		}
	}
	info, err := os.Stat(file)
	if err != nil || info.Size() > maxFile+maxLine {
		t.Errorf("the file has %d bytes: %v", info.Size(), err)
	}
	again, err := openMemory(file)
	if err != nil || len(again.entries) != remembered || len(again.order) != remembered {
		t.Fatalf("%d entries: %v", len(again.entries), err)
	}
	if e, known := again.lookup(fmt.Sprint(n - 1)); !known || len(e.Error) != maxError {
		t.Errorf("the last one: %+v", e)
	}
	if _, known := again.lookup("0"); known {
		t.Error("the first one is still there")
	}
}

func TestATornLineCostsItselfOnly(t *testing.T) {
	file := filepath.Join(t.TempDir(), "commands")
	text := `{"id":"1","sum":"a","done":true,"ok":true}` + "\n" + `{"id":"2","su`
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	m, err := openMemory(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.keep(m.note(entry{ID: "3", Sum: "c", Done: true}), true); err != nil {
		t.Fatal(err)
	}
	again, err := openMemory(file)
	if err != nil || !slices.Equal(again.order, []string{"1", "3"}) {
		t.Errorf("%v, %v", again.order, err)
	}
}

func FuzzMemory(f *testing.F) {
	f.Add([]byte(`{"id":"1","sum":"a","done":true,"ok":true}` + "\n"))
	f.Add([]byte("\x00\n{}\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		file := filepath.Join(t.TempDir(), "commands")
		if err := os.WriteFile(file, text, 0o600); err != nil {
			t.Fatal(err)
		}
		m, err := openMemory(file)
		if err != nil || len(m.entries) > remembered || len(m.order) != len(m.entries) {
			t.Errorf("%d entries: %v", len(m.entries), err)
		}
	})
}

func FuzzParse(f *testing.F) {
	f.Add("snapshot", []byte(`{"id":"1","args":{"camera":"yard"}}`))
	f.Add("threshold", []byte(`{"id":"1","args":{"label":"a","value":0.5}}`))
	f.Add("enable", []byte(`{"id":"1","args":{"enabled":true},"expires_at":"2026-01-01T00:00:00Z"}`))
	f.Fuzz(func(t *testing.T, name string, text []byte) {
		p, err := parse(name, "yard", text)
		if err == nil && (!validID.MatchString(p.ID) || p.sum == "" || len(text) > MaxSize || !(p.Value >= 0 && p.Value <= 1)) {
			t.Errorf("%+v of %q", p, text)
		}
	})
}

var hash = strings.Repeat("0123456789abcdef", 4)

// One that takes long does not hold up the others, and is not carried out twice at a time.
func TestACommandThatTakesLongHoldsUpNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, "", Names()...)
		const long = time.Hour
		r.desk.opts.Execute = func(ctx context.Context, q Request) error {
			if q.Name == Model {
				select {
				case <-ctx.Done():
					return ctx.Err()
				case <-time.After(long):
				}
			}
			return nil
		}
		var mu sync.Mutex // the desk answers while the test looks on
		note := r.desk.opts.Answer
		r.desk.opts.Answer = func(topic string, text []byte) {
			mu.Lock()
			defer mu.Unlock()
			note(topic, text)
		}
		last := func() payload.Result {
			mu.Lock()
			defer mu.Unlock()
			return r.last()
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- r.desk.Run(ctx) }()
		send := func(name, text string) string {
			mu.Lock()
			before := len(r.answers)
			mu.Unlock()
			for _, s := range r.desk.Subscriptions() {
				if s.Filter == topics().Command(name) {
					s.Handle(mqtt.Received{Topic: s.Filter, Payload: []byte(text)})
				}
			}
			synctest.Wait()
			mu.Lock()
			defer mu.Unlock()
			return strings.Join(r.answers[before:], "")
		}
		model := func(id string) string {
			return send(Model, `{"id":"`+id+`","args":{"url":"https://m.lan/a","sha256":"`+hash+`"}}`)
		}
		if got := model("a"); got != "" {
			t.Errorf("answered before it is carried out: %s", got)
		}
		if got := send(Reload, `{"id":"b"}`); !strings.Contains(got, `"ok":true`) {
			t.Errorf("another one meanwhile: %q", got)
		}
		if got := model("c"); !strings.Contains(got, "wait for its answer") {
			t.Errorf("a second one of its kind: %q", got)
		}
		time.Sleep(long)
		synctest.Wait()
		if got := last(); got.ID != "a" || !got.OK {
			t.Errorf("its answer is %+v", got)
		}
		model("d")
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if got := last(); got.ID != "d" || got.OK || got.Error == "" {
			t.Errorf("the answer at the end is %+v", got)
		}
	})
}
