package client

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
	"time"

	"vedette/capture"
	"vedette/infer/wire"
)

// send is the sender's goroutine: it sends whatever next finds, until stop. It gives a *Failure or nil. That the
// worker has closed its end is not its business: the receiver may still read what it said last.
func (l *Link) send(stop <-chan struct{}) error {
	for {
		m, file := l.next()
		if m == nil {
			select {
			case <-l.wakes:
				continue
			case <-stop:
				return nil
			}
		}
		switch err := l.sendOne(m, file); {
		case err == nil:
		case errors.Is(err, os.ErrDeadlineExceeded):
			return &Failure{
				Kind:    KindHang,
				Message: fmt.Sprintf("the worker took no message within the heartbeat deadline of %s", l.client.opts.HeartbeatTimeout),
			}
		case errors.Is(err, fs.ErrClosed) && file != nil:
			// The stream was closed just now: the worker need not know of it at all.
		case errors.Is(err, syscall.EPIPE), errors.Is(err, syscall.ECONNRESET):
			return nil
		default:
			return &Failure{Kind: KindProtocol, Message: err.Error()}
		}
	}
}

func (l *Link) sendOne(m wire.Message, file *os.File) error {
	deadline := time.Now().Add(l.client.opts.HeartbeatTimeout)
	if file == nil {
		return l.conn.Send(deadline, m)
	}
	err := l.conn.Send(deadline, m, file)
	if open, ok := m.(*wire.OpenStream); ok && err == nil {
		l.told[open.Stream] = struct{}{}
	}
	return err
}

// next finds what the worker is to be told first, nil where it knows everything. What is to be said follows from what
// is the case, so that there is no queue that could grow while a worker does not listen.
func (l *Link) next() (wire.Message, *os.File) {
	c := l.client
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case !l.loadSent:
		l.loadSent = true
		return &l.load, nil
	case l.drainSent:
		return nil, nil
	}
	if l.model != nil {
		if s := l.untold(); s != nil {
			return l.introduce(s), s.ring.File()
		}
		if l.batch() {
			return &l.frames, nil
		}
		if id, ok := l.gone(); ok {
			delete(l.told, id)
			return &wire.CloseStream{Generation: l.load.Generation, Stream: id}, nil
		}
		l.stale = false
	}
	if l.state == linkDraining {
		l.drainSent = true
		return &wire.Shutdown{Generation: l.load.Generation, Reason: l.reason}, nil
	}
	return nil, nil
}

// untold finds an open stream that the worker does not know.
func (l *Link) untold() *Stream {
	if !l.stale {
		return nil
	}
	for _, s := range l.client.streams {
		if _, ok := l.told[s.id]; !ok {
			return s
		}
	}
	return nil
}

func (l *Link) introduce(s *Stream) *wire.OpenStream {
	return &wire.OpenStream{
		Generation: l.load.Generation, Stream: s.id, Name: s.opts.Name, Format: s.opts.Format,
		Geometry: s.ring.Geometry(), Region: s.opts.Region, Turn: s.opts.Turn, Masks: s.opts.Masks,
	}
}

// gone finds a stream that the worker knows and that is closed.
func (l *Link) gone() (uint32, bool) {
	if !l.stale {
		return 0, false
	}
	open := make(map[uint32]bool)
	for _, s := range l.client.streams {
		open[s.id] = true
	}
	for id := range l.told {
		if !open[id] {
			return id, true
		}
	}
	return 0, false
}

// batch gathers the frames that are queued; false where there are none.
func (l *Link) batch() bool {
	l.frames.Records = l.frames.Records[:0]
	for _, le := range l.flights { // at most K, which is at most MaxBatch
		if le.state != leaseQueued {
			continue
		}
		le.state = leaseSent
		l.frames.Records = append(l.frames.Records, wire.FrameRecord{
			Stream: le.stream.id, Slot: uint32(le.slot.Index()), Sequence: le.result.Sequence, BytesUsed: le.used,
			Monotonic: le.result.Monotonic, Submitted: le.submitted,
		})
	}
	return len(l.frames.Records) > 0
}

// dropQueued gives up a closing stream's frames that the worker has not been told of. The lock is held.
func (l *Link) dropQueued(s *Stream) {
	kept := l.flights[:0]
	var dropped []*lease
	for _, le := range l.flights {
		if le.stream == s && le.state == leaseQueued {
			dropped = append(dropped, le)
		} else {
			kept = append(kept, le)
		}
	}
	l.flights = kept
	for _, le := range dropped {
		if !le.givenUp {
			l.client.stats.Reclaimed++
			s.drops[capture.DropDeadline]++
		}
		s.settle(le, leaseVoid)
	}
}
