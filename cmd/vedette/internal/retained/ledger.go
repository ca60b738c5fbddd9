// Package retained remembers which retained topics this device has put at brokers.
//
// A broker keeps them for ever. What the configuration no longer has, and what a service that died left there, has to be set
// right by the next one.
package retained

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"slices"
	"sync"
	"time"

	"vedette/whole"
)

// Kinds of topics.
const (
	Count     = "count"
	Picture   = "picture"
	Discovery = "discovery"
)

// Entry is one topic. Its fields beside Topic and Kind say what it is of, where it is of such.
type Entry struct {
	Topic  string `json:"topic"`
	Kind   string `json:"kind"`
	Camera string `json:"camera,omitempty"`
	Zone   string `json:"zone,omitempty"`
	Label  string `json:"label,omitempty"` // as the model has it
	Part   string `json:"part,omitempty"`  // as topics have it
	// View says by what of its camera's configuration a picture was made: see whoever notes it.
	View string `json:"view,omitempty"`
	// Components are those of a discovery, with their platforms.
	Components map[string]string `json:"components,omitempty"`
}

func (e Entry) equal(o Entry) bool {
	return e.Topic == o.Topic && e.Kind == o.Kind && e.Camera == o.Camera && e.Zone == o.Zone && e.Label == o.Label &&
		e.Part == o.Part && e.View == o.View && maps.Equal(e.Components, o.Components)
}

// Bounds. A model has hundreds of labels, a device a few cameras with a few zones.
const (
	maxEntries = 4096
	maxFile    = 4 << 20
)

// saveAfter is how long changes are collected before they are written; saveAgain, how long a disk that took none is left alone.
const (
	saveAfter = time.Second
	saveAgain = 30 * time.Second
)

// Ledger is the topics, kept in a file. Its methods may be called from any goroutine, and do not block but for Run.
type Ledger struct {
	path  string        // empty: it is not kept
	dirty chan struct{} // one is enough: everything is written

	mu      sync.Mutex // guards entries
	entries map[string]Entry
	full    bool // a topic found no room
}

// Open reads what is kept. A file that cannot be read is as good as none: the error says so, and the ledger is usable.
func Open(path string) (*Ledger, error) {
	l := &Ledger{path: path, dirty: make(chan struct{}, 1), entries: map[string]Entry{}}
	if path == "" {
		return l, nil
	}
	file, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return l, nil
	}
	if err != nil {
		return l, fmt.Errorf("cannot read which topics are retained: %w", err)
	}
	defer file.Close()
	var kept []Entry
	if err := json.NewDecoder(io.LimitReader(file, maxFile)).Decode(&kept); err != nil {
		return l, fmt.Errorf("cannot read which topics are retained, in %s: %w", path, err)
	}
	for _, e := range kept[:min(len(kept), maxEntries)] {
		l.entries[e.Topic] = e
	}
	return l, nil
}

// Note remembers a topic, where there is room. It tells whether that is new, or of something else than before.
func (l *Ledger) Note(e Entry) bool {
	l.mu.Lock()
	before, known := l.entries[e.Topic]
	room := known || len(l.entries) < maxEntries
	changed := room && (!known || !before.equal(e))
	if changed {
		l.entries[e.Topic] = e
	}
	first := !room && !l.full
	l.full = l.full || !room
	l.mu.Unlock()
	if first {
		l.touch() // Run says so
	}
	if changed {
		l.touch()
	}
	return changed
}

// Forget is for a topic that was removed from the broker.
func (l *Ledger) Forget(topic string) {
	l.mu.Lock()
	delete(l.entries, topic)
	l.mu.Unlock()
	l.touch()
}

// Entries are the topics of a kind, in their order.
func (l *Ledger) Entries(kind string) []Entry {
	var list []Entry
	for _, e := range l.all() {
		if e.Kind == kind {
			list = append(list, e)
		}
	}
	return list
}

func (l *Ledger) all() []Entry {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.SortedFunc(maps.Values(l.entries), func(a, b Entry) int {
		switch {
		case a.Topic < b.Topic:
			return -1
		case a.Topic > b.Topic:
			return 1
		}
		return 0
	})
}

func (l *Ledger) touch() {
	select {
	case l.dirty <- struct{}{}:
	default:
	}
}

// Run writes what changes, until ctx ends.
func (l *Ledger) Run(ctx context.Context, logger *slog.Logger) {
	said, saidFull := false, false
	wait := saveAfter
	for {
		select {
		case <-ctx.Done():
			select {
			case <-l.dirty:
				_ = l.save() // the service ends: what failed now has been said before, or is not worth a wait
			default:
			}
			return
		case <-l.dirty:
		}
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
		wait = saveAfter
		if err := l.save(); err != nil {
			wait = saveAgain
			l.touch()
			if !said {
				said = true
				logger.Warn("which topics are retained is not kept: a later configuration may leave some at the broker", "error", err)
			}
		}
		if l.overflows() && !saidFull {
			saidFull = true
			logger.Warn("more topics are retained than are remembered: Home Assistant does not hear of the rest, and a later "+
				"configuration may leave some at the broker", "remembered", maxEntries)
		}
	}
}

func (l *Ledger) overflows() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.full
}

func (l *Ledger) save() error {
	if l.path == "" {
		return nil
	}
	text, err := json.Marshal(l.all())
	if err != nil {
		return err
	}
	return whole.Write(l.path, 0o600, append(text, '\n'))
}
