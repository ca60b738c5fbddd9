package outbox

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"
)

// Options are what an outbox is made of.
type Options struct {
	Files  Files         // nil: it is in memory alone, as configured
	Size   int64         // bytes on the disk that it may take; 0: DefaultSize
	Age    time.Duration // messages are given up after it, and after an eighth more at the latest; 0: never
	Memory int           // bytes that wait in memory while the disk does not take them; 0: DefaultMemory
	Clock  func() Stamp
	Logger *slog.Logger
}

// Bounds where Options have none.
const (
	DefaultSize   = 256 << 20
	DefaultMemory = 4 << 20
	DefaultAge    = 168 * time.Hour
)

// LeastSize is the smallest bound: of four segments, that give up a quarter at a time.
const LeastSize = 4 * segmentSize

// opening is how long the start waits for the disk.
const opening = 3 * time.Second

// Outbox is the log. Its methods may be called from any goroutine, and none waits for the disk but Open and Run; those of the
// sender (Next, Ack, Rewind) are for one goroutine.
type Outbox struct {
	opts   Options
	wake   chan struct{} // one is enough: the writer looks for everything
	ready  chan struct{} // the same for the sender
	opened chan struct{} // closed when the first try to open has ended
	disk   disk          // of the goroutine that writes

	mu       sync.Mutex // guards the rest
	epoch    Epoch
	text     string     // the epoch's
	seq      uint64     // the last that was given
	segments []*segment // oldest first; messages are appended to the last, which is always this life's
	doomed   []uint64   // files to be removed
	loading  *segment   // that the sender waits for
	feed     feed
	pace     pace
	counts   Counts
	trouble  trouble
	late     bool   // the start did not wait for the disk any longer: the epoch is fixed
	dropping string // why messages are given up; empty while none is
	unsaid   bool   // the log does not have that yet
	spoiled  int    // messages that this machine's memory has lost, which the log does not have yet
}

// Counts of an Outbox only grow.
type Counts struct {
	Appended   uint64
	Acked      uint64
	Dropped    uint64 // messages that a bound made it give up
	Damaged    uint64 // stretches of segments that held no good record
	Unreadable uint64 // messages whose segment could not be read again
	Oversized  uint64 // messages that were too large to be kept
	Written    uint64 // bytes that were handed to the file system
	Syncs      uint64
}

// Status is what an outbox knows of itself.
type Status struct {
	Counts
	Epoch    string
	Seq      uint64 // the last that was given
	Depth    int    // messages that are not acknowledged
	Unsynced int    // messages that are not on the disk for sure
	Bytes    int64  // of all segments
	InMemory int    // bytes that the disk has not taken
	Failure  string // why it does not; empty where it does
}

// Open opens an outbox, or makes one. It comes back after 3 s at the latest, whatever the disk does: Status tells what is
// wrong, and what is on the disk is sent once that can be read. Run has to follow.
func Open(opts Options) *Outbox {
	if opts.Size == 0 {
		opts.Size = DefaultSize
	}
	if opts.Memory == 0 {
		opts.Memory = DefaultMemory
	}
	o := newOutbox(opts)
	if opts.Files == nil {
		close(o.opened)
		return o
	}
	go func() {
		defer close(o.opened)
		o.step(time.Now())
	}()
	timer := time.NewTimer(opening)
	defer timer.Stop()
	select {
	case <-o.opened:
	case <-timer.C:
		o.mu.Lock()
		o.late = true
		o.mu.Unlock()
	}
	return o
}

func newOutbox(opts Options) *Outbox {
	o := &Outbox{
		opts: opts, epoch: newEpoch(),
		wake: make(chan struct{}, 1), ready: make(chan struct{}, 1), opened: make(chan struct{}),
	}
	o.text = o.epoch.String()
	o.segments = []*segment{newSegment(header{o.epoch, opts.Clock()})}
	return o
}

var errOversized = errors.New("a message is too large to be kept")

// Append adds a message. encode appends the payload to dst; it is called once, before Append comes back, and must not block.
func (o *Outbox) Append(topic string, encode func(dst []byte, epoch string, seq uint64) []byte) error {
	if topic == "" || len(topic) > maxTopic {
		return fmt.Errorf("a topic of %d bytes is none", len(topic))
	}
	if err := o.append(topic, encode); err != nil {
		return err
	}
	kick(o.wake)
	kick(o.ready)
	return nil
}

func (o *Outbox) append(topic string, encode func(dst []byte, epoch string, seq uint64) []byte) error {
	now := time.Now()
	o.mu.Lock()
	defer o.mu.Unlock()
	s := o.active()
	if s.full() {
		s = o.roll()
	}
	start := len(s.data)
	data := encode(beginMessage(s.data, topic), o.text, o.seq+1)
	if n := len(data) - start - recordHead - topicHead; n > maxMessage {
		o.counts.Oversized++
		return fmt.Errorf("%w: topic and payload have %d bytes, more than %d", errOversized, n, maxMessage)
	}
	o.seq++
	endRecord(data, start, message, o.seq)
	if len(data) > segmentSize && s.messages > 0 { // it begins the next segment
		record := data[start:]
		s = o.roll()
		data = append(s.data, record...)
	}
	s.data = data
	s.messages++
	o.counts.Appended++
	o.pace.append(now)
	return nil
}

// active is the segment that messages are appended to.
func (o *Outbox) active() *segment { return o.segments[len(o.segments)-1] }

// roll begins the next segment.
func (o *Outbox) roll() *segment {
	last := o.active()
	s := newSegment(header{o.epoch, o.opts.Clock()})
	s.data = slices.Grow(s.data, segmentSize)
	o.segments = append(o.segments, s)
	if last.depth() == 0 {
		o.remove(last)
	}
	o.bound()
	return s
}

// remove takes a segment out of the log.
func (o *Outbox) remove(s *segment) {
	s.gone = true
	o.pace.done(s.depth())
	o.segments = slices.DeleteFunc(o.segments, func(other *segment) bool { return other == s })
	if s.number != 0 {
		o.doomed = append(o.doomed, s.number)
	}
}

// Status may be asked for at any time.
func (o *Outbox) Status() Status {
	o.mu.Lock()
	defer o.mu.Unlock()
	s := Status{
		Counts: o.counts, Epoch: o.text, Seq: o.seq, Unsynced: o.pace.unsynced(), Failure: o.trouble.why(time.Now()),
	}
	for _, seg := range o.segments {
		s.Depth += seg.depth()
		s.InMemory += seg.unwritten()
		if seg.number != 0 || !seg.mine() {
			s.Bytes += seg.bytes()
		}
	}
	return s
}

func kick(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
