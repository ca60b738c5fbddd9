package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
)

// account is which events have come.
type account struct {
	lost atomic.Int64 // connections of its own

	mu       sync.Mutex
	seen     map[string]map[uint64]bool // by epoch
	highest  map[string]uint64          // by topic and epoch: of what came for the first time
	last     map[string]string          // by topic: the epoch
	past     map[string]map[string]bool // by topic: epochs that another has followed
	events   int
	again    int
	reversed int
	broken   int
}

func newAccount() *account {
	return &account{
		seen: map[string]map[uint64]bool{}, highest: map[string]uint64{},
		last: map[string]string{}, past: map[string]map[string]bool{},
	}
}

func (a *account) take(topic string, text []byte) {
	var e struct {
		Epoch string
		Seq   uint64
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if json.Unmarshal(text, &e) != nil || e.Epoch == "" || e.Seq == 0 {
		a.broken++
		return
	}
	if a.seen[e.Epoch] == nil {
		a.seen[e.Epoch] = map[uint64]bool{}
	}
	if a.seen[e.Epoch][e.Seq] {
		a.again++
		return
	}
	a.seen[e.Epoch][e.Seq] = true
	a.events++
	if a.last[topic] != e.Epoch {
		if a.past[topic] == nil {
			a.past[topic] = map[string]bool{}
		}
		a.past[topic][a.last[topic]] = true
		a.last[topic] = e.Epoch
	}
	key := topic + e.Epoch
	if e.Seq < a.highest[key] || a.past[topic][e.Epoch] {
		a.reversed++
	}
	a.highest[key] = max(a.highest[key], e.Seq)
}

// missing are the events of an epoch up to a number that have not come.
func (a *account) missing(epoch string, upTo uint64) (n int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for seq := uint64(1); seq <= upTo; seq++ {
		if !a.seen[epoch][seq] {
			n++
		}
	}
	return n
}

// figures are what came of everything.
type figures struct {
	made, delivered, duplicates, given int // given: up by a bound
	lost                               int // of those that were on the disk, or acknowledged
	unkept                             int // that a kill took from memory: made, as far as is known, and not kept
	disorder, broken, most             int // most: duplicates that may be
}

func (a *account) figures(words []told, disconnects int) (f figures) {
	made, kept := map[string]uint64{}, map[string]uint64{}
	for _, t := range words {
		made[t.Epoch], kept[t.Epoch] = max(made[t.Epoch], t.Made), max(kept[t.Epoch], t.Kept)
		f.given += int(t.Lost)
	}
	a.mu.Lock()
	for epoch, seen := range a.seen { // more may have come than there was time to say
		for seq := range seen {
			made[epoch] = max(made[epoch], seq)
		}
	}
	f.delivered, f.duplicates, f.disorder, f.broken = a.events, a.again, a.reversed, a.broken
	a.mu.Unlock()
	for epoch := range made {
		lost := a.missing(epoch, kept[epoch])
		f.lost += lost
		f.unkept += a.missing(epoch, made[epoch]) - lost
		f.made += int(made[epoch])
	}
	f.most = disconnects*window + int(a.lost.Load())*subscriberWindow
	return f
}

// window is how many messages the connection has under way at most.
const window = 32

func (f figures) String() string {
	return fmt.Sprintf("events made %d, delivered %d, duplicated %d (of %d that may be), dropped by bound %d, never on the disk %d, lost %d, out of order %d",
		f.made, f.delivered, f.duplicates, f.most, f.given, f.unkept, f.lost, f.disorder)
}

// verdict says what must not be.
func (f figures) verdict() error {
	var errs []error
	if f.lost > 0 {
		errs = append(errs, fmt.Errorf("%d events are lost that were synced", f.lost))
	}
	if f.given > 0 {
		errs = append(errs, fmt.Errorf("%d events were given up, or damaged", f.given))
	}
	if f.disorder > 0 {
		errs = append(errs, fmt.Errorf("%d events came for the first time after a later one of their camera", f.disorder))
	}
	if f.broken > 0 {
		errs = append(errs, fmt.Errorf("%d messages were no events", f.broken))
	}
	if f.duplicates > f.most {
		errs = append(errs, fmt.Errorf("%d duplicates, more than %d", f.duplicates, f.most))
	}
	return errors.Join(errs...)
}
