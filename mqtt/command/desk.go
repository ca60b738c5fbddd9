package command

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"vedette/mqtt"
	"vedette/mqtt/payload"
)

// Options are what a Desk is made of.
type Options struct {
	Topics  Topics
	Allowed []string // names of commands that are obeyed
	// File keeps which commands were obeyed, over restarts; empty: none does.
	File  string
	Clock func() Clock
	// Execute carries a command out. Its error is the answer.
	Execute func(ctx context.Context, r Request) error
	// Answer publishes an answer. It must not block.
	Answer func(topic string, text []byte)
	Logger *slog.Logger
}

// Desk is where commands come in, one after the other.
type Desk struct {
	opts   Options
	queue  chan order // as many as may wait
	memory *memory

	mu       sync.Mutex // guards the rest; never held while anything blocks
	obeyed   bucket
	rejected bucket
	counts   map[outcome]uint64
	stopped  bool // nothing is carried out any more
}

// order is a command on its way to be carried out.
type order struct {
	parsed
	result string // topic of the answer
}

type outcome struct{ command, result string }

// Count is how often a command had a result.
type Count struct {
	Command, Result string // Result is ok, failed, refused or repeated
	N               uint64
}

// New makes a desk. Nothing is carried out before Run.
func New(o Options) (*Desk, error) {
	m, err := openMemory(o.File)
	d := &Desk{
		opts: o, queue: make(chan order, queued), memory: m, counts: map[outcome]uint64{},
		obeyed: bucket{most: burst, every: interval}, rejected: bucket{most: 2 * burst, every: interval / 2},
	}
	return d, err
}

// Subscriptions are the topics of every command, also of those that are not obeyed: these are answered too.
func (d *Desk) Subscriptions() []mqtt.Subscription {
	var all []mqtt.Subscription
	for _, name := range Names() {
		filter := d.opts.Topics.Command(name)
		if name == Enable {
			filter = d.opts.Topics.EnableCommand("+")
		}
		all = append(all, mqtt.Subscription{Filter: filter, Handle: func(m mqtt.Received) { d.take(name, m) }})
	}
	return all
}

// take decides on a command, and answers it where it is not to be carried out. It does not block.
func (d *Desk) take(name string, m mqtt.Received) {
	camera, topic := "", d.opts.Topics.CommandResult(name)
	if name == Enable {
		before, after, _ := strings.Cut(d.opts.Topics.EnableCommand("+"), "+")
		camera = strings.TrimSuffix(strings.TrimPrefix(m.Topic, before), after)
		topic = d.opts.Topics.EnableResult(camera)
	}
	p, err := parse(name, camera, m.Payload)
	if e, known := d.memory.lookup(p.ID); known && !m.Retained {
		d.repeat(topic, p, e)
		return
	}
	if err == nil {
		err = d.objection(p, m)
	}
	if err != nil {
		why, _, _ := strings.Cut(err.Error(), "\n")
		d.reject(topic, "refused", p.Name, payload.Result{ID: p.ID, Error: why})
		return
	}
	d.accept(topic, p)
}

// objection says why a command is not to be obeyed.
func (d *Desk) objection(p parsed, m mqtt.Received) error {
	switch {
	case m.Retained:
		return errors.New("a retained command is not obeyed: it would be again at each connection; send it without the retain flag")
	case p.Name == Enable && !validName.MatchString(p.Camera):
		return fmt.Errorf("%q is no camera's name", p.Camera)
	case !slices.Contains(d.opts.Allowed, p.Name):
		return fmt.Errorf("%s is not allowed: mqtt.commands in the device's configuration does not list it", p.Name)
	}
	return expired(p.expires, d.opts.Clock())
}

// expired says why a command with this end of life is not to be obeyed. Where the time is not known, it fails closed.
func expired(at time.Time, clock Clock) error {
	switch {
	case at.IsZero():
		return nil
	case at.Before(clock.Floor), clock.Synced && at.Before(clock.Now):
		return errors.New("the command has expired")
	case !clock.Synced:
		return errors.New("the command may have expired: this device's clock is not set, so it cannot tell; send it without expires_at")
	case clock.Now.Before(clock.Floor):
		return errors.New("the command may have expired: this device's clock was set back, so it cannot tell")
	case at.After(clock.Now.Add(longestLife)):
		return fmt.Errorf("expires_at is more than %v ahead", longestLife)
	}
	return nil
}

// accept queues a command, if there are not too many.
func (d *Desk) accept(topic string, p parsed) {
	why := ""
	d.mu.Lock()
	switch {
	case d.stopped:
		why = stops
	case !d.obeyed.take(time.Now()):
		why = fmt.Sprintf("too many commands: one each %v, %d at once", interval, burst)
	case len(d.queue) == cap(d.queue): // it is filled here only, under the lock
		why = "too many commands wait: try again"
	default:
		d.memory.note(entry{ID: p.ID, Sum: p.sum})
		d.queue <- order{p, topic}
	}
	d.mu.Unlock()
	if why != "" {
		d.reject(topic, "refused", p.Name, payload.Result{ID: p.ID, Error: why})
	}
}

// repeat answers a command again that was seen before.
func (d *Desk) repeat(topic string, p parsed, e entry) {
	switch {
	case p.sum != "" && e.Sum != p.sum:
		d.reject(topic, "refused", p.Name, payload.Result{ID: p.ID, Error: "the id was used for another command: each needs its own"})
	case e.Done:
		d.reject(topic, "repeated", p.Name, payload.Result{ID: e.ID, OK: e.OK, Error: e.Error})
	default: // it is being carried out, and answered then
		d.count(p.Name, "repeated")
	}
}

// reject answers a command that is not carried out. Beyond a rate of their own these are counted only: a flood is not worth
// another.
func (d *Desk) reject(topic, result, name string, r payload.Result) {
	d.mu.Lock()
	heard := d.rejected.take(time.Now())
	d.mu.Unlock()
	if !heard {
		d.count(name, result)
		return
	}
	if result == "refused" {
		d.opts.Logger.Warn("a command is refused", "command", name, "id", r.ID, "why", r.Error)
	}
	d.answer(topic, r, result, name)
}

func (d *Desk) answer(topic string, r payload.Result, result, name string) {
	d.count(name, result)
	r.V = payload.Version
	text, err := json.Marshal(r)
	if err != nil {
		d.opts.Logger.Error("cannot answer a command", "error", err)
		return
	}
	d.opts.Answer(topic, text)
}

func (d *Desk) count(name, result string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.counts[outcome{name, result}]++
}

// Counts is how often each command had which result.
func (d *Desk) Counts() []Count {
	d.mu.Lock()
	defer d.mu.Unlock()
	var all []Count
	for o, n := range d.counts {
		all = append(all, Count{o.command, o.result, n})
	}
	slices.SortFunc(all, func(a, b Count) int { return strings.Compare(a.Command+a.Result, b.Command+b.Result) })
	return all
}

// stops is the answer to what comes too late.
const stops = "the service stops: send it again"

// stop answers what waits, and sees to it that nothing waits any more. Neither is on the disk: sent again, it is obeyed.
func (d *Desk) stop() {
	d.mu.Lock()
	d.stopped = true
	d.mu.Unlock()
	for {
		select {
		case o := <-d.queue:
			d.memory.note(entry{ID: o.ID, Sum: o.sum, Done: true, Error: stops})
			d.answer(o.result, payload.Result{ID: o.ID, Error: stops}, "refused", o.Name)
		default:
			return
		}
	}
}

// Run carries out commands, one after the other, until ctx ends. What waits then is answered, and not carried out. One that takes long
// is carried out beside the others.
func (d *Desk) Run(ctx context.Context) error {
	said := false
	long, busy := make(chan outcomeOf), false // of the one that takes long
	for {
		select {
		case <-ctx.Done():
			if busy {
				d.conclude(<-long)
			}
			d.stop()
			return nil
		case done := <-long:
			busy = false
			d.conclude(done)
		case o := <-d.queue:
			err := d.memory.keep(entry{ID: o.ID, Sum: o.sum}, true)
			if err != nil && !said {
				said = true
				d.opts.Logger.Warn("which commands were obeyed is not kept on disk: after a restart they could be replayed", "error", err)
			}
			switch {
			case o.Name != Model:
				d.conclude(d.carryOut(ctx, o))
			case busy:
				d.conclude(outcomeOf{o, time.Now(), errors.New("an earlier one is being carried out: wait for its answer")})
			default:
				busy = true
				go func() { long <- d.carryOut(ctx, o) }()
			}
		}
	}
}

// outcomeOf is what came of an order.
type outcomeOf struct {
	order
	began time.Time
	err   error
}

func (d *Desk) carryOut(ctx context.Context, o order) outcomeOf {
	began := time.Now()
	return outcomeOf{o, began, d.opts.Execute(ctx, o.Request)}
}

// conclude answers a command that was carried out, and remembers its outcome.
func (d *Desk) conclude(o outcomeOf) {
	done := entry{ID: o.ID, Sum: o.sum, Done: true, OK: o.err == nil}
	result := "ok"
	if o.err != nil {
		result, done.Error = "failed", o.err.Error()
	}
	done = d.memory.note(done)
	d.opts.Logger.Info("a command was carried out", "command", o.Name, "id", o.ID, "result", result, "error", done.Error,
		"took", time.Since(o.began).Round(time.Millisecond))
	d.answer(o.result, payload.Result{ID: o.ID, OK: done.OK, Error: done.Error}, result, o.Name)
	_ = d.memory.keep(done, false) // what failed was said when it was opened; its outcome is for a repetition only
}

// bucket is a rate with a burst: most tokens, and a new one each interval.
type bucket struct {
	most   int
	every  time.Duration
	tokens float64
	last   time.Time
}

func (b *bucket) take(now time.Time) bool {
	if b.last.IsZero() {
		b.tokens = float64(b.most)
	} else {
		b.tokens = min(float64(b.most), b.tokens+float64(now.Sub(b.last))/float64(b.every))
	}
	b.last = now
	if b.tokens < 1 {
		return false
	}
	b.tokens--
	return true
}
