package pipeline

import (
	"context"
	"slices"
	"sync"
	"time"

	"vedette/mqtt/payload"
	"vedette/track"
)

// Bounds of what the page can show of events: if each had a picture, of some 10 kB, a megabyte.
const (
	maxHappened  = 100
	maxShots     = 2 // pictures that are waited for at a time
	shotWidth    = 320
	shotWithin   = 2 * time.Second
	shotPathHead = "/api/v1/events/"
)

// happened is the last events, for the page. It is for any goroutine.
type happened struct {
	mu     sync.Mutex // guards the rest
	events []happening
	shots  int            // that are waited for
	age    map[string]int // by camera, how often its pictures were to be forgotten
}

// happening is one event.
type happening struct {
	document eventDocument
	picture  []byte // JPEG; nil: none was made
}

// eventDocument is what the API shows of an event.
type eventDocument struct {
	Type     string         `json:"type"`
	ID       string         `json:"id"`
	Camera   string         `json:"camera"`
	Time     payload.Time   `json:"time"`
	Reason   string         `json:"reason"`
	Crossed  []string       `json:"crossed,omitempty"`
	After    objectDocument `json:"after"`
	Snapshot string         `json:"snapshot,omitempty"` // the picture's path
}

type objectDocument struct {
	Label string     `json:"label"`
	Score float32    `json:"score"`
	Box   [4]float32 `json:"box"`
	Zones []string   `json:"zones"`
}

// add takes in an event.
func (h *happened) add(m payload.Event) {
	d := eventDocument{Type: m.Type, ID: m.ID, Camera: m.Camera, Time: payload.Time{Time: m.Time}, Reason: m.Reason}
	object := m.After
	if object == nil {
		object = m.Before
	}
	if object != nil {
		d.After = objectDocument{object.Label, object.Score, object.Box, append([]string{}, object.Zones...)}
	}
	for _, c := range m.Crossed {
		d.Crossed = append(d.Crossed, c.Line+" "+c.Direction)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.events = append(h.events, happening{document: d})
	h.events = slices.Delete(h.events, 0, max(0, len(h.events)-maxHappened))
}

// document gives them oldest first.
func (h *happened) document() any {
	h.mu.Lock()
	defer h.mu.Unlock()
	events := []eventDocument{}
	pictured := map[string]bool{}
	for _, e := range h.events {
		pictured[e.document.ID] = pictured[e.document.ID] || e.picture != nil
	}
	for _, e := range h.events {
		d := e.document
		if pictured[d.ID] {
			d.Snapshot = shotPathHead + d.ID + "/snapshot.jpg"
		}
		events = append(events, d)
	}
	return map[string]any{"v": payload.Version, "events": events}
}

// picture gives an object's; nil where there is none.
func (h *happened) picture(id string) []byte {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, e := range slices.Backward(h.events) {
		if e.document.ID == id && e.picture != nil {
			return e.picture
		}
	}
	return nil
}

// forget drops a camera's pictures, those that are waited for too.
func (h *happened) forget(camera string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.age == nil {
		h.age = map[string]int{}
	}
	h.age[camera]++
	for i := range h.events {
		if h.events[i].document.Camera == camera {
			h.events[i].picture = nil
		}
	}
}

// begin tells whether one more picture may be waited for. age is for end.
func (h *happened) begin(camera string) (age int, ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.shots >= maxShots {
		return 0, false
	}
	h.shots++
	return h.age[camera], true
}

// end takes a picture in, unless the camera's pictures were forgotten since begin.
func (h *happened) end(camera, id string, age int, picture []byte) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.shots--
	if h.age[camera] != age {
		return
	}
	for i := range h.events {
		if h.events[i].document.ID == id && h.events[i].document.Type == string(track.TypeNew) {
			h.events[i].picture = picture
		}
	}
}

// happens notes an event for the page, and has a picture made of the next frame that the live view takes after an object is believed in:
// what is not made soon, or while others are, is left out.
func (p *Pipeline) happens(m payload.Event) {
	if p.web == nil {
		return
	}
	p.happened.add(m)
	if m.Type != string(track.TypeNew) {
		return
	}
	age, ok := p.happened.begin(m.Camera)
	if !ok {
		return
	}
	p.shots.Go(func() {
		ctx, cancel := context.WithTimeout(context.Background(), shotWithin)
		var beside sync.WaitGroup
		defer beside.Wait()
		defer cancel()
		beside.Go(func() {
			select {
			case <-p.camerasEnded: // no frame will come
				cancel()
			case <-ctx.Done():
			}
		})
		var file []byte
		if shot, err := p.hub.Snapshot(ctx, m.Camera, shotWidth); err == nil {
			file = shot.JPEG
		}
		p.happened.end(m.Camera, m.ID, age, file)
	})
}
