package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"sync"
	"time"
)

// messages is what a subscriber has received, in order.
type messages struct {
	cmd *exec.Cmd

	mu       sync.Mutex
	all      []message
	arrived  chan struct{} // closed, and replaced, when one arrives
	finished chan struct{}
}

type message struct {
	at      time.Time
	topic   string // without the prefix
	payload string
}

const prefix = "vedette/test/"

// subscribe makes mosquitto_sub read everything.
func subscribe(port string) (*messages, error) {
	m := &messages{
		// A session that the broker keeps while they are apart.
		cmd:     exec.Command("mosquitto_sub", "-h", "127.0.0.1", "-p", port, "-v", "-q", "1", "-c", "-i", "faults", "-t", "#"),
		arrived: make(chan struct{}), finished: make(chan struct{}),
	}
	out, err := m.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := m.cmd.Start(); err != nil {
		return nil, fmt.Errorf("cannot subscribe: %w", err)
	}
	go func() {
		defer close(m.finished)
		lines := bufio.NewScanner(out)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			topic, payload, _ := strings.Cut(lines.Text(), " ")
			m.mu.Lock()
			m.all = append(m.all, message{time.Now(), strings.TrimPrefix(topic, prefix), payload})
			close(m.arrived)
			m.arrived = make(chan struct{})
			m.mu.Unlock()
		}
	}()
	return m, nil
}

func (m *messages) close() {
	_ = m.cmd.Process.Kill()
	<-m.finished
	_ = m.cmd.Wait()
}

// count is a place in the order: that of the next message.
func (m *messages) count() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.all)
}

// since are the messages of a topic from a place on.
func (m *messages) since(place int, topic string) []message {
	m.mu.Lock()
	defer m.mu.Unlock()
	var found []message
	for _, message := range m.all[place:] {
		if message.topic == topic {
			found = append(found, message)
		}
	}
	return found
}

// forget lets go of what came before a place, which stays as long as the others are counted from it.
func (m *messages) forget(place int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	clear(m.all[:place])
}

// await gives the first message of a topic from a place on that is good.
func (m *messages) await(ctx context.Context, place int, topic string, good func(payload string) bool) (message, error) {
	for {
		m.mu.Lock()
		arrived := m.arrived
		m.mu.Unlock()
		for _, message := range m.since(place, topic) {
			if good(message.payload) {
				return message, nil
			}
		}
		select {
		case <-arrived:
		case <-m.finished:
			return message{}, errors.New("the subscriber has ended")
		case <-ctx.Done():
			return message{}, fmt.Errorf("no such message on %s: %w", topic, ctx.Err())
		}
	}
}

func anything(string) bool { return true }

// fault is what the row looks at of a message on the faults topic.
type fault struct {
	Process    string
	Kind       string
	Exception  string
	Message    string
	Traceback  string
	Generation uint64
	ExitCode   int `json:"exit_code"`
	Signal     string
	PeakRSS    int64 `json:"peak_rss_bytes"`
}

// fault awaits the next fault from a place on.
func (m *messages) fault(ctx context.Context, place int) (f fault, err error) {
	message, err := m.await(ctx, place, "faults", anything)
	if err != nil {
		return f, err
	}
	return f, json.Unmarshal([]byte(message.payload), &f)
}
