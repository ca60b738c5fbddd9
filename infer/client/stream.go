package client

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"time"

	"vedette/capture"
	"vedette/infer"
	"vedette/infer/preprocess/mask"
	"vedette/infer/ring"
	"vedette/infer/wire"
)

// spareSlots are a ring's slots beyond those for frames in flight: one whose result is being handled, one to copy into
// meanwhile.
const spareSlots = 2

// StreamOptions describe a stream of frames that all look alike.
type StreamOptions struct {
	Name   string // of the camera
	Format capture.Format
	Region [4]float64 // x1, y1, x2, y2 in 0..1: what the model looks at
	Turn   capture.Turn
	// Masks are painted in the copy of raw frames, so that no worker ever has what they hide, and by the worker after
	// decoding for MJPEG: then Result.Pixels is not masked.
	Masks [][]capture.Point
	Rate  float64 // most frames a second; 0: as many as there is time for
	// Handle is called with each result, in the order of submission, on the stream's own goroutine. The Result and all
	// it points to but Model are the stream's and valid until Handle returns. While it runs it holds a slot.
	Handle func(*Result)
}

// Result is what was found in one frame.
type Result struct {
	Stream     *Stream
	Generation uint64        // of the worker
	Sequence   uint32        // Sequence, Monotonic and Wall are the frame's, as offered
	Monotonic  time.Duration // on CLOCK_MONOTONIC
	Wall       time.Time
	Pixels     []byte // the frame's bytes
	Detections []infer.Detection
	Timings    infer.Timings
	Model      *infer.Model // not to be changed; the same for every result of one worker
}

// Stream is one camera's frames in one format. Offer, Submit and Drain are called from one goroutine at a time, the
// other methods from any.
type Stream struct {
	client  *Client
	opts    StreamOptions
	id      uint32
	ring    *ring.Ring
	painter *mask.Painter // nil where there is nothing to paint
	kicks   chan struct{} // for Submit and Drain: look again. One is enough
	results chan *lease   // as many as there are slots, each of which it can hold but once: it cannot overflow
	done    chan struct{} // closed when the last Handle has returned

	// Guarded by the client's lock.
	closed  bool
	patient bool    // whether Submit waits for a place
	leases  []lease // by slot
	order   []*lease
	busy    int // leases that are not free
	givenUp int // of these, as in lease
	turn    turn
	pace    pacer
	offered time.Duration // when the last frame was offered
	drops   map[capture.DropCause]uint64
}

// lease is the use of one slot for one frame.
type lease struct {
	stream    *Stream
	slot      *ring.Slot
	state     leaseState
	used      uint32        // bytes in the slot
	submitted time.Duration // on CLOCK_MONOTONIC
	givenUp   bool          // it is accounted for, whatever the worker still says of it
	result    Result
}

type leaseState uint8

const (
	leaseFree    leaseState = iota
	leaseCopying            // Offer is at it
	leaseQueued             // the sender will take it
	leaseSent               // the worker has it
	leaseDone               // the result is there, perhaps not yet those of earlier frames
	leaseVoid               // nothing will come of it
)

// OpenStream makes the ring for a stream's frames, and tells the present workers of it and every later one.
func (c *Client) OpenStream(o StreamOptions) (*Stream, error) {
	if err := o.Format.Validate(); err != nil {
		return nil, fmt.Errorf("cannot open stream %s: %w", o.Name, err)
	}
	if o.Handle == nil {
		return nil, fmt.Errorf("cannot open stream %s: nobody handles its results", o.Name)
	}
	var painter *mask.Painter
	if o.Format.Pixel != capture.MJPEG && len(o.Masks) > 0 {
		var err error
		if painter, err = mask.New(o.Format, o.Turn, o.Masks); err != nil {
			return nil, fmt.Errorf("cannot open stream %s: %w", o.Name, err)
		}
	}
	slots := spareSlots + c.opts.InFlight*c.opts.Workers
	r, err := ring.New(o.Name, slots, o.Format.SizeImage)
	if err != nil {
		return nil, fmt.Errorf("cannot open stream %s: %w", o.Name, err)
	}
	s := &Stream{
		client: c, opts: o, ring: r, painter: painter,
		kicks: make(chan struct{}, 1), results: make(chan *lease, slots), done: make(chan struct{}),
		leases: make([]lease, slots), order: make([]*lease, 0, slots),
		pace:  newPacer(o.Rate, o.Format.Interval),
		drops: make(map[capture.DropCause]uint64),
	}
	go s.handle()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lastStream++
	s.id = c.lastStream
	c.streams = append(c.streams, s)
	c.streamsChanged()
	return s, nil
}

// Name is the stream's, as in its options.
func (s *Stream) Name() string { return s.opts.Name }

// Format is the stream's, as in its options.
func (s *Stream) Format() capture.Format { return s.opts.Format }

// Drops is how many frames were not looked at, by cause.
func (s *Stream) Drops() map[capture.DropCause]uint64 {
	s.client.mu.Lock()
	defer s.client.mu.Unlock()
	return maps.Clone(s.drops)
}

// Offer submits a frame if there is room for it now, and says why not otherwise. It never blocks, and decides before
// it copies; the frame is still the caller's. Causes are looked for in this order: bad_buffer, rate, worker_down,
// superseded (a newer frame will win the place), no_slot (results are not handled fast enough).
func (s *Stream) Offer(f *capture.Frame) (capture.DropCause, bool) {
	c := s.client
	c.mu.Lock()
	l, le, cause := s.take(f, wire.Monotonic(), false)
	if cause == "" {
		c.mu.Unlock()
		cause = s.fill(l, le, f)
		c.mu.Lock()
	}
	defer c.mu.Unlock()
	if cause != "" {
		s.drops[cause]++
	}
	return cause, cause == ""
}

// Submit submits every frame, whatever the stream's rate: it waits until there is a worker with room. Where it fails,
// by the end of ctx or with ErrClosed, the frame was not submitted and is not counted as dropped.
func (s *Stream) Submit(ctx context.Context, f *capture.Frame) error {
	c := s.client
	for {
		c.mu.Lock()
		l, le, cause := s.take(f, wire.Monotonic(), true)
		closed := s.closed
		s.patient = cause != ""
		c.mu.Unlock()
		switch {
		case closed:
			return ErrClosed
		case cause == capture.DropBadBuffer:
			s.giveUp()
			return fmt.Errorf("cannot submit a frame of %d bytes to stream %s", len(f.Data), s.opts.Name)
		case cause == "":
			if s.fill(l, le, f) == "" {
				return nil
			}
			continue // the worker has ended since: take another, or wait for it
		}
		select {
		case <-s.kicks:
		case <-ctx.Done():
			s.giveUp()
			return fmt.Errorf("cannot submit a frame to stream %s: %w", s.opts.Name, ctx.Err())
		}
	}
}

func (s *Stream) giveUp() {
	s.client.mu.Lock()
	defer s.client.mu.Unlock()
	s.patient = false
	s.client.queue.forget(&s.turn)
}

// Drain waits until every frame that was submitted has been handled or given up.
func (s *Stream) Drain(ctx context.Context) error {
	for {
		s.client.mu.Lock()
		busy := s.busy
		s.client.mu.Unlock()
		if busy == 0 {
			return nil
		}
		select {
		case <-s.kicks:
		case <-ctx.Done():
			return fmt.Errorf("cannot drain stream %s of %d frames: %w", s.opts.Name, busy, ctx.Err())
		}
	}
}

// Close ends the stream. It waits for a Handle that runs, and so must not be called from one; after it none is called.
// Frames still in flight are counted as dropped by deadline. The ring's memory goes when the last of them is back.
func (s *Stream) Close() error {
	c := s.client
	c.mu.Lock()
	if s.closed {
		c.mu.Unlock()
		<-s.done
		return nil
	}
	s.closed = true
	c.streams = remove(c.streams, s)
	c.queue.forget(&s.turn)
	for _, l := range c.links {
		l.dropQueued(s)
	}
	close(s.results)
	s.kick()
	c.streamsChanged()
	c.mu.Unlock()
	<-s.done
	// A link may be sending the descriptor at this moment: the file takes care of that, see wire.Conn.Send.
	if err := s.ring.Close(); err != nil && !errors.Is(err, os.ErrClosed) {
		return fmt.Errorf("cannot close stream %s: %w", s.opts.Name, err)
	}
	return nil
}

func (s *Stream) kick() {
	select {
	case s.kicks <- struct{}{}:
	default:
	}
}

// handle runs on the stream's own goroutine: whatever Handle does costs only this stream.
func (s *Stream) handle() {
	defer close(s.done)
	for le := range s.results {
		s.opts.Handle(&le.result)
		s.client.mu.Lock()
		s.free(le)
		s.client.mu.Unlock()
		s.kick()
	}
}

// free ends a lease and gives its slot back. The lock is held.
func (s *Stream) free(le *lease) {
	le.slot.Release()
	if le.givenUp {
		s.givenUp--
	}
	le.state, le.slot, le.givenUp = leaseFree, nil, false
	s.busy--
}
