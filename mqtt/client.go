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

	"vedette/mqtt/outbox"
	"vedette/mqtt/payload"
)

// How long each thing may take.
const (
	connectTimeout = 10 * time.Second
	writeTimeout   = 10 * time.Second // of one message, its acknowledgement included
	goodbyeTimeout = time.Second      // for what is under way or queued, and for offline, at the end
	closeTimeout   = 5 * time.Second  // of the outbox: a disk may hang
	keepAlive      = 20 * time.Second // a half-open link is noticed within keepAlive + pingTimeout
	pingTimeout    = 10 * time.Second
)

// Options are what a Client is made of.
type Options struct {
	Config   Config
	Topics   payload.Topics
	ClientID string
	// Secrets is the folder of systemd's credentials, which the configuration names as credential:NAME; empty: there is none.
	Secrets string
	// Subscriptions are taken anew with each connection.
	Subscriptions []Subscription
	// Outbox keeps events until the broker has them; the client runs it. Nil: one in memory alone.
	Outbox *outbox.Outbox
	// Progress is called as Run goes round: each second of a connection, for each message, and around each try to
	// connect. It must not block. Nil: nobody looks.
	Progress func()
	// Proven is how long a connection must last for earlier failures to be forgotten; 0: the default.
	Proven time.Duration
	Logger *slog.Logger
}

// LongestStep is what Run may take from one call of Progress to the next: a wait between two connections, or one
// connection's making and its first message.
const LongestStep = mostBackoff

// progressEvery is how often Run shows that it goes round while there is nothing to publish.
const progressEvery = time.Second

// Client keeps a connection to one of the brokers. Its publishing methods never block and may be called from any
// goroutine, with or without a connection.
type Client struct {
	opts       Options
	queue      *queue
	outbox     *outbox.Outbox
	overFilter map[string]refusals // hang-ups, by broker and filter; of Run's goroutine

	mu        sync.Mutex // guards the rest
	status    Status
	oversized bool // an event was too large, which has been said
}

// Status is what a Client knows of its connection.
type Status struct {
	Connected bool
	Broker    string   // the one that is or was last tried
	LastError string   // why the last connection ended or could not be made
	Queued    int      // but for events
	Dropped   uint64   // messages that were given up, but for events
	Denied    []string // filters of subscriptions that the broker does not grant
	HangUps   uint64   // connections that the broker, or something before it, has ended
	Disputed  int      // how many of them in a row, where another client may have the same client id; 0: nothing points to it
	ClientID  string   // of the options
	Published uint64   // messages that reached the connection; with QoS 1, that were acknowledged
	Outbox    outbox.Status
}

// New makes a client. Nothing happens before Run.
func New(opts Options) (*Client, error) {
	if len(opts.Config.Brokers) == 0 {
		return nil, errors.New("no broker is configured")
	}
	if _, err := secrets(opts.Secrets).credentials(opts.Config); err != nil { // a missing file is known at the start, not at the first try
		return nil, err
	}
	if opts.Progress == nil {
		opts.Progress = func() {}
	}
	if opts.Outbox == nil {
		opts.Outbox = outbox.Open(outbox.Options{Clock: func() outbox.Stamp { return outbox.Stamp{} }, Logger: opts.Logger})
	}
	return &Client{opts: opts, queue: newQueue(), outbox: opts.Outbox, overFilter: map[string]refusals{}}, nil
}

// PublishDetections publishes one frame's message, best effort, at QoS 0. It copies payload.
func (c *Client) PublishDetections(topic string, payload []byte) {
	c.queue.addDetections(topic, payload)
}

// PublishEvent publishes at QoS 1, not retained, at least once and in order, also when the broker is away for long. encode
// appends the payload to dst: with the epoch and the seq by which subscribers know the message again. It is called once,
// before PublishEvent comes back, under a lock that all events share: it must neither block nor publish.
func (c *Client) PublishEvent(topic string, encode func(dst []byte, epoch string, seq uint64) []byte) {
	err := c.outbox.Append(topic, encode)
	if err == nil {
		return
	}
	c.mu.Lock()
	said := c.oversized
	c.oversized = true
	c.mu.Unlock()
	if !said {
		c.opts.Logger.Error("an event is not published; further ones like it are only counted", "topic", topic, "error", err)
	}
}

// SetRetained sets a retained topic's value, which is published now and after each reconnection. The client takes payload
// over. An empty one removes the topic from the broker.
func (c *Client) SetRetained(topic string, payload []byte) { c.queue.setRetained(topic, payload) }

// Status may be called from any goroutine.
func (c *Client) Status() Status {
	queued, dropped := c.queue.counts()
	kept := c.outbox.Status()
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.status
	s.Queued, s.Dropped, s.Outbox, s.ClientID = queued, s.Dropped+dropped, kept, c.opts.ClientID
	return s
}

func (c *Client) change(f func(*Status)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f(&c.status)
}

// Run keeps a connection until ctx ends; then it publishes what is queued and `offline`, disconnects, and closes the outbox.
func (c *Client) Run(ctx context.Context) error {
	disk, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	closed := make(chan error, 1)
	go func() { closed <- c.outbox.Run(disk) }()
	err := c.keepConnected(ctx)
	end()
	timer := time.NewTimer(closeTimeout)
	defer timer.Stop()
	select {
	case problem := <-closed:
		if problem != nil {
			c.opts.Logger.Error("the outbox did not close in good order", "error", problem)
		}
	case <-timer.C:
		c.opts.Logger.Error("the outbox does not close: the disk hangs", "waited", closeTimeout)
	}
	return err
}

func (c *Client) keepConnected(ctx context.Context) error {
	backoff := backoff{proven: c.opts.Proven}
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
		if hungUp(err) {
			c.hungUp(broker, backoff.hangUps)
		}
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
	c.outbox.Rewind() // what another connection had and did not acknowledge
	return c.send(ctx, link, client, lost)
}
