package mqtt

import (
	"context"
	"fmt"
	"slices"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"
)

// Subscription is a topic filter that is read while there is a connection.
type Subscription struct {
	Filter string
	// Handle is called for each message on a goroutine of the connection: it must not block. The message is its own.
	Handle func(Received)
}

// Received is a message that a broker delivered.
type Received struct {
	Topic    string
	Payload  []byte // at most MaxReceived + 1 bytes: a longer one is cut there, before any memory is taken for it
	Retained bool   // it lay at the broker before the subscription
}

// refused is what a broker answers instead of a QoS to a subscription that it does not grant. (MQTT 3.1.1, 3.9.3.)
const refused = 0x80

// A broker that hangs up over a subscription, as some do over one that their ACL denies, would have no events either. After the
// second time in a row the filter is left out for a while.
const (
	hangUps  = 2
	leaveOut = time.Hour
)

// refusals are how often a broker hung up over a filter, in a row.
type refusals struct {
	times int
	last  time.Time
}

// subscribe takes every subscription at QoS 1. One that the broker refuses is said and costs nothing else: its ACL may let a
// device speak and not listen.
func (c *Client) subscribe(ctx context.Context, client paho.Client) error {
	var denied []string
	broker := c.Status().Broker
	for _, s := range c.opts.Subscriptions {
		c.opts.Progress()
		key := broker + " " + s.Filter
		if h := c.overFilter[key]; h.times >= hangUps && time.Since(h.last) < leaveOut {
			denied = append(denied, s.Filter)
			continue
		}
		token := client.Subscribe(s.Filter, 1, func(_ paho.Client, m paho.Message) {
			s.Handle(Received{m.Topic(), m.Payload(), m.Retained()})
		})
		err := await(ctx, token, writeTimeout)
		if answer, is := token.(*paho.SubscribeToken); is && answered(token) && answer.Result()[s.Filter] == refused {
			denied = append(denied, s.Filter)
			continue
		}
		if err != nil {
			if ctx.Err() == nil && !client.IsConnectionOpen() {
				c.overFilter[key] = refusals{c.overFilter[key].times + 1, time.Now()}
			}
			return fmt.Errorf("cannot subscribe to %s: %w", s.Filter, err)
		}
		delete(c.overFilter, key)
	}
	slices.Sort(denied)
	if len(denied) > 0 && !slices.Equal(denied, c.Status().Denied) {
		c.opts.Logger.Warn("the broker does not grant subscriptions: what comes there is not heard (its ACL)", "filters", denied)
	}
	c.change(func(s *Status) { s.Denied = denied })
	return nil
}

func answered(token paho.Token) bool {
	select {
	case <-token.Done():
		return true
	default:
		return false
	}
}
