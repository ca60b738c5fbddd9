package notify

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// Parts of systemd's WatchdogSec. All checks are asked every half of it. Where one fails, or systemd could not be
// told, they are asked more often, so that a short trouble is over before systemd kills; where it lasts, the stacks are
// written while there is time for it.
const (
	askPart    = 2
	askBadPart = 16
	answerPart = 8 // how long a check may take to answer
	dumpPart   = 4 // from the first failure to the stacks; systemd kills as much later
)

// WatchdogOptions are what a Watchdog is made of.
type WatchdogOptions struct {
	Period time.Duration // systemd's WatchdogSec; 0: there is no watchdog, and nothing is ever asked
	Ping   func() error
	Folder string // where the stacks of a service that hangs are kept; it is made where it is missing
	Logger *slog.Logger
}

// Watchdog tells systemd that the service lives, as long as every one of its checks passes.
type Watchdog struct {
	opts WatchdogOptions
	bad  atomic.Bool // whether a check failed when last asked

	mu     sync.Mutex // guards checks; not held while one is asked
	checks []*check

	// Of Run's goroutine.
	pinged     time.Time // when systemd was last told
	pingFailed bool
	dump       *dump // of the present trouble; nil: there is none
}

// check is one question to the service. All but its name and question is of Run's goroutine.
type check struct {
	name     string
	question func() error
	answer   chan error // of the question that is out: one at most, so that it never waits
	out      bool
	failed   time.Time // since when; zero while it passes
}

// NewWatchdog makes a watchdog; Run starts it.
func NewWatchdog(opts WatchdogOptions) *Watchdog { return &Watchdog{opts: opts} }

// Check adds a question, which is asked by a goroutine of its own; one that does not answer counts as failed. It may be
// called at any time.
func (w *Watchdog) Check(name string, question func() error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.checks = append(w.checks, &check{name: name, question: question, answer: make(chan error, 1)})
}

// Watch adds a check that fails where no progress is made for longer than limit, counted from now.
func (w *Watchdog) Watch(name string, limit time.Duration) *Progress {
	p := &Progress{began: time.Now(), limit: limit}
	w.Check(name, p.check)
	return p
}

// Alive tells whether all checks passed when they were last asked.
func (w *Watchdog) Alive() bool { return !w.bad.Load() }

// Run asks and pings until ctx ends. It leaves behind only what nothing can end: a check that does not answer, a file
// that is not written.
func (w *Watchdog) Run(ctx context.Context) error {
	if w.opts.Period == 0 {
		return nil
	}
	w.pinged = time.Now()
	defer func() { w.dump.end() }()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
			timer.Reset(w.ask())
		}
	}
}

// verdict is a check that fails, or passes again.
type verdict struct {
	check *check
	err   error         // nil: it passes again
	after time.Duration // how long it had failed
}

// ask asks every check, and says when to ask again.
func (w *Watchdog) ask() time.Duration {
	w.mu.Lock()
	checks := w.checks[:len(w.checks):len(w.checks)]
	w.mu.Unlock()
	for _, c := range checks {
		c.ask()
	}
	patience, cancel := context.WithTimeout(context.Background(), w.opts.Period/answerPart)
	defer cancel()
	bad := false
	var changed []verdict
	for _, c := range checks {
		err := c.await(patience)
		switch {
		case err != nil && c.failed.IsZero():
			c.failed = time.Now()
			changed = append(changed, verdict{check: c, err: err})
		case err == nil && !c.failed.IsZero():
			changed = append(changed, verdict{check: c, after: time.Since(c.failed)})
			c.failed = time.Time{}
		}
		bad = bad || err != nil
	}
	w.bad.Store(bad)
	// The log may be what hangs: systemd is told first, and the stacks are written by a timer.
	if !bad {
		w.ping()
		w.dump.end()
		w.dump = nil
	} else if w.dump == nil {
		w.dump = startDump(w.opts, heading(changed, w.pinged))
	}
	for _, v := range changed {
		w.log(v)
	}
	if bad || w.pingFailed {
		return w.opts.Period / askBadPart
	}
	return w.opts.Period / askPart
}

func (c *check) ask() {
	if !c.out {
		c.out = true
		go func() { c.answer <- c.question() }()
	}
}

func (c *check) await(patience context.Context) error {
	select {
	case err := <-c.answer: // looked at first: patience may have ended over another check
		c.out = false
		return err
	default:
	}
	select {
	case err := <-c.answer:
		c.out = false
		return err
	case <-patience.Done():
		return errors.New("it does not answer")
	}
}

func (w *Watchdog) ping() {
	if err := w.opts.Ping(); err != nil {
		if !w.pingFailed {
			w.opts.Logger.Error("systemd's watchdog cannot be told that the service lives", "error", err)
		}
		w.pingFailed = true
		return
	}
	w.pinged, w.pingFailed = time.Now(), false
}

func (w *Watchdog) log(v verdict) {
	if v.err == nil {
		w.opts.Logger.Warn("watchdog check passes again", "check", v.check.name, "failed_for", v.after.Round(time.Millisecond))
		return
	}
	left := w.opts.Period - time.Since(w.pinged)
	w.opts.Logger.Error("watchdog check fails: systemd will restart the service", "check", v.check.name,
		"error", v.err, "in", max(left, 0).Round(time.Millisecond))
}
