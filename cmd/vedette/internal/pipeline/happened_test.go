package pipeline

import (
	"testing"

	"vedette/mqtt/payload"
	"vedette/track"
)

// A camera's pictures are forgotten, those that are in the making too, and nobody else's.
func TestPicturesOfEventsAreForgotten(t *testing.T) {
	var h happened
	ages := map[string]int{}
	begin := func(camera, id string) {
		t.Helper()
		h.add(payload.Event{Type: string(track.TypeNew), ID: id, Camera: camera})
		age, ok := h.begin(camera)
		if !ok {
			t.Fatal("no picture may be waited for")
		}
		ages[id] = age
	}
	end := func(camera, id string) { h.end(camera, id, ages[id], []byte(id)) }
	begin("yard", "made")
	end("yard", "made")
	begin("gate", "other")
	end("gate", "other")
	begin("yard", "waits")
	h.forget("yard")
	end("yard", "waits")
	begin("yard", "later")
	end("yard", "later")
	for id, there := range map[string]bool{"made": false, "waits": false, "other": true, "later": true} {
		if got := string(h.picture(id)); (got == id) != there {
			t.Errorf("%s: picture %q, want one: %v", id, got, there)
		}
	}
}
