package replay_test

import (
	"fmt"
	"strings"
	"testing"

	"vedette/infer"
	"vedette/track"
	"vedette/track/replay"
)

func line(n int, detections string) string {
	return fmt.Sprintf(`{"v":1,"camera":"yard","sequence":%d,"captured_at":"2026-01-01T00:00:00.000000Z","monotonic_ns":%d,"clock":"synced",`+
		`"frame":{"width":1280,"height":720},"detections":[%s],"timings_ms":{}}`+"\n", n, n*100_000_000, detections)
}

func object(class int, label string, x float64) string {
	return fmt.Sprintf(`{"label":%q,"class_id":%d,"score":0.9,"box":[%.3f,0.3,%.3f,0.6]}`, label, class, x, x+0.1)
}

func run(text string) (events []track.Event, err error) {
	err = replay.Run(replay.NewReader(strings.NewReader(text)), func(string) (track.Options, error) {
		return track.Options{Config: track.DefaultConfig(), Thresholds: infer.Thresholds{"default": 0.4}, Prefix: "r-"}, nil
	}, func(_ replay.Record, _ *track.Tracker, told []track.Event) error {
		for _, e := range told {
			events = append(events, e)
			if e.After == nil || (e.Type == track.TypeNew) != (e.Before == nil) {
				return fmt.Errorf("%+v", e)
			}
		}
		return nil
	})
	return events, err
}

func TestARecordingMakesTheEventsOfItsObjects(t *testing.T) {
	var text strings.Builder
	for n := range 20 {
		seen := object(2, "car", 0.6)
		if n > 5 { // a class that was not heard of before is no other model
			seen += "," + object(0, "person", 0.1+0.01*float64(n))
		}
		text.WriteString(line(n, seen))
	}
	events, err := run(text.String())
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range events {
		if e.Type != track.TypeUpdate {
			got = append(got, string(e.Type)+" "+e.After.Label)
		}
	}
	if want := "[new car new person end car end person]"; fmt.Sprint(got) != want {
		t.Errorf("%v, not %s", got, want)
	}
	again, err := run(text.String())
	if err != nil || len(again) != len(events) {
		t.Errorf("another time %d events, not %d: %v", len(again), len(events), err)
	}
}

func TestMistakesInARecordingAreNamed(t *testing.T) {
	for text, want := range map[string]string{
		"hello\n":                      "line 1: this is no detections message",
		line(1, "") + `{"a":1}` + "\n": "line 2: this is no detections message: it has no camera",
		line(2, "") + line(1, ""):      "line 2: camera yard goes back in time by 100ms",
		line(1, `{"label":"a","class_id":-1,"score":0.5,"box":[0,0,1,1]}`):             "line 1: class_id -1 is outside",
		line(1, `{"label":"a","class_id":1,"score":0.5,"box":[0,0,1]}`):                "detection 1 has no box of four numbers",
		line(1, `{"label":"a","class_id":1,"score":5,"box":[0,0,1,1]}`):                "no score in 0..1",
		line(1, `{"label":"a","class_id":1,"score":0.5,"box":[0,0,1,9]}`):              "is not in 0..1",
		strings.Repeat("x", 2<<20):                                                     "line 1 has more than",
		line(1, strings.TrimSuffix(strings.Repeat(object(0, "a", 0.1)+",", 301), ",")): "301 detections, more than 300",
	} {
		if _, err := run(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60q: %v, not %q", text, err, want)
		}
	}
}

func FuzzReplay(f *testing.F) {
	f.Add(line(1, object(0, "person", 0.1)) + line(2, object(0, "person", 0.11)))
	f.Add(line(1, "") + line(1, object(4000, "x", 0.5)))
	f.Add("{}\nnull\n[]\n")
	f.Add(`{"camera":"a","monotonic_ns":9223372036854775807,"detections":[{"label":"","class_id":0,"score":1,"box":[1,1,0,0]}]}`)
	f.Fuzz(func(t *testing.T, text string) {
		events, err := run(text)
		if err != nil && err.Error() == "" {
			t.Error("an error without a word")
		}
		open := map[string]bool{}
		for _, e := range events {
			if (e.Type == track.TypeNew) == open[e.ID] {
				t.Errorf("%s of %s", e.Type, e.ID)
			}
			open[e.ID] = e.Type != track.TypeEnd
		}
		for id, o := range open {
			if o && err == nil {
				t.Errorf("%s has no end", id)
			}
		}
	})
}
