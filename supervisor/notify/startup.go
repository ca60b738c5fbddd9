package notify

import (
	"context"
	"fmt"
	"time"
)

// How a start is prolonged.
const (
	extendEvery  = 5 * time.Second
	extendMargin = 10 * time.Second // an extension reaches so far beyond the next: two may be lost
)

// Startup is the policy of a start that may take long: a model loads for a minute, an engine builds for half an hour.
// The service is ready at its first outcome, even a bad one, as a model that crashes must not become a loop of restarts.
type Startup struct {
	Longest time.Duration // from Await's call to its failure, where there is no outcome
	// Alive tells whether the service still moves: where it does not, systemd is not asked for more time.
	Alive func() bool
	// Status is what is told with each extension.
	Status func() string
}

// extension says what to ask for when the start has lasted for elapsed, and when to come back; ok is false when the
// start has lasted too long.
func (s Startup) extension(elapsed time.Duration) (more, next time.Duration, ok bool) {
	left := s.Longest - elapsed
	if left <= 0 {
		return 0, 0, false
	}
	next = min(extendEvery, left)
	return next + extendMargin, next, true
}

// Await keeps systemd waiting until the outcome is there, which it reports as ready, or ctx ends. It gives an error when
// neither comes in time: the service is then to end. A message that cannot be sent is given to failed.
func (n *Notifier) Await(ctx context.Context, s Startup, outcome <-chan struct{}, failed func(error)) error {
	tell := func(err error) {
		if err != nil {
			failed(err)
		}
	}
	began := time.Now()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-outcome:
			tell(n.Ready(s.Status()))
			return nil
		case <-timer.C:
		}
		more, next, ok := s.extension(time.Since(began))
		if !ok {
			return fmt.Errorf("cannot start: no outcome within %s", s.Longest)
		}
		if s.Alive() {
			tell(n.Extend(more))
			tell(n.Status(s.Status()))
		}
		timer.Reset(next)
	}
}
