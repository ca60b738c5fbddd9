// Package subscriber is one that a broker keeps events for while it is away: tests account by it for every event.
package subscriber

import (
	"context"
	"fmt"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"
)

// Open subscribes to the events of all devices, in a session that outlasts its connections, and returns once the broker has taken that.
// hear gets each message, in order; lost, which may be nil, is called when a connection ends.
func Open(ctx context.Context, broker string, hear func(topic string, text []byte), lost func()) (paho.Client, error) {
	ready := make(chan struct{}, 1)
	take := func(_ paho.Client, m paho.Message) { hear(m.Topic(), m.Payload()) }
	opts := paho.NewClientOptions().AddBroker("tcp://" + broker).SetClientID("account").SetCleanSession(false).
		SetConnectTimeout(time.Minute).SetAutoReconnect(true).SetConnectRetry(true).SetConnectRetryInterval(100 * time.Millisecond).
		SetMaxReconnectInterval(time.Second).SetOrderMatters(true).SetDefaultPublishHandler(take)
	opts.SetConnectionLostHandler(func(paho.Client, error) {
		if lost != nil {
			lost()
		}
	})
	opts.SetOnConnectHandler(func(c paho.Client) {
		c.Subscribe("vedette/+/+/events", 1, take).Wait()
		select {
		case ready <- struct{}{}:
		default:
		}
	})
	client := paho.NewClient(opts)
	client.Connect()
	select {
	case <-ready:
		return client, nil
	case <-ctx.Done():
		client.Disconnect(0)
		return nil, fmt.Errorf("cannot subscribe: %w", ctx.Err())
	}
}
