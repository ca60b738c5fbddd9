package mqtt

import (
	"context"
	"fmt"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"

	"vedette/mqtt/outbox"
	"vedette/mqtt/payload"
)

// window is how many messages are under way at most: each connection that ends may make as many duplicates. A link of 50 ms
// there and back carries 640 messages a second with it.
const window = 32

// flight is a message under way.
type flight struct {
	message
	event *outbox.Message // nil: it is of the queue
	token paho.Token
	since time.Time
}

// sender publishes over one connection.
type sender struct {
	*Client
	paho      paho.Client
	flights   []flight // oldest first, in the order in which the broker acknowledges
	free      [][]byte // memory for detections
	eventLast bool     // the last message that was taken was an event
}

// send publishes what there is until the connection or ctx ends. link outlives ctx, for the goodbye.
func (c *Client) send(ctx, link context.Context, client paho.Client, lost <-chan error) error {
	s, began := &sender{Client: c, paho: client}, time.Now()
	defer s.giveBack()
	progress := time.NewTicker(progressEvery)
	defer progress.Stop()
	for {
		if err := s.fill(link, func() bool { return true }); err != nil {
			return err
		}
		select {
		case <-s.oldest():
			if err := s.settle(); err != nil {
				return whyLost(lost, err)
			}
		case <-c.queue.wake:
		case <-c.outbox.Ready():
		case <-progress.C:
			c.opts.Progress()
			c.undisputed(began)
			if err := s.late(); err != nil {
				return err
			}
		case err := <-lost:
			return fmt.Errorf("%w: %w", errLost, err)
		case <-ctx.Done():
			return s.goodbye(link)
		}
	}
}

// whyLost is why a message did not arrive. Where the connection ended, paho says that of the message first, and without a cause.
func whyLost(lost <-chan error, err error) error {
	timer := time.NewTimer(time.Second)
	defer timer.Stop()
	select {
	case cause := <-lost:
		return fmt.Errorf("%w: %w", errLost, cause)
	case <-timer.C:
		return err
	}
}

// fill publishes until the window is full, or there is nothing more.
func (s *sender) fill(link context.Context, events func() bool) error {
	for len(s.flights) < window {
		f, ok := s.take(events())
		if !ok {
			return nil
		}
		if err := context.Cause(link); err != nil {
			return err
		}
		s.opts.Progress()
		f.token = s.paho.Publish(f.topic, f.qos, f.retained, f.payload)
		f.since = time.Now()
		s.flights = append(s.flights, f)
	}
	return nil
}

// take gives the next message: what is retained first; then events and detections take turns, as either may be many.
func (s *sender) take(events bool) (f flight, ok bool) {
	if m, ok := s.queue.nextRetained(); ok {
		return flight{message: m}, true
	}
	if events && !s.eventLast {
		if f, ok := s.takeEvent(); ok {
			return f, true
		}
	}
	s.eventLast = false
	var scratch []byte
	if n := len(s.free); n > 0 {
		s.free, scratch = s.free[:n-1], s.free[n-1]
	}
	if m, ok := s.queue.nextDetections(scratch); ok {
		return flight{message: m}, true
	}
	if scratch != nil {
		s.free = append(s.free, scratch)
	}
	if events {
		return s.takeEvent()
	}
	return f, false
}

func (s *sender) takeEvent() (f flight, ok bool) {
	m, ok := s.outbox.Next()
	if !ok {
		return f, false
	}
	s.eventLast = true
	return flight{message: message{topic: m.Topic, payload: m.Payload, qos: 1}, event: &m}, true
}

// oldest is closed once the oldest message under way has arrived, or will not.
func (s *sender) oldest() <-chan struct{} {
	if len(s.flights) == 0 {
		return nil
	}
	return s.flights[0].token.Done()
}

// settle takes what has arrived out of the window.
func (s *sender) settle() error {
	n := 0
	defer func() {
		s.flights = append(s.flights[:0], s.flights[n:]...)
		s.change(func(status *Status) { status.Published += uint64(n) })
	}()
	for _, f := range s.flights {
		select {
		case <-f.token.Done():
		default:
			return nil
		}
		if err := f.token.Error(); err != nil {
			return fmt.Errorf("cannot publish to %s: %w", f.topic, err)
		}
		switch {
		case f.event != nil:
			s.outbox.Ack(*f.event)
		case f.qos == 0:
			s.free = append(s.free, f.payload)
		}
		n++
	}
	return nil
}

// late says that a broker does not acknowledge.
func (s *sender) late() error {
	if len(s.flights) > 0 && time.Since(s.flights[0].since) > writeTimeout {
		return fmt.Errorf("cannot publish to %s: no answer within %v", s.flights[0].topic, writeTimeout)
	}
	return nil
}

// giveBack returns to the queue what did not arrive. Events are in the outbox until they are acknowledged.
func (s *sender) giveBack() {
	for _, f := range s.flights {
		if f.event == nil {
			s.queue.putBack(f.message)
		}
	}
}

// goodbye publishes what is queued, of the events as many as half of the time lets through, and offline.
func (s *sender) goodbye(link context.Context) error {
	began := time.Now()
	for {
		if err := s.fill(link, func() bool { return time.Since(began) < goodbyeTimeout/2 }); err != nil {
			return err
		}
		if len(s.flights) == 0 {
			break
		}
		if err := await(link, s.flights[0].token, writeTimeout); err != nil {
			return fmt.Errorf("cannot publish to %s: %w", s.flights[0].topic, err)
		}
		if err := s.settle(); err != nil {
			return err
		}
	}
	return s.publish(link, s.paho, message{topic: s.opts.Topics.Status(), payload: []byte(payload.Offline), qos: 1, retained: true})
}

// publish publishes one message and waits until it has arrived.
func (c *Client) publish(ctx context.Context, client paho.Client, m message) error {
	c.opts.Progress()
	token := client.Publish(m.topic, m.qos, m.retained, m.payload)
	if err := await(ctx, token, writeTimeout); err != nil {
		return fmt.Errorf("cannot publish to %s: %w", m.topic, err)
	}
	c.change(func(s *Status) { s.Published++ })
	return nil
}

func await(ctx context.Context, token paho.Token, timeout time.Duration) error {
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	select {
	case <-token.Done():
		return token.Error()
	case <-timer.C:
		return fmt.Errorf("no answer within %v", timeout)
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
