package mqtt

import (
	"context"
	"log/slog"
	"net"
	"testing"
	"time"

	"vedette/mqtt/embedded"
	"vedette/mqtt/payload"
)

// A broker that is not there, that says nothing, that has nothing to be told: the loop goes round in each case.
func TestTheLoopGoesRoundWhateverTheBrokerDoes(t *testing.T) {
	broker, err := embedded.Start("127.0.0.1:0", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = broker.Close() })
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = closed.Close()
	silent, err := net.Listen("tcp", "127.0.0.1:0") // the kernel accepts; nobody answers
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = silent.Close() })
	for _, c := range []struct{ name, address string }{
		{"idle", broker.Addr()},
		{"absent", closed.Addr().String()},
		{"silent", silent.Addr().String()},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			topics, err := payload.NewTopics("vedette/{device}", "test")
			if err != nil {
				t.Fatal(err)
			}
			config := DefaultConfig()
			config.Brokers = []string{"tcp://" + c.address}
			progress := make(chan struct{}, 1)
			client, err := New(Options{
				Config: config, Topics: topics, ClientID: "test", Logger: slog.New(slog.DiscardHandler),
				Progress: func() {
					select {
					case progress <- struct{}{}:
					default:
					}
				},
			})
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error, 1)
			go func() { done <- client.Run(ctx) }()
			for range 3 {
				select {
				case <-progress:
				case <-time.After(LongestStep):
					t.Fatal("no progress within the longest step")
				}
			}
			cancel()
			if err := <-done; err != nil {
				t.Error(err)
			}
		})
	}
}
