package pipeline

import (
	"log/slog"
	"strings"
	"testing"
	"time"

	"vedette/capture"
	"vedette/cmd/vedette/internal/config"
	"vedette/infer"
	"vedette/infer/client"
	"vedette/track"
)

// What a model's manifest says of scores holds for what is published and for where objects begin.
func TestTheManifestsThresholdsCount(t *testing.T) {
	stream, err := client.New(client.Options{}, slog.New(slog.DiscardHandler)).OpenStream(client.StreamOptions{
		Name: "yard", Format: capture.Format{Pixel: capture.Grey, Width: 64, Height: 48}.Packed(), Handle: func(*client.Result) {},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close()
	began := 0
	tracked := &tracking{
		camera: "yard", count: func(string, []track.Count) {},
		publish: func(_ string, events []track.Event, _ frameTime) {
			for _, e := range events {
				if e.Type == track.TypeNew {
					began++
				}
			}
		},
	}
	cfg := config.Default()
	tracked.renew(capture.Camera{Name: "yard"}, cfg)
	for i, c := range []struct {
		manifest infer.Thresholds
		score    float32
		counts   bool
	}{
		{nil, 0.3, false},
		{infer.Thresholds{"cup": 0.2}, 0.3, true},
		{infer.Thresholds{"default": 0.6}, 0.5, false},
		{nil, 0.5, true},
	} {
		model := &infer.Model{Labels: []string{"cup"}, Thresholds: c.manifest}
		began = 0
		for frame := range cfg.Track.Confirm {
			at := time.Duration(i)*time.Hour + time.Duration(frame)*100*time.Millisecond
			r := &client.Result{Stream: stream, Model: model, Monotonic: at, Detections: []infer.Detection{
				{Score: c.score, Box: infer.Box{X1: 0.1, Y1: 0.1, X2: 0.4, Y2: 0.4}},
			}}
			tracked.update(r)
			if counts := len(r.Detections) == 1; counts != c.counts {
				t.Errorf("with %v in the manifest a score of %g counts: %v", c.manifest, c.score, counts)
			}
		}
		if (began == 1) != c.counts {
			t.Errorf("with %v in the manifest a score of %g begins %d objects", c.manifest, c.score, began)
		}
	}
}

func TestAThresholdThatWouldHaveNoEffectIsRefused(t *testing.T) {
	plain := &infer.Model{Name: "yard", Labels: []string{"cup"}}
	own := &infer.Model{Name: "yard", Labels: []string{"cup"}, Thresholds: infer.Thresholds{"default": 0.3}}
	for _, c := range []struct {
		model *infer.Model
		label string
		want  string // in the answer; "": it is obeyed
	}{
		{nil, "anything", ""},
		{plain, "cup", ""},
		{plain, "default", ""},
		{plain, "dog", `knows no label "dog"`},
		{own, "cup", ""},
		{own, "default", "a default of its own"},
	} {
		err := mayChange(c.model, c.label)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s of %v: %v, want %q", c.label, c.model, err, c.want)
		}
	}
}
