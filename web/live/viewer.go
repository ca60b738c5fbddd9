package live

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// ErrFull says that there are as many viewers as may be.
var ErrFull = errors.New("too many watch already")

// Viewer is somebody who watches.
type Viewer struct {
	hub     *Hub
	cameras []string
	width   int
	rate    float64
	woken   chan struct{}

	// Guarded by the hub's lock.
	newest map[string]*Picture // by camera, what has not been taken yet
	turn   []string            // cameras in newest, first come, first served
	given  map[string]*pace    // by camera
}

// Watch begins to watch. Width and rate are brought to what may be asked for; 0 is the default of each.
func (h *Hub) Watch(cameras []string, width int, rate float64) (*Viewer, error) {
	if len(cameras) > MaxCameras {
		return nil, fmt.Errorf("%d cameras are asked for: %d may be", len(cameras), MaxCameras)
	}
	v := &Viewer{
		hub: h, cameras: cameras, width: widthFor(width), rate: DefaultRate,
		woken: make(chan struct{}, 1), newest: map[string]*Picture{}, given: map[string]*pace{},
	}
	if rate > 0 {
		v.rate = min(rate, MaxRate)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.viewers) >= MaxViewers {
		return nil, ErrFull
	}
	h.viewers[v] = struct{}{}
	h.anyone.Store(int32(len(h.viewers)))
	for _, name := range cameras {
		c, ok := h.cameras[name]
		if !ok {
			c = &camera{}
			h.cameras[name] = c
		}
		c.viewers = append(c.viewers, v)
		c.taking = pace{} // who has just come waits for no turn
		v.given[name] = &pace{}
	}
	return v, nil
}

// widthFor is the smallest of Widths that has as many pixels.
func widthFor(width int) int {
	if width <= 0 {
		return DefaultWidth
	}
	widths := Widths()
	for _, w := range widths {
		if w >= width {
			return w
		}
	}
	return widths[len(widths)-1]
}

// Close ends it. What only this viewer needed is freed. A second call does nothing.
func (v *Viewer) Close() {
	h := v.hub
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.viewers, v)
	h.anyone.Store(int32(len(h.viewers)))
	for _, name := range v.cameras {
		c, ok := h.cameras[name]
		if !ok {
			continue
		}
		c.viewers = slices.DeleteFunc(c.viewers, func(other *Viewer) bool { return other == v })
		if len(c.viewers) == 0 {
			delete(h.cameras, name)
		}
	}
}

// drop is Close for a viewer that takes nothing.
func (v *Viewer) drop() {
	v.Close()
	v.hub.mu.Lock()
	defer v.hub.mu.Unlock()
	v.hub.stats.Dropped++
}

// due tells whether it is the viewer's turn to see a frame of a camera that was shown then. The hub's lock is held.
func (v *Viewer) due(camera string, at time.Time) bool { return v.given[camera].due(at, v.rate) }

// give leaves a picture for the viewer, in place of an older one of its camera, if it is its turn. The hub's lock is held.
func (v *Viewer) give(p *Picture, at time.Time) {
	if !v.due(p.Camera, at) {
		return
	}
	v.given[p.Camera].take(at, v.rate)
	if _, waits := v.newest[p.Camera]; !waits {
		v.turn = append(v.turn, p.Camera)
	}
	v.newest[p.Camera] = p
	select {
	case v.woken <- struct{}{}:
	default:
	}
}

// forget takes back what was given of a camera and not taken. The hub's lock is held.
func (v *Viewer) forget(camera string) {
	delete(v.newest, camera)
	*v.given[camera] = pace{}
	v.turn = slices.DeleteFunc(v.turn, func(other string) bool { return other == camera })
}

// Next waits for the next picture of any of the viewer's cameras. Its error is ctx's.
func (v *Viewer) Next(ctx context.Context) (*Picture, error) {
	for {
		if p := v.take(); p != nil {
			return p, nil
		}
		select {
		case <-v.woken:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (v *Viewer) take() *Picture {
	v.hub.mu.Lock()
	defer v.hub.mu.Unlock()
	if len(v.turn) == 0 {
		return nil
	}
	name := v.turn[0]
	v.turn = slices.Delete(v.turn, 0, 1)
	p := v.newest[name]
	delete(v.newest, name)
	return p
}
