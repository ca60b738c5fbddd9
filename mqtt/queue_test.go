package mqtt

import (
	"fmt"
	"slices"
	"testing"
)

// next takes what the sender would, were there no events.
func (q *queue) next(scratch []byte) (message, bool) {
	if m, ok := q.nextRetained(); ok {
		return m, true
	}
	return q.nextDetections(scratch)
}

// all takes everything out of a queue, as "topic=payload".
func all(q *queue) []string {
	var got []string
	for {
		m, ok := q.next(nil)
		if !ok {
			return got
		}
		got = append(got, m.topic+"="+string(m.payload))
	}
}

func TestQueueOrder(t *testing.T) {
	tests := map[string]struct {
		fill func(q *queue)
		want []string
	}{
		"nothing": {func(*queue) {}, nil},
		"retained first, then detections": {func(q *queue) {
			q.addDetections("d", []byte("1"))
			q.setRetained("r", []byte("3"))
			q.addDetections("d", []byte("4"))
		}, []string{"r=3", "d=1", "d=4"}},
		"the latest of each retained topic": {func(q *queue) {
			q.setRetained("a", []byte("1"))
			q.setRetained("b", []byte("2"))
			q.setRetained("a", []byte("3"))
		}, []string{"a=3", "b=2"}},
		"a retained topic that was published is not again": {func(q *queue) {
			q.setRetained("a", []byte("1"))
			q.next(nil)
			q.setRetained("b", []byte("2"))
		}, []string{"b=2"}},
		"but is to another connection": {func(q *queue) {
			q.setRetained("a", []byte("1"))
			q.next(nil)
			q.connected()
		}, []string{"a=1"}},
		"and once only": {func(q *queue) {
			q.setRetained("a", []byte("1"))
			q.connected()
			q.connected()
		}, []string{"a=1"}},
		"a retained message that is put back has the newest value": {func(q *queue) {
			q.setRetained("a", []byte("1"))
			m, _ := q.next(nil)
			q.setRetained("a", []byte("2"))
			q.putBack(m)
		}, []string{"a=2"}},
		"detections that are put back are gone": {func(q *queue) {
			q.addDetections("d", []byte("1"))
			q.addDetections("d", []byte("2"))
			m, _ := q.next(nil)
			q.putBack(m)
		}, []string{"d=2"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			q := newQueue()
			test.fill(q)
			if got := all(q); !slices.Equal(got, test.want) {
				t.Errorf("it gives %q, not %q", got, test.want)
			}
		})
	}
}

func TestQueueBounds(t *testing.T) {
	const more = 10
	q := newQueue()
	var want []string
	for i := range maxDetections + more {
		topic := fmt.Sprint(i)
		q.addDetections(topic, nil)
		if i >= more {
			want = append(want, topic+"=")
		}
	}
	if queued, dropped := q.counts(); queued != maxDetections || dropped != more {
		t.Errorf("%d wait and %d are dropped, not %d and %d", queued, dropped, maxDetections, more)
	}
	if got := all(q); !slices.Equal(got, want) {
		t.Errorf("it gives %q, not %q", got, want)
	}
	if queued, _ := q.counts(); queued != 0 {
		t.Errorf("%d wait in an empty queue", queued)
	}
}

// The sender's message and what is added later share no memory.
func TestQueueKeepsMemoryApart(t *testing.T) {
	q := newQueue()
	mine := []byte("mine")
	q.addDetections("d", mine)
	copy(mine, "late")
	var scratch []byte
	m, _ := q.next(scratch)
	for range 2 * maxDetections {
		q.addDetections("d", []byte("next"))
	}
	if string(m.payload) != "mine" {
		t.Errorf("the message became %q", m.payload)
	}
	if again, _ := q.next(m.payload); string(again.payload) != "next" || &again.payload[0] != &m.payload[0] {
		t.Error("the scratch memory is not used")
	}
}

func TestQueueWakes(t *testing.T) {
	tests := map[string]func(q *queue){
		"retained":   func(q *queue) { q.setRetained("r", nil) },
		"detections": func(q *queue) { q.addDetections("d", nil) },
		"connection": func(q *queue) { q.connected() },
	}
	for name, add := range tests {
		t.Run(name, func(t *testing.T) {
			q := newQueue()
			add(q)
			add(q) // does not block
			select {
			case <-q.wake:
			default:
				t.Error("nobody is woken")
			}
		})
	}
}

func TestQueueAllocatesNothingForDetections(t *testing.T) {
	q := newQueue()
	topic, message := "vedette/bench/porch/detections", make([]byte, 2000)
	scratch := make([]byte, 0, len(message))
	for range maxDetections {
		q.addDetections(topic, message)
	}
	if n := testing.AllocsPerRun(1000, func() {
		q.addDetections(topic, message)
		q.next(scratch)
	}); n != 0 {
		t.Errorf("a message takes %g allocations", n)
	}
}
