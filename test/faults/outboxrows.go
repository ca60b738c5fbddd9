package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"syscall"
	"time"
)

const (
	// events is how many a second the service makes up, for lack of things that happen.
	events = "VEDETTE_INJECT_EVENTS=100"
	// slowWhile names a file in the service's working folder, while which is there each write and sync of the outbox takes 2 s.
	slowWhile = "VEDETTE_INJECT_SLOW=DIR/slow"
	// soonProven makes reconnections quick, however short the connections are.
	soonProven = "VEDETTE_INJECT_PROVEN=1ms"
	// window is how many messages are under way at most: what a connection that ends may duplicate.
	window = 32
)

func brokerAway(ctx context.Context, s *subject) (string, error) {
	const times = 20
	a := s.account()
	var most int64
	for range times {
		s.stopBroker(syscall.SIGTERM)
		if err := pause(ctx, 300*time.Millisecond); err != nil {
			return "", err
		}
		state, err := s.state(ctx)
		if err != nil {
			return "", err
		}
		most = max(most, state.Outbox.Bytes)
		if err := errors.Join(s.startBroker(ctx), s.connected(ctx)); err != nil {
			return "", err
		}
	}
	figures, err := a.everything(ctx)
	if err != nil {
		return "", err
	}
	if a.duplicates > times*window {
		return "", fmt.Errorf("%d duplicates, more than %d", a.duplicates, times*window)
	}
	return fmt.Sprintf("%s; in order; at most %d KiB on the disk", figures, most>>10), nil
}

func unacknowledged(ctx context.Context, s *subject) (string, error) {
	const cuts = 10
	a := s.account()
	s.link.swallow.Store(20)
	err := until(ctx, func() error {
		if n := s.link.cuts.Load(); n < cuts {
			return fmt.Errorf("the link was cut %d times", n)
		}
		return nil
	})
	s.link.swallow.Store(0)
	if err := errors.Join(err, s.connected(ctx)); err != nil {
		return "", err
	}
	figures, err := a.everything(ctx)
	if err != nil {
		return "", err
	}
	n := int(s.link.cuts.Load())
	if a.duplicates < n || a.duplicates > n*window {
		return "", fmt.Errorf("%d cuts made %d duplicates", n, a.duplicates)
	}
	return fmt.Sprintf("%d cuts: %s; in order", n, figures), nil
}

// damagedOutbox ends the service at once while events wait, does to its files what a power cut may, and starts it again.
func damagedOutbox(ctx context.Context, s *subject) (string, error) {
	a := s.account()
	s.stopBroker(syscall.SIGTERM)
	if err := pause(ctx, 3*time.Second); err != nil {
		return "", err
	}
	state, err := s.state(ctx)
	if err != nil {
		return "", err
	}
	epoch := state.Outbox.Epoch
	pid, err := s.service.pid(ctx)
	if err != nil {
		return "", err
	}
	if err := errors.Join(syscall.Kill(pid, syscall.SIGKILL), gone(ctx, pid)); err != nil {
		return "", err
	}
	a.look()
	intact, damaged, err := spoil(filepath.Join(s.dir, "state", "outbox"), epoch)
	if err != nil {
		return "", err
	}
	if err := errors.Join(s.startBroker(ctx), s.service.launch(ctx), s.connected(ctx)); err != nil {
		return "", err
	}
	err = until(ctx, func() error {
		a.look()
		for _, seq := range intact {
			if !a.seen[epoch][seq] {
				return fmt.Errorf("message %d, which is not damaged, does not come", seq)
			}
		}
		return nil
	})
	if err != nil {
		return "", err
	}
	for _, seq := range damaged {
		if a.seen[epoch][seq] {
			return "", fmt.Errorf("message %d came, though it was damaged", seq)
		}
	}
	next, err := s.state(ctx)
	switch {
	case err != nil:
		return "", err
	case next.Outbox.Damaged != 3:
		return "", fmt.Errorf("the state says that %d stretches are damaged, not 3", next.Outbox.Damaged)
	case next.Outbox.Epoch == epoch:
		return "", errors.New("the epoch goes on, though the last life did not end in good order")
	}
	return fmt.Sprintf("of the newest %d events on the disk a torn tail, a zeroed block and a flipped bit took %d; delivered %d, "+
		"duplicated %d, lost 0 of the good ones; a new epoch", len(intact)+len(damaged), len(damaged), len(intact), a.duplicates), nil
}
