package outbox

// feed is what the sender has taken and not acknowledged.
type feed struct {
	flights []flight // in the order in which they were taken
	first   uint64   // number of flights[0]
	mark    mark     // how far acknowledgement has come
	moved   bool     // the log does not have the mark yet
}

// flight is a message that the sender has taken.
type flight struct {
	segment *segment
	begin   int // in the segment's data
	seq     uint64
	acked   bool
}

// mark is a place in the log: everything up to it is with the broker.
type mark struct {
	epoch Epoch
	seq   uint64 // 0: there is no mark
}

// Message is one that the sender has taken.
type Message struct {
	Topic   string
	Payload []byte // must not be changed
	number  uint64
}

// Ready says that there may be something to send.
func (o *Outbox) Ready() <-chan struct{} { return o.ready }

// Next takes the oldest message that has not been taken. Where there is none, or it has to be read from the disk first, ok is
// false, and Ready will say when to come again.
func (o *Outbox) Next() (m Message, ok bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, s := range o.segments {
		if s.data == nil {
			o.loading = s
			kick(o.wake)
			return m, false
		}
		for s.next < len(s.data) {
			begin := s.next
			r, size, ok := readHead(s.data[begin:])
			if !ok { // this process wrote or checked it: the machine's memory is at fault
				o.counts.Unreadable += uint64(s.depth())
				o.spoiled += s.depth()
				o.remove(s)
				kick(o.wake)
				kick(o.ready)
				return m, false
			}
			s.next += size
			if r.kind != message {
				continue
			}
			topic, payload, _ := splitMessage(s.data[begin+recordHead : s.next])
			f := &o.feed
			f.flights = append(f.flights, flight{segment: s, begin: begin, seq: r.seq})
			return Message{string(topic), payload[:len(payload):len(payload)], f.first + uint64(len(f.flights)) - 1}, true
		}
	}
	return m, false
}

// Ack says that the broker has a message.
func (o *Outbox) Ack(m Message) {
	o.mu.Lock()
	defer o.mu.Unlock()
	f := &o.feed
	if m.number < f.first || m.number-f.first >= uint64(len(f.flights)) {
		return // it was taken before the last Rewind
	}
	f.flights[m.number-f.first].acked = true
	n := 0
	for n < len(f.flights) && f.flights[n].acked {
		o.acked(f.flights[n])
		n++
	}
	if n == 0 {
		return
	}
	f.first += uint64(n)
	f.flights = append(f.flights[:0], f.flights[n:]...)
	if f.moved {
		kick(o.wake)
	}
}

func (o *Outbox) acked(f flight) {
	s := f.segment
	o.counts.Acked++
	if s.gone {
		return
	}
	s.acked++
	o.pace.done(1)
	if s.known && s == o.segments[0] { // nothing older is waiting
		o.feed.mark, o.feed.moved = mark{s.header.epoch, f.seq}, true
	}
	if s.depth() > 0 {
		return
	}
	if s != o.active() {
		o.remove(s)
	} else if len(s.data) >= segmentSize/2 { // what is removed soon is never written to flash at all
		o.roll()
	}
	if len(o.segments) == 1 && o.active().depth() == 0 {
		o.dropping = ""
	}
}

// Rewind gives everything out again that was taken and not acknowledged: the connection that had it is gone.
func (o *Outbox) Rewind() {
	o.mu.Lock()
	defer o.mu.Unlock()
	f := &o.feed
	for _, flight := range f.flights {
		flight.segment.next = min(flight.segment.next, flight.begin)
	}
	f.first += uint64(len(f.flights))
	f.flights = f.flights[:0]
}
