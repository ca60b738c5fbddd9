package frigate

import (
	"encoding/json"
	"math"
	"strings"
	"testing"
	"time"

	"vedette/mqtt/payload/schematest"
)

func object() *Object {
	o := &Object{
		ID: "abc-1", Camera: "yard", FrameTime: Seconds(time.Unix(1607123961, 837752000)), Label: "person", TopScore: 0.95898,
		StartTime: Seconds(time.Unix(1607123955, 475377000)), Score: 0.789, Active: true, CurrentZones: []string{"driveway"},
		EnteredZones: []string{"yard", "driveway"},
	}
	o.Place([4]float32{0.25, 0.5, 0.5, 1}, 1280, 720)
	return o
}

func TestEventsHaveFrigatesFields(t *testing.T) {
	in, err := schematest.Load()
	if err != nil {
		t.Fatal(err)
	}
	topics := Topics{"frigate"}
	end := Seconds(time.Unix(1607123970, 0))
	gone := object()
	gone.EndTime = &end
	for _, e := range []Event{
		{Type: "new", After: object()}, {Type: "update", Before: object(), After: object()}, {Type: "end", Before: object(), After: gone},
	} {
		text := e.AppendJSON(nil)
		if err := in.Check(topics.Events(), text); err != nil {
			t.Error(err)
		}
		var got struct{ Before, After map[string]any }
		if err := json.Unmarshal(text, &got); err != nil {
			t.Fatal(err)
		}
		if got.After["frame_time"] != 1607123961.837752 || got.After["area"] != 320.0*360 || got.After["ratio"] != 0.8889 || got.Before["id"] != "abc-1" {
			t.Errorf("%s", text)
		}
	}
	if text := string((Event{Type: "new", After: object()}).AppendJSON(nil)); !strings.Contains(text, `"box":[320,360,640,720]`) {
		t.Errorf("%s", text)
	}
	for topic, message := range map[string]string{
		topics.Available(): "online", topics.Count("yard", "person"): "2", topics.Count("gate", All): "0",
		topics.Stats(): `{"cameras":{"yard":{"camera_fps":5,"detection_enabled":true}},"detectors":{"w":{"pid":1}},"service":{"uptime":1,"version":"1"}}`,
	} {
		if err := in.Check(topic, []byte(message)); err != nil {
			t.Error(err)
		}
	}
}

func FuzzObject(f *testing.F) {
	in, err := schematest.Load()
	if err != nil {
		f.Fatal(err)
	}
	f.Add("person", float32(0.5), float32(0), float32(1), int64(0))
	f.Add("\xff\"", float32(math.NaN()), float32(-1), float32(2), int64(-1<<40))
	f.Fuzz(func(t *testing.T, label string, score, x, y float32, second int64) {
		o := object()
		o.Label, o.Score, o.FrameTime = label, Score(score), Seconds(time.Unix(second%(1<<40), 0))
		o.Place([4]float32{x, y, y, score}, 640, 360)
		if err := in.Check("frigate/events", (Event{Type: "new", After: o}).AppendJSON(nil)); err != nil {
			t.Error(err)
		}
	})
}
