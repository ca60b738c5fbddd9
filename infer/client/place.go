package client

import (
	"slices"
	"time"

	"vedette/capture"
	"vedette/infer/wire"
)

// Bounds on how soon a stream without a nominal frame interval is taken to offer again.
const (
	leastInterval = time.Microsecond
	mostInterval  = time.Second
)

// take decides about a frame; where it gives no cause, a place at a link and a slot are taken. patient is for frames
// that wait until they are taken: the rate does not count for them. The lock is held.
func (s *Stream) take(f *capture.Frame, now time.Duration, patient bool) (*Link, *lease, capture.DropCause) {
	c := s.client
	interval := s.opts.Format.Interval
	if interval <= 0 {
		interval = now - s.offered
	}
	interval = min(max(interval, leastInterval), mostInterval)
	s.offered = now
	if patient {
		interval = 0
	}

	if size := len(f.Data); size == 0 || size > s.opts.Format.SizeImage || size < s.opts.Format.FrameBytes() {
		return nil, nil, capture.DropBadBuffer
	}
	if !patient && !s.pace.due(f.Monotonic) {
		return nil, nil, capture.DropRate
	}
	l, free, ready := c.place()
	if ready == 0 || s.closed {
		return nil, nil, capture.DropWorkerDown
	}
	if !c.queue.admit(&s.turn, now, free, interval, c.occupancy) {
		return nil, nil, capture.DropSuperseded
	}
	slot, ok := s.ring.Acquire()
	if !ok {
		if !patient { // to whom every frame counts
			s.giveUpOvertaken()
		}
		return nil, nil, capture.DropNoSlot
	}
	if !patient {
		s.pace.taken(f.Monotonic)
	}

	le := &s.leases[slot.Index()]
	detections := le.result.Detections[:0]
	*le = lease{
		stream: s, slot: slot, state: leaseCopying, used: uint32(len(f.Data)), submitted: now,
		result: Result{
			Stream: s, Sequence: f.Sequence, Monotonic: f.Monotonic, Wall: f.Wall,
			Pixels: slot.Bytes()[:len(f.Data):len(f.Data)], Detections: detections,
		},
	}
	s.busy++
	c.lastTaken++
	l.lastTaken = c.lastTaken
	s.order = append(s.order, le)
	l.flights = append(l.flights, le)
	return l, le, ""
}

// fill copies the frame into the slot that take has found and queues it. The lock is not held.
func (s *Stream) fill(l *Link, le *lease, f *capture.Frame) capture.DropCause {
	c := s.client
	began := wire.Monotonic()
	pixels := le.slot.Bytes()[:copy(le.slot.Bytes(), f.Data)]
	if s.painter != nil && s.painter.Paint(pixels) != nil {
		clear(pixels) // take saw that the frame is whole; were it not, nobody would see what the masks hide
	}
	now := wire.Monotonic()

	c.mu.Lock()
	defer c.mu.Unlock()
	c.stats.Copy += now - began
	if s.closed || l.state != linkReady {
		l.flights = remove(l.flights, le)
		s.settle(le, leaseVoid)
		c.changed()
		return capture.DropWorkerDown
	}
	le.state, le.submitted = leaseQueued, now
	c.stats.Submitted++
	l.wake()
	return ""
}

// settle ends a lease's flight, as leaseDone or leaseVoid. What is done goes to Handle once every earlier frame of the
// stream is settled as well: the workers of a pool overtake each other, tracking must not see that. The lock is held.
func (s *Stream) settle(le *lease, state leaseState) {
	if le.state = state; le.givenUp {
		s.free(le)
	}
	s.deliver()
}

// giveUpOvertaken gives up the frames for which results of later ones wait, where these waiting have taken all the
// stream's slots: a worker of a pool that hangs must not hold up what the others do until its deadline. Its own slots
// stay taken until it answers or ends. The lock is held.
func (s *Stream) giveUpOvertaken() {
	if s.busy > len(s.order)+s.givenUp {
		return // some are being handled: Handle is what takes its time
	}
	first := slices.IndexFunc(s.order, func(le *lease) bool { return le.state == leaseDone })
	if first < 1 {
		return
	}
	for _, le := range s.order[:first] {
		le.givenUp = true
		s.givenUp++
		s.drops[capture.DropDeadline]++
		s.client.stats.Reclaimed++
	}
	s.order = slices.Delete(s.order, 0, first)
	s.deliver()
}

// deliver hands on what is settled and has nothing before it. The lock is held.
func (s *Stream) deliver() {
	for len(s.order) > 0 && s.order[0].state >= leaseDone {
		first := s.order[0]
		s.order = slices.Delete(s.order, 0, 1)
		if first.state == leaseDone && !s.closed {
			s.results <- first // never blocks: see its declaration
			continue
		}
		if first.state == leaseDone {
			s.drops[capture.DropDeadline]++
		}
		s.free(first)
	}
	s.kick()
}

// remove takes one element out of a list, keeping the order of the others.
func remove[T comparable](list []T, v T) []T {
	return slices.DeleteFunc(list, func(other T) bool { return other == v })
}
