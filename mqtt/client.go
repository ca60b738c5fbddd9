package mqtt

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"sync"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"

	"vedette/mqtt/payload"
)

// How long each thing may take.
const (
	connectTimeout = 10 * time.Second
	writeTimeout   = 10 * time.Second // of one message, its acknowledgement included
	goodbyeTimeout = time.Second      // for what is under way or queued, and for offline, at the end
	keepAlive      = 20 * time.Second // a half-open link is noticed within keepAlive + pingTimeout
	pingTimeout    = 10 * time.Second
)

// Options are what a Client is made of.
type Options struct {
	Config   Config
	Topics   payload.Topics
	ClientID string
	// Subscriptions are taken anew with each connection.
	Subscriptions []Subscription
	// Progress is called as Run goes round: each second of a connection, for each message, and around each try to
	// connect. It must not block. Nil: nobody looks.
	Progress func()
	Logger   *slog.Logger
}

// LongestStep is what Run may take from one call of Progress to the next: a wait between two connections, or one
// connection's making and its first message.
const LongestStep = mostBackoff

// progressEvery is how often Run shows that it goes round while there is nothing to publish.
const progressEvery = time.Second

// Client keeps a connection to one of the brokers. Its publishing methods never block and may be called from any
// goroutine, with or without a connection.
type Client struct {
	opts  Options
	queue *queue

	mu     sync.Mutex // guards status
	status Status
}

// Status is what a Client knows of its connection.
type Status struct {
	Connected bool
	Broker    string // the one that is or was last tried
	LastError string // why the last connection ended or could not be made
	Queued    int
	Dropped   uint64   // messages that were given up
	Denied    []string // filters of subscriptions that the broker does not grant
	Published uint64   // messages that reached the connection; with QoS 1, that were acknowledged
}

// New makes a client. Nothing happens before Run.
func New(opts Options) (*Client, error) {
	if len(opts.Config.Brokers) == 0 {
		return nil, errors.New("no broker is configured")
	}
	if _, err := credentials(opts.Config); err != nil { // a missing file is known at the start, not at the first try
		return nil, err
	}
	if opts.Progress == nil {
		opts.Progress = func() {}
	}
	return &Client{opts: opts, queue: newQueue()}, nil
}

// PublishDetections publishes one frame's message, best effort, at QoS 0. It copies payload.
func (c *Client) PublishDetections(topic string, payload []byte) {
	c.queue.addDetections(topic, payload)
}

// PublishFault publishes at QoS 1, not retained. The client takes payload over.
func (c *Client) PublishFault(topic string, payload []byte) { c.queue.addFault(topic, payload) }

// SetRetained sets a retained topic's value, which is published now and after each reconnection. The client takes payload
// over.
func (c *Client) SetRetained(topic string, payload []byte) { c.queue.setRetained(topic, payload) }

// Status may be called from any goroutine.
func (c *Client) Status() Status {
	queued, dropped := c.queue.counts()
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.status
	s.Queued, s.Dropped = queued, s.Dropped+dropped
	return s
}

func (c *Client) change(f func(*Status)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f(&c.status)
}

// Run keeps a connection until ctx ends; then it publishes what is queued and `offline`, and disconnects.
func (c *Client) Run(ctx context.Context) error {
	var backoff backoff
	said := map[string]string{} // what was last wrong with each broker: it is said once, not at each try
	for i := 0; ; i++ {
		broker := c.opts.Config.Brokers[i%len(c.opts.Config.Brokers)]
		began := time.Now()
		c.opts.Progress()
		err := c.connection(ctx, broker)
		c.opts.Progress()
		wasConnected := c.Status().Connected
		c.change(func(s *Status) { s.Connected, s.Broker = false, broker })
		if ctx.Err() != nil {
			if wasConnected && err != nil {
				c.opts.Logger.Warn("the last messages did not all reach the MQTT broker, whose last will says offline",
					"broker", redact(broker), "error", err, "queued", c.Status().Queued)
			}
			return nil
		}
		wait := backoff.after(time.Since(began), err)
		c.change(func(s *Status) { s.LastError = err.Error() })
		if wasConnected {
			clear(said)
		}
		if said[broker] != err.Error() {
			said[broker] = err.Error()
			c.opts.Logger.Warn("no connection to the MQTT broker", "broker", redact(broker), "error", err,
				"next_try", wait.Round(time.Millisecond))
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return nil
		}
	}
}

// connection is the life of one connection. A new paho client serves each: with its own reconnection a QoS 1 token reports
// success before any PUBACK.
func (c *Client) connection(ctx context.Context, broker string) error {
	link, hangUp := context.WithCancelCause(context.WithoutCancel(ctx))
	defer hangUp(nil)
	lost := make(chan error, 1) // paho says it once
	opts, err := c.pahoOptions(broker)
	if err != nil {
		return err
	}
	opts.SetConnectionLostHandler(func(_ paho.Client, err error) { lost <- err })
	opts.SetCustomOpenConnectionFn(func(broker *url.URL, opts paho.ClientOptions) (net.Conn, error) {
		return dial(link, broker, opts)
	})
	client := paho.NewClient(opts)
	if err := await(ctx, client.Connect(), connectTimeout+time.Second); err != nil {
		client.Disconnect(0)
		return fmt.Errorf("cannot connect: %w", plain(err))
	}
	defer client.Disconnect(100)

	// What is queued when ctx ends may still go out. A broker that hangs is hung up on: paho would wait for long.
	defer context.AfterFunc(ctx, func() {
		select {
		case <-time.After(goodbyeTimeout):
			hangUp(fmt.Errorf("the broker takes nothing more within %v", goodbyeTimeout))
		case <-link.Done():
		}
	})()

	online := message{topic: c.opts.Topics.Status(), payload: []byte(payload.Online), qos: 1, retained: true}
	if err := c.publish(link, client, online); err != nil {
		return err
	}
	c.opts.Logger.Info("connected to the MQTT broker", "broker", redact(broker))
	c.change(func(s *Status) { s.Connected, s.Broker, s.LastError = true, broker, "" })
	c.queue.connected()
	if err := c.subscribe(link, client); err != nil {
		return err
	}
	progress := time.NewTicker(progressEvery)
	defer progress.Stop()
	for {
		if err := c.drain(link, client); err != nil {
			return err
		}
		select {
		case <-c.queue.wake:
		case <-progress.C:
			c.opts.Progress()
		case err := <-lost:
			return fmt.Errorf("connection lost: %w", err)
		case <-ctx.Done():
			return c.goodbye(link, client)
		}
	}
}

// drain publishes until the queue is empty.
func (c *Client) drain(ctx context.Context, client paho.Client) error {
	var scratch []byte
	for {
		m, ok := c.queue.next(scratch)
		if !ok {
			return nil
		}
		if err := c.publish(ctx, client, m); err != nil {
			c.queue.putBack(m)
			return err
		}
		if m.qos == 0 {
			scratch = m.payload
		}
	}
}

func (c *Client) goodbye(ctx context.Context, client paho.Client) error {
	if err := c.drain(ctx, client); err != nil {
		return err
	}
	offline := message{topic: c.opts.Topics.Status(), payload: []byte(payload.Offline), qos: 1, retained: true}
	return c.publish(ctx, client, offline)
}

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
