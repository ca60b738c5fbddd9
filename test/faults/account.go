package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// account is what came of events and faults: the messages that carry a number.
type account struct {
	s     *subject
	place int // of the next message to be looked at

	firsts     map[string][]uint64 // by epoch, in the order in which they came for the first time
	seen       map[string]map[uint64]bool
	duplicates int
}

func (s *subject) account() *account {
	return &account{s: s, firsts: map[string][]uint64{}, seen: map[string]map[uint64]bool{}}
}

// look counts what has come since it last looked.
func (a *account) look() {
	m := a.s.messages
	m.mu.Lock()
	fresh := m.all[a.place:]
	a.place = len(m.all)
	m.mu.Unlock()
	for _, message := range fresh {
		var number struct {
			Epoch string
			Seq   uint64
		}
		if json.Unmarshal([]byte(message.payload), &number) != nil || number.Epoch == "" || number.Seq == 0 {
			continue
		}
		if a.seen[number.Epoch] == nil {
			a.seen[number.Epoch] = map[uint64]bool{}
		}
		if a.seen[number.Epoch][number.Seq] {
			a.duplicates++
			continue
		}
		a.seen[number.Epoch][number.Seq] = true
		a.firsts[number.Epoch] = append(a.firsts[number.Epoch], number.Seq)
	}
}

// settled waits until every message of an epoch up to a number has come, but for as many as may be missing, and gives how many
// are. All came in order, each for the first time.
func (a *account) settled(ctx context.Context, epoch string, upTo, mayMiss uint64) (missing uint64, err error) {
	err = until(ctx, func() error {
		a.look()
		missing = 0
		for seq := uint64(1); seq <= upTo; seq++ {
			if !a.seen[epoch][seq] {
				missing++
			}
		}
		if missing > mayMiss {
			return fmt.Errorf("of %d messages %d have not come, %d were given up", upTo, missing, mayMiss)
		}
		return nil
	})
	last := uint64(0)
	for _, seq := range a.firsts[epoch] {
		if seq < last {
			return missing, fmt.Errorf("message %d came for the first time after %d", seq, last)
		}
		last = seq
	}
	return missing, err
}

// everything waits until all that the running service has made until now has come, or was given up, and sums it up.
func (a *account) everything(ctx context.Context) (figures string, err error) {
	made, err := a.s.metric(ctx, `vedette_outbox_messages_total{outcome="made"}`)
	if err != nil {
		return "", err
	}
	dropped, err := a.s.metric(ctx, "vedette_outbox_messages_lost_total")
	if err != nil {
		return "", err
	}
	state, err := a.s.state(ctx)
	if err != nil {
		return "", err
	}
	missing, err := a.settled(ctx, state.Outbox.Epoch, uint64(made), uint64(dropped))
	return fmt.Sprintf("events made %d, delivered %d, duplicated %d, dropped by bound %d, lost %d", uint64(made),
		uint64(made)-missing, a.duplicates, uint64(dropped), missing-min(uint64(dropped), missing)), err
}

// connected waits until the service has a broker.
func (s *subject) connected(ctx context.Context) error {
	return until(ctx, func() error {
		n, err := s.metric(ctx, "vedette_mqtt_connected")
		if err == nil && n != 1 {
			err = errors.New("no broker is connected")
		}
		return err
	})
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
