package mqtttest

import (
	"bufio"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
)

// Every broker retains it: as the last of several subscriptions it comes when all of them are taken, after what is retained
// on the others.
const sentinel = "$SYS/broker/version"

// Message is what mosquitto_sub received.
type Message struct {
	Retained       bool // it was there before the subscription
	QoS            string
	Topic, Payload string
}

// Subscriber is a mosquitto_sub that runs until the test ends.
type Subscriber struct {
	t testing.TB

	mu       sync.Mutex
	messages []Message // all that came
	ready    bool
}

// Subscribe reads topics at QoS 1 from a broker on loopback. It returns once the broker has taken the subscriptions.
func Subscribe(t testing.TB, port string, topics ...string) *Subscriber {
	t.Helper()
	args := []string{"-h", "127.0.0.1", "-p", port, "-q", "1", "-F", "%r %q %t %p"}
	for _, topic := range append(slices.Clip(topics), sentinel) {
		args = append(args, "-t", topic)
	}
	cmd := exec.Command(program(t, "mosquitto_sub"), args...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	s := &Subscriber{t: t}
	read := make(chan struct{})
	go func() {
		defer close(read)
		lines := bufio.NewScanner(out)
		lines.Buffer(nil, 4<<20)
		for lines.Scan() {
			s.add(lines.Text())
		}
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-read
		_ = cmd.Wait()
	})
	if !Eventually(func() bool { s.mu.Lock(); defer s.mu.Unlock(); return s.ready }) {
		t.Fatalf("mosquitto_sub is not subscribed within %v", Patience)
	}
	return s
}

func (s *Subscriber) add(line string) {
	fields := strings.SplitN(line, " ", 4)
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case len(fields) < 4:
		s.t.Errorf("mosquitto_sub says %q", line)
	case fields[2] == sentinel:
		s.ready = true
	default:
		s.messages = append(s.messages, Message{fields[0] == "1", fields[1], fields[2], fields[3]})
	}
}

// All is every message that has come, in order.
func (s *Subscriber) All() []Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.messages)
}

// Payloads is what has come on one topic, in order.
func (s *Subscriber) Payloads(topic string) []string {
	var payloads []string
	for _, m := range s.All() {
		if m.Topic == topic {
			payloads = append(payloads, m.Payload)
		}
	}
	return payloads
}

// Wait waits until the payloads on topic are want, in order and nothing else.
func (s *Subscriber) Wait(topic string, want ...string) {
	s.t.Helper()
	if !Eventually(func() bool { return slices.Equal(s.Payloads(topic), want) }) {
		s.t.Fatalf("on %s came %q within %v, not %q", topic, s.Payloads(topic), Patience, want)
	}
}

// WaitFor waits for one message among others.
func (s *Subscriber) WaitFor(topic, payload string) {
	s.t.Helper()
	if !Eventually(func() bool { return slices.Contains(s.Payloads(topic), payload) }) {
		s.t.Fatalf("on %s came %q within %v, never %q", topic, s.Payloads(topic), Patience, payload)
	}
}
