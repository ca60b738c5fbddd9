package mqtt

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"vedette/mqtt/mqtttest"
	"vedette/mqtt/payload"
	"vedette/test/logtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// testTopics are those of the device "bench".
func testTopics() payload.Topics {
	topics, err := payload.NewTopics("vedette/{device}", "bench")
	if err != nil {
		panic(err)
	}
	return topics
}

// service is a client that runs.
type service struct {
	*Client
	log *logtest.Log

	t      *testing.T
	cancel context.CancelFunc
	done   chan error
	once   sync.Once
}

// start runs a client until the test ends.
func start(t *testing.T, config Config) *service {
	t.Helper()
	return startOptions(t, Options{Config: config})
}

// startOptions is start with what a test wants to be otherwise.
func startOptions(t *testing.T, opts Options) *service {
	t.Helper()
	log := &logtest.Log{}
	opts.Topics, opts.ClientID, opts.Logger = testTopics(), "vedette-bench", slog.New(slog.NewTextHandler(log, nil))
	client, err := New(opts)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	s := &service{Client: client, log: log, t: t, cancel: cancel, done: make(chan error, 1)}
	go func() { s.done <- client.Run(ctx) }()
	t.Cleanup(s.stop)
	return s
}

// event publishes one whose payload is text.
func (s *service) event(topic, text string) {
	s.PublishEvent(topic, func(dst []byte, _ string, _ uint64) []byte { return append(dst, text...) })
}

// firsts is what came, without what had come before.
func firsts(got []string) []string {
	seen := map[string]bool{}
	var first []string
	for _, text := range got {
		if !seen[text] {
			seen[text] = true
			first = append(first, text)
		}
	}
	return first
}

// stop ends the client as the service does, and waits for it.
func (s *service) stop() {
	s.once.Do(func() {
		s.cancel()
		select {
		case err := <-s.done:
			if err != nil {
				s.t.Errorf("Run gave %v", err)
			}
		case <-time.After(mqtttest.Patience):
			s.t.Error("Run does not return")
		}
	})
}

// endsWithin stops the client and takes the time.
func (s *service) endsWithin(limit time.Duration) {
	s.t.Helper()
	began := time.Now()
	s.stop()
	if took := time.Since(began); took > limit {
		s.t.Errorf("the end took %v, more than %v; log:\n%s", took, limit, s.log)
	}
}

// until waits for what the client says of itself.
func (s *service) until(what string, holds func(Status) bool) Status {
	s.t.Helper()
	var last Status
	if !mqtttest.Eventually(func() bool { last = s.Status(); return holds(last) }) {
		s.t.Fatalf("%s: not within %v; status %+v; log:\n%s", what, mqtttest.Patience, last, s.log)
	}
	return last
}

func (s *service) connected() {
	s.t.Helper()
	s.until("a connection", func(s Status) bool { return s.Connected })
}

// configFor is the default configuration with brokers.
func configFor(brokers ...string) Config {
	config := DefaultConfig()
	config.Brokers = brokers
	return config
}

// failed gives why there is no connection.
func (s *service) failed() string {
	s.t.Helper()
	why := s.until("an error", func(s Status) bool { return s.LastError != "" }).LastError
	s.t.Log(why)
	if strings.Contains(why, "\n") {
		s.t.Error("it takes more than a line")
	}
	if !mqtttest.Eventually(func() bool { return len(s.log.Lines("no connection")) > 0 }) {
		s.t.Error("the log does not say it")
	}
	return why
}
