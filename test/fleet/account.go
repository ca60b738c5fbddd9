package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
)

// account is which events have come.
type account struct {
	mu       sync.Mutex
	seen     map[string]bool // by id
	highest  map[string]uint64
	again    int
	reversed int
	broken   int
}

func newAccount() *account {
	return &account{seen: map[string]bool{}, highest: map[string]uint64{}}
}

func (a *account) take(text []byte) {
	var e struct {
		ID, Epoch string
		Seq       uint64
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if json.Unmarshal(text, &e) != nil || e.ID == "" || e.Epoch == "" {
		a.broken++
		return
	}
	if a.seen[e.ID] {
		a.again++
		return
	}
	a.seen[e.ID] = true
	device, _, _ := strings.Cut(e.ID, "-")
	key := device + e.Epoch
	if last, ok := a.highest[key]; ok && e.Seq <= last {
		a.reversed++
	}
	a.highest[key] = max(a.highest[key], e.Seq)
}

func (a *account) delivered() int  { a.mu.Lock(); defer a.mu.Unlock(); return len(a.seen) }
func (a *account) duplicates() int { a.mu.Lock(); defer a.mu.Unlock(); return a.again }
func (a *account) disorder() int   { a.mu.Lock(); defer a.mu.Unlock(); return a.reversed }

// verdict says what must not be. Order is told only: a cluster that loses a node may store what was under way in another.
func (a *account) verdict(made int) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	var errs []error
	if len(a.seen) != made {
		errs = append(errs, fmt.Errorf("%d of %d events are lost", made-len(a.seen), made))
	}
	if a.broken > 0 {
		errs = append(errs, fmt.Errorf("%d messages were no events", a.broken))
	}
	return errors.Join(errs...)
}
