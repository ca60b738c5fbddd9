// Package client gets frames looked at by whichever workers there are.
//
// A Client lives as long as the process. Streams are opened on it and stay open while workers come and go: each worker
// generation is a Link, served for as long as its connection lasts, and every open stream is announced to each of
// them. Several links may be served at a time; then they are a pool. Links beyond the pool's size are on standby: they
// know every stream and get no frame, until an active link ends and one of them takes its place at once.
//
// # Goroutines and the lock
//
// A link has two goroutines, one that sends and one that receives, besides Serve's own, which watches the deadlines. A
// stream has one, which calls its Handle. There is one lock, the Client's: it guards links, streams and leases alike,
// is held for moments, and never across a system call that can wait, a copy of pixels or a call of somebody else's
// code.
//
// # A frame's lease
//
//	Offer -> copying -> queued -> sent -> done -> handled -> free
//
// A place, of which each link has K, is taken from copying until the result has come; a slot of the stream's ring
// until Handle has returned. So a slow Handle takes slots from its own stream alone.
package client

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"vedette/infer"
	"vedette/infer/ring"
	"vedette/infer/wire"
)

// Options are what a Client goes by; a zero is the default.
type Options struct {
	// InFlight is K: how many frames one worker has at a time, over all streams. 2, so that the next frame is there
	// when one is done; more adds latency alone. At most wire.MaxBatch.
	InFlight int
	// Workers is how many links are active at a time, that is, get frames: rings are made large enough for them. 1.
	Workers int
	// RunDeadline is how long a worker with frames in flight may go without a result: 5 s.
	RunDeadline time.Duration
	// LoadDeadline is how long it may take from the start of Serve to Hello: 1 minute.
	LoadDeadline time.Duration
	// BuildDeadline takes LoadDeadline's place once the worker says that it builds an engine: 30 minutes.
	BuildDeadline time.Duration
	// HeartbeatTimeout is how long it may be silent, or take no message: 5 s; silent three times as long until its model is loaded.
	HeartbeatTimeout time.Duration
}

func (o Options) withDefaults() Options {
	defaults := infer.DefaultConfig().Deadlines
	o.InFlight = min(orDefault(o.InFlight, 2), wire.MaxBatch)
	o.Workers = min(orDefault(o.Workers, 1), (ring.MaxSlots-spareSlots)/o.InFlight)
	o.RunDeadline = orDefault(o.RunDeadline, defaults.Run)
	o.LoadDeadline = orDefault(o.LoadDeadline, defaults.Load)
	o.BuildDeadline = orDefault(o.BuildDeadline, defaults.Build)
	o.HeartbeatTimeout = orDefault(o.HeartbeatTimeout, 5*time.Second)
	return o
}

func orDefault[T int | time.Duration](v, fallback T) T {
	if v <= 0 {
		return fallback
	}
	return v
}

// Client hands the frames of its streams to its links. Its methods may be called from any goroutine.
type Client struct {
	opts Options
	log  *slog.Logger

	mu         sync.Mutex // see the package comment
	links      []*Link    // being served
	lastTaken  uint64     // counts frames that were given to links
	streams    []*Stream  // open
	lastStream uint32     // numbers are never used again
	queue      scheduler
	occupancy  time.Duration // how long a place is taken by one frame: a moving average
	stats      Stats
}

// New makes a client without streams or workers.
func New(opts Options, logger *slog.Logger) *Client {
	return &Client{opts: opts.withDefaults(), log: logger}
}

// Serve is Link and Serve in one, for callers that need no more.
func (c *Client) Serve(ctx context.Context, conn *wire.Conn, load wire.Load, ready func(infer.Model)) error {
	return c.Link(conn, load).Serve(ctx, nil, ready)
}

// Shutdown asks every worker to finish what it has and to end. It does not wait.
func (c *Client) Shutdown(reason string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.links) == 0 {
		return fmt.Errorf("cannot shut down: %w", errNotServed)
	}
	for _, l := range c.links {
		l.drain(reason)
	}
	return nil // nobody is promoted: all end
}

// place finds the link with the most room; among equals that which has waited longest, so that the work, and the heat,
// are spread over all. free is over all links that take frames, which are ready in number.
func (c *Client) place() (best *Link, free, ready int) {
	for _, l := range c.links {
		if l.state != linkReady {
			continue
		}
		ready++
		free += c.opts.InFlight - len(l.flights)
		if best == nil || len(l.flights) < len(best.flights) ||
			len(l.flights) == len(best.flights) && l.lastTaken < best.lastTaken {
			best = l
		}
	}
	return best, free, ready
}

// promote makes links on standby active as far as active ones are missing, and gives them. The lock is held.
func (c *Client) promote() (promoted []*Link) {
	_, _, active := c.place()
	for _, l := range c.links {
		if l.state == linkStandby && active < c.opts.Workers {
			l.state = linkReady
			promoted = append(promoted, l)
			active++
		}
	}
	c.changed()
	return promoted
}

// tellPromoted is for after the lock: a log may make its writer wait.
func (c *Client) tellPromoted(promoted []*Link) {
	for _, l := range promoted {
		c.log.Info("worker on standby takes over", "generation", l.load.Generation, "pid", l.pid)
	}
}

// changed tells everybody who waits for a place that there may be one.
func (c *Client) changed() {
	for _, s := range c.streams {
		if s.patient {
			s.kick()
		}
	}
}

// streamsChanged makes the links tell their workers of it.
func (c *Client) streamsChanged() {
	for _, l := range c.links {
		l.stale = true
		l.wake()
	}
}
