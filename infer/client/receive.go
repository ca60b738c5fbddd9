package client

import (
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"vedette/capture"
	"vedette/infer"
	"vedette/infer/wire"
)

// maxRejected is how many useless messages one worker may send before it is taken for mad.
const maxRejected = 100

// errGoodbye is the good end.
var errGoodbye = errors.New("goodbye")

// receive is the receiver's goroutine: it takes in what the worker says until its end, nil after Goodbye. It is not
// held up by Handle, only by the one lock.
func (l *Link) receive(building func(), ready func(infer.Model)) error {
	for {
		m, files, err := l.conn.Receive(time.Time{}) // guard closes the connection when a deadline passes
		discard(files)                               // a worker has none to give
		if err == nil {
			err = l.hear(m, building, ready)
		}
		if err == nil {
			continue
		}
		var rejected *wire.Rejected
		switch {
		case errors.Is(err, errGoodbye):
			return nil
		case errors.As(err, &rejected):
			if failure := l.reject(rejected); failure != nil {
				return failure
			}
		case errors.Is(err, io.EOF):
			return &Failure{Kind: KindExit, Message: "connection closed"}
		default:
			var failure *Failure
			if errors.As(err, &failure) {
				return failure
			}
			return &Failure{Kind: KindProtocol, Message: err.Error()}
		}
	}
}

func discard(files []*os.File) {
	for _, f := range files {
		_ = f.Close() // nothing was written to it
	}
}

func (l *Link) reject(r *wire.Rejected) error {
	l.client.mu.Lock()
	first := l.client.stats.reject(r.Reason)
	l.rejected++
	total := l.rejected
	l.client.mu.Unlock()
	if first { // the others are counted: a worker must not fill the log
		l.client.log.Warn("message of a worker rejected", "generation", l.load.Generation,
			"reason", r.Reason, "detail", r.Detail)
	}
	if r.Reason == wire.UnknownVersion {
		return &Failure{Kind: KindProtocol, Message: r.Detail}
	}
	if total >= maxRejected {
		return &Failure{
			Kind:    KindProtocol,
			Message: fmt.Sprintf("%d useless messages, the last one %s: %s", total, r.Reason, r.Detail),
		}
	}
	return nil
}

// hear acts on one message. Its errors are errGoodbye, a *wire.Rejected or a *Failure.
func (l *Link) hear(m wire.Message, building func(), ready func(infer.Model)) error {
	if got := wire.GenerationOf(m); got != l.load.Generation {
		return &wire.Rejected{
			Reason: wire.StaleGeneration,
			Detail: fmt.Sprintf("%s of generation %d instead of %d", wire.KindOf(m), got, l.load.Generation),
		}
	}
	now := wire.Monotonic()
	switch m := m.(type) {
	case *wire.Result:
		return l.hearResult(m, now)
	case *wire.Heartbeat:
		if l.hearHeartbeat(m, now) && building != nil {
			building()
		}
		return nil
	case *wire.Hello:
		if err := l.hearHello(m, now); err != nil {
			return err
		}
		if ready != nil {
			ready(m.Model)
		}
		return nil
	case *wire.Fault:
		failure := &Failure{Kind: m.Kind, Message: m.Message, Traceback: m.Traceback}
		if failure.Kind == "" {
			failure.Kind = KindExit
		}
		return failure
	case *wire.Goodbye:
		if l.drained() {
			return errGoodbye
		}
	}
	return unexpected(m)
}

func unexpected(m wire.Message) error {
	return &wire.Rejected{Reason: wire.Unexpected, Detail: wire.KindOf(m).String() + " has no place here"}
}

// drained tells whether the worker has been asked to end.
func (l *Link) drained() bool {
	l.client.mu.Lock()
	defer l.client.mu.Unlock()
	return l.drainSent
}

// hearHeartbeat tells whether the worker has begun to build an engine.
func (l *Link) hearHeartbeat(m *wire.Heartbeat, now time.Duration) (builds bool) {
	l.client.mu.Lock()
	defer l.client.mu.Unlock()
	l.watch.heard = now
	if m.Stage == wire.StageBuilding && l.model == nil && !l.watch.built {
		l.watch.built = true
		return true
	}
	return false
}

func (l *Link) hearHello(m *wire.Hello, now time.Duration) error {
	if m.Protocol != wire.ProtocolVersion {
		return &Failure{
			Kind:    KindProtocol,
			Message: fmt.Sprintf("the worker speaks protocol %d: %d is needed", m.Protocol, wire.ProtocolVersion),
		}
	}
	c := l.client
	c.mu.Lock()
	defer c.mu.Unlock()
	if l.model != nil {
		return unexpected(m)
	}
	model := m.Model
	l.model, l.pid = &model, m.PID
	l.watch.heard, l.watch.stage = now, wire.StageReady
	if l.state == linkLoading { // else it has been asked to end meanwhile
		l.state = linkStandby
		c.promote() // itself, where there is need
	}
	l.wake()
	return nil
}

func (l *Link) hearResult(m *wire.Result, now time.Duration) error {
	c := l.client
	c.mu.Lock()
	defer c.mu.Unlock()
	le := l.flight(m)
	if le == nil {
		return &wire.Rejected{
			Reason: wire.UnknownFrame,
			Detail: fmt.Sprintf("result for frame %d in slot %d of stream %d", m.Sequence, m.Slot, m.Stream),
		}
	}
	l.flights = remove(l.flights, le)
	l.watch.heard, l.watch.progress = now, now
	if l.first == 0 {
		l.first = now
		close(l.worked)
	}
	held := now - le.submitted
	if c.occupancy == 0 {
		c.occupancy = held
	}
	c.occupancy += (held - c.occupancy) / 8 // follows a change within some ten frames
	c.changed()
	if m.First {
		c.stats.Runs++
	}
	if le.givenUp {
		le.stream.settle(le, leaseVoid)
		return nil
	}
	switch m.Status {
	case wire.StatusDamaged:
		c.stats.Damaged++
		le.stream.drops[capture.DropDecode]++
		le.stream.settle(le, leaseVoid)
	case wire.StatusFailed:
		c.stats.Failed++
		le.stream.drops[capture.DropWorkerDown]++ // it was as good as down for this frame
		le.stream.settle(le, leaseVoid)
	case wire.StatusOK:
		le.result.Generation, le.result.Model = l.load.Generation, l.model
		le.result.Timings = m.Timings
		le.result.Timings.Total = held
		le.result.Detections = append(le.result.Detections[:0], m.Detections...)
		c.stats.Results++
		c.stats.add(le.result.Timings)
		le.stream.settle(le, leaseDone)
	}
	return nil
}

// flight finds the frame in flight that a result answers.
func (l *Link) flight(m *wire.Result) *lease {
	for _, le := range l.flights {
		if le.state == leaseSent && le.stream.id == m.Stream &&
			le.slot.Index() == int(m.Slot) && le.result.Sequence == m.Sequence {
			return le
		}
	}
	return nil
}
