package web

import (
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"time"
)

// How often a listener hears of the state: at most, as changes come in bursts, and at least, as figures change without word.
const (
	soonest = 250 * time.Millisecond
	latest  = 5 * time.Second
	// maxListeners bounds them: over HTTP/2 one connection may have hundreds.
	maxListeners = 32
	// takeWithin is how long a listener may take to take in what it is told.
	takeWithin = 10 * time.Second
)

// changes wakes whoever listens. The zero value is ready.
type changes struct {
	mu        sync.Mutex // guards listeners
	listeners map[chan struct{}]struct{}
}

// listen gives a channel that is sent to when something may have changed, and what ends that; nil where as many listen as may.
func (c *changes) listen() (woken <-chan struct{}, stop func()) {
	own := make(chan struct{}, 1) // one is enough: everything is looked at anew
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.listeners == nil {
		c.listeners = map[chan struct{}]struct{}{}
	}
	if len(c.listeners) >= maxListeners {
		return nil, func() {}
	}
	c.listeners[own] = struct{}{}
	return own, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.listeners, own)
	}
}

func (c *changes) tell() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for listener := range c.listeners {
		select {
		case listener <- struct{}{}:
		default:
		}
	}
}

// stream sends the state document and the health as server-sent events: at once, on every change, and every 5 s.
func (s *Server) stream(w http.ResponseWriter, r *http.Request) {
	woken, stop := s.changes.listen()
	defer stop()
	if woken == nil {
		answer(w, http.StatusServiceUnavailable, problem{fmt.Sprintf("%d listen already: GET /api/v1/state asks once", maxListeners)})
		return
	}
	control := http.NewResponseController(w)
	// Without it the deadline for the request's body would end the answer.
	_ = control.SetReadDeadline(time.Time{})
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Accel-Buffering", "no") // a proxy is not to collect it
	for id := 1; ; id++ {
		text, err := json.Marshal(map[string]any{"state": s.opts.Documents.State(), "health": s.opts.Documents.Health()})
		if err != nil {
			s.opts.Logger.Error("cannot describe the state", "error", err)
			return
		}
		_ = control.SetWriteDeadline(time.Now().Add(takeWithin))
		if _, err := fmt.Fprintf(w, "id: %d\nevent: state\ndata: %s\n\n", id, text); err != nil {
			return
		}
		if err := control.Flush(); err != nil {
			return
		}
		if !pause(r, soonest, nil) || !pause(r, latest, woken) {
			return
		}
	}
}

// pause waits so long, or until it is woken; false where the client has gone.
func pause(r *http.Request, d time.Duration, woken <-chan struct{}) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-woken:
	case <-r.Context().Done():
		return false
	}
	return true
}
