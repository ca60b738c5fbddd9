package mqtt

import "sync"

// Bounds of what waits for the connection.
const (
	maxDetections = 256 // messages of single frames: beyond it the oldest go
	maxFaults     = 64  // messages that are acknowledged: beyond it the oldest go
)

// message is one publication.
type message struct {
	topic    string
	payload  []byte
	qos      byte
	retained bool
}

// queue is what waits for the connection, in the order in which it goes out: the latest of each retained topic first,
// then what is acknowledged, then detections. No method blocks.
type queue struct {
	wake chan struct{} // one is enough: the sender looks for everything

	mu         sync.Mutex
	retained   map[string][]byte   // the latest of each topic
	dirty      []string            // retained topics that this connection has not seen, in order
	isDirty    map[string]struct{} // the same as a set
	faults     []message
	detections []message // a ring: first is the oldest
	first, n   int
	dropped    uint64
}

func newQueue() *queue {
	return &queue{
		wake:     make(chan struct{}, 1),
		retained: map[string][]byte{}, isDirty: map[string]struct{}{},
		detections: make([]message, maxDetections),
	}
}

func (q *queue) kick() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// setRetained takes payload over.
func (q *queue) setRetained(topic string, payload []byte) {
	q.mu.Lock()
	q.retained[topic] = payload
	q.touch(topic)
	q.mu.Unlock()
	q.kick()
}

func (q *queue) touch(topic string) {
	if _, ok := q.isDirty[topic]; !ok {
		q.isDirty[topic] = struct{}{}
		q.dirty = append(q.dirty, topic)
	}
}

// connected marks every retained topic as not seen yet: the broker may be another one, or have lost its memory.
func (q *queue) connected() {
	q.mu.Lock()
	for topic := range q.retained {
		q.touch(topic)
	}
	q.mu.Unlock()
	q.kick()
}

// addFault takes payload over.
func (q *queue) addFault(topic string, payload []byte) {
	q.mu.Lock()
	if len(q.faults) == maxFaults {
		q.faults = q.faults[1:]
		q.dropped++
	}
	q.faults = append(q.faults, message{topic: topic, payload: payload, qos: 1})
	q.mu.Unlock()
	q.kick()
}

// addDetections copies payload, into memory that is used again and again.
func (q *queue) addDetections(topic string, payload []byte) {
	q.mu.Lock()
	if q.n == maxDetections {
		q.first = (q.first + 1) % maxDetections
		q.n--
		q.dropped++
	}
	m := &q.detections[(q.first+q.n)%maxDetections]
	m.topic, m.payload = topic, append(m.payload[:0], payload...)
	q.n++
	q.mu.Unlock()
	q.kick()
}

// next gives the next message; scratch is memory for its payload. What it gives is no longer in the queue.
func (q *queue) next(scratch []byte) (m message, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case len(q.dirty) > 0:
		topic := q.dirty[0]
		q.dirty = q.dirty[1:]
		delete(q.isDirty, topic)
		return message{topic: topic, payload: q.retained[topic], qos: 1, retained: true}, true
	case len(q.faults) > 0:
		m = q.faults[0]
		q.faults = q.faults[1:]
		return m, true
	case q.n > 0:
		oldest := q.detections[q.first]
		q.first = (q.first + 1) % maxDetections
		q.n--
		oldest.payload = append(scratch[:0], oldest.payload...)
		return oldest, true
	}
	return message{}, false
}

// putBack returns a message that did not reach the broker. Detections are best effort: they are gone. So is a fault where the
// queue has filled up meanwhile: it is the oldest.
func (q *queue) putBack(m message) {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case m.retained:
		q.touch(m.topic)
	case m.qos > 0 && len(q.faults) < maxFaults:
		q.faults = append([]message{m}, q.faults...)
	default:
		q.dropped++
	}
}

func (q *queue) counts() (queued int, dropped uint64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.dirty) + len(q.faults) + q.n, q.dropped
}
