package outbox

import (
	"errors"
	"fmt"
	"time"
)

// A disk that takes longer for one thing is said to be slow.
const slow = 1500 * time.Millisecond

// How long the disk is left alone after a failure, doubling with each.
const (
	leastRest = time.Second
	mostRest  = 30 * time.Second
)

// trouble is what is wrong with the disk.
type trouble struct {
	err    error // the last failure; nil once everything is written
	writes span  // and whatever else has to come before them
	syncs  span
	rest   time.Duration
	resume time.Time // when it is tried again
}

// span is what the disk takes for one kind of thing.
type span struct {
	busy time.Time // since when it is at work; zero: it is not
	took time.Duration
}

// why is empty where nothing is wrong.
func (t *trouble) why(now time.Time) string {
	if t.err != nil {
		return t.err.Error()
	}
	for _, s := range []span{t.writes, t.syncs} {
		switch {
		case !s.busy.IsZero() && now.Sub(s.busy) > slow:
			return fmt.Sprintf("the disk has not answered for %v", now.Sub(s.busy).Round(time.Second))
		case s.took > slow:
			return fmt.Sprintf("the disk took %v for its last answer", s.took.Round(100*time.Millisecond))
		}
	}
	return ""
}

// failed notes a failure and says whether it is a new one. Each try makes a file of another name: the cause tells, not the text.
func (t *trouble) failed(err error, now time.Time) (isNew bool) {
	isNew = t.err == nil || cause(t.err) != cause(err)
	t.err = err
	t.rest = min(max(2*t.rest, leastRest), mostRest)
	t.resume = now.Add(t.rest)
	return isNew
}

// cause is what the innermost error says.
func cause(err error) string {
	for inner := errors.Unwrap(err); inner != nil; inner = errors.Unwrap(err) {
		err = inner
	}
	return err.Error()
}

// ask does something with the disk, and says once where that takes long. One thing of a kind is asked at a time.
func (o *Outbox) ask(kind *span, what string, do func() error) error {
	began := time.Now()
	o.mu.Lock()
	kind.busy = began
	wasSlow := kind.took > slow
	o.mu.Unlock()
	if !wasSlow {
		defer time.AfterFunc(slow, func() {
			o.opts.Logger.Warn("the disk is slow; messages are kept in memory meanwhile", "folder", "outbox", "at", what)
		}).Stop()
	}
	err := do()
	took := time.Since(began)
	o.mu.Lock()
	kind.busy, kind.took = time.Time{}, took
	o.mu.Unlock()
	if err != nil {
		return fmt.Errorf("cannot %s: %w", what, err)
	}
	return nil
}

// fail notes that the disk does not take what there is.
func (o *Outbox) fail(err error, now time.Time) {
	o.mu.Lock()
	isNew, depth := o.trouble.failed(err, now), o.depth()
	o.mu.Unlock()
	if isNew {
		o.opts.Logger.Error("the outbox cannot use the disk; messages are kept in memory meanwhile, and lost with it",
			"error", err, "depth", depth)
	}
}

// recovered notes that everything is written.
func (o *Outbox) recovered() {
	o.mu.Lock()
	was := o.trouble.err
	o.trouble.err, o.trouble.rest = nil, 0
	o.mu.Unlock()
	if was != nil {
		o.opts.Logger.Info("the outbox can use the disk again", "was", was)
	}
}
