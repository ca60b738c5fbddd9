package mqtt

import "sync"

const maxDetections = 256 // messages of single frames: beyond it the oldest go

// message is one publication.
type message struct {
	topic    string
	payload  []byte
	qos      byte
	retained bool
}

// queue is what waits for the connection beside events: the latest of each retained topic, and detections. No method blocks.
type queue struct {
	wake chan struct{} // one is enough: the sender looks for everything

	mu         sync.Mutex
	retained   map[string][]byte   // the latest of each topic
	dirty      []string            // retained topics that this connection has not seen, in order
	isDirty    map[string]struct{} // the same as a set
	detections []message           // a ring: first is the oldest
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

// nextRetained gives the next retained message that this connection has not seen.
func (q *queue) nextRetained() (m message, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.dirty) == 0 {
		return message{}, false
	}
	topic := q.dirty[0]
	q.dirty = q.dirty[1:]
	delete(q.isDirty, topic)
	m = message{topic: topic, payload: q.retained[topic], qos: 1, retained: true}
	if len(m.payload) == 0 { // it removes what the broker has: said once, or again where it does not arrive
		delete(q.retained, topic)
	}
	return m, true
}

// nextDetections gives the oldest message of a frame; scratch is memory for its payload. It is no longer in the queue.
func (q *queue) nextDetections(scratch []byte) (m message, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.n == 0 {
		return message{}, false
	}
	oldest := q.detections[q.first]
	q.first = (q.first + 1) % maxDetections
	q.n--
	oldest.payload = append(scratch[:0], oldest.payload...)
	return oldest, true
}

// putBack returns a message that did not reach the broker. Detections are best effort: they are gone.
func (q *queue) putBack(m message) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if m.retained {
		q.touch(m.topic)
		return
	}
	q.dropped++
}

func (q *queue) counts() (queued int, dropped uint64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.dirty) + q.n, q.dropped
}
