package client

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"vedette/capture"
	"vedette/infer"
	"vedette/infer/wire"
)

type linkState uint8

const (
	linkNew linkState = iota
	linkLoading
	linkStandby // as ready, but it gets no frames until it is promoted
	linkReady
	linkDraining // asked to end: it gets no more frames
	linkEnded
)

// Role is what a link is there for.
type Role string

// The roles of links whose worker is ready.
const (
	RoleNone    Role = ""        // its worker is not ready
	RoleActive  Role = "active"  // it gets frames
	RoleStandby Role = "standby" // it takes an active one's place
)

// Link is the conversation with one worker generation.
type Link struct {
	client *Client
	conn   *wire.Conn
	load   wire.Load
	wakes  chan struct{} // the sender has something to do. One is enough: it looks for everything
	worked chan struct{} // closed when the first result has come

	// Guarded by the client's lock.
	state     linkState
	watch     watch
	model     *infer.Model
	pid       int      // as the worker said
	lastTaken uint64   // the client's count when this link was given its last frame
	flights   []*lease // in the order of submission, at most K
	told      map[uint32]struct{}
	stale     bool // whether streams have opened or closed that the worker may not know of
	reason    string
	first     time.Duration // when the first result came
	rejected  int
	loadSent  bool
	drainSent bool

	// Of the sender alone.
	frames wire.Frames
}

// Link prepares the conversation with a worker that has been started; Serve holds it. The link takes conn over. What
// load says of protocol and generation is sent, and the generation is held against every message.
func (c *Client) Link(conn *wire.Conn, load wire.Load) *Link {
	load.Protocol = wire.ProtocolVersion
	return &Link{
		client: c, conn: conn, load: load,
		wakes:   make(chan struct{}, 1),
		worked:  make(chan struct{}),
		flights: make([]*lease, 0, c.opts.InFlight),
		told:    make(map[uint32]struct{}),
		stale:   true,
		frames:  wire.Frames{Generation: load.Generation, Records: make([]wire.FrameRecord, 0, wire.MaxBatch)},
	}
}

// ModelPath is the model that the worker was told to load.
func (l *Link) ModelPath() string { return l.load.ModelPath }

// Serve talks with the worker until that ends: nil after its Goodbye or the end of ctx, else a *Failure. It closes the
// connection, and gives the slots of all frames in flight back: they count as dropped, by deadline where the worker
// hung, by worker_down otherwise. building, which may be nil, is called once when the worker says that it builds an
// engine, ready once when the model is loaded; neither may block. Serve is called once.
func (l *Link) Serve(ctx context.Context, building func(), ready func(infer.Model)) error {
	l.begin()
	ended := make(chan error, 2) // one from each goroutine, so that neither waits
	stop := make(chan struct{})
	var both sync.WaitGroup
	both.Go(func() { ended <- l.receive(building, ready) })
	both.Go(func() {
		if err := l.send(stop); err != nil {
			ended <- err
		}
	})
	err := l.guard(ctx, ended)
	l.end(err)
	close(stop)
	_ = l.conn.Close() // nothing that was sent can be lost by it: the kernel has it, or nobody wants it
	both.Wait()
	return err
}

func (l *Link) begin() {
	c := l.client
	c.mu.Lock()
	defer c.mu.Unlock()
	l.state = linkLoading
	l.watch = newWatch(c.opts, wire.Monotonic())
	c.links = append(c.links, l)
}

func (l *Link) end(err error) {
	cause := capture.DropWorkerDown
	if failure := (*Failure)(nil); errors.As(err, &failure) && failure.Kind == KindHang {
		cause = capture.DropDeadline
	}
	c := l.client
	c.mu.Lock()
	l.state = linkEnded
	c.links = remove(c.links, l)
	for _, le := range l.flights {
		if le.state == leaseCopying {
			continue // fill sees that the link has ended
		}
		if !le.givenUp {
			c.stats.Reclaimed++
			le.stream.drops[cause]++
		}
		le.stream.settle(le, leaseVoid)
	}
	l.flights = l.flights[:0]
	promoted := c.promote()
	c.mu.Unlock()
	c.tellPromoted(promoted)
}

// guard waits for the conversation's end, or brings it about when a deadline passes.
func (l *Link) guard(ctx context.Context, ended <-chan error) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	armed := wire.Monotonic()
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-ended:
			return err
		case <-timer.C:
			failure, wait := l.check(armed)
			if failure != nil {
				return failure
			}
			armed = wire.Monotonic() + wait
			timer.Reset(wait)
		}
	}
}

// lateness is how late a timer may fire before this process is taken for having been stopped meanwhile: its worker's
// messages may be waiting to be read.
const lateness = time.Second

func (l *Link) check(armed time.Duration) (*Failure, time.Duration) {
	l.client.mu.Lock()
	defer l.client.mu.Unlock()
	now := wire.Monotonic()
	if late := now - armed; late > lateness {
		l.watch.forgive(now, late)
	}
	var oldest time.Duration
	for _, le := range l.flights {
		if le.state != leaseCopying && (oldest == 0 || le.submitted < oldest) {
			oldest = le.submitted
		}
	}
	return l.watch.check(now, oldest)
}

// Shutdown asks the worker to finish what it has and to end. It does not wait.
func (l *Link) Shutdown(reason string) error {
	c := l.client
	c.mu.Lock()
	if l.state == linkNew || l.state == linkEnded {
		c.mu.Unlock()
		return fmt.Errorf("cannot shut down: %w", errNotServed)
	}
	l.drain(reason)
	promoted := c.promote()
	c.mu.Unlock()
	c.tellPromoted(promoted)
	return nil
}

// Role is the link's at this moment.
func (l *Link) Role() Role {
	l.client.mu.Lock()
	defer l.client.mu.Unlock()
	switch l.state {
	case linkReady:
		return RoleActive
	case linkStandby:
		return RoleStandby
	}
	return RoleNone
}

// drain is Shutdown with the lock held.
func (l *Link) drain(reason string) {
	if l.state != linkDraining {
		l.state, l.reason = linkDraining, reason
		l.wake()
	}
}

// FirstResult is closed when the worker has given its first result.
func (l *Link) FirstResult() <-chan struct{} { return l.worked }

// Worked is how long the worker has been giving results: from the first to the last.
func (l *Link) Worked() time.Duration {
	l.client.mu.Lock()
	defer l.client.mu.Unlock()
	if l.first == 0 {
		return 0
	}
	return l.watch.progress - l.first
}

func (l *Link) wake() {
	select {
	case l.wakes <- struct{}{}:
	default:
	}
}

// submitted is how many frames are in flight and not given up. The lock is held.
func (l *Link) submitted() int {
	n := 0
	for _, le := range l.flights {
		if le.state != leaseCopying && !le.givenUp {
			n++
		}
	}
	return n
}
