package notify

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// recorder is a Notifier whose messages are written down, with the time since its making.
type recorder struct {
	*Notifier
	began    time.Time
	messages []string
	at       []time.Duration
	err      error
}

func newRecorder() *recorder {
	r := &recorder{began: time.Now()}
	r.Notifier = &Notifier{send: func(message string) error {
		r.messages = append(r.messages, message)
		r.at = append(r.at, time.Since(r.began))
		return r.err
	}}
	return r
}

// fits tells whether a start of a manager with this TimeoutStartSec survived the messages until the end, by what
// sd_notify(3) says of EXTEND_TIMEOUT_USEC.
func (r *recorder) fits(timeout, end time.Duration) bool {
	deadline := timeout
	for i, message := range r.messages {
		if r.at[i] > deadline {
			return false
		}
		if text, ok := strings.CutPrefix(message, "EXTEND_TIMEOUT_USEC="); ok {
			usec, err := strconv.ParseInt(text, 10, 64)
			if err != nil {
				return false
			}
			deadline = max(timeout, r.at[i]+time.Duration(usec)*time.Microsecond)
		}
	}
	return end <= deadline
}

func startup(longest time.Duration) Startup {
	return Startup{Longest: longest, Alive: func() bool { return true }, Status: func() string { return "loading" }}
}

func noFailure(t *testing.T) func(error) {
	return func(err error) { t.Errorf("a message was not sent: %v", err) }
}

func TestALongStartIsExtendedUntilItsOutcome(t *testing.T) {
	for _, takes := range []time.Duration{0, 3 * time.Second, 20 * time.Second, 29 * time.Minute} {
		synctest.Test(t, func(t *testing.T) {
			r, outcome := newRecorder(), make(chan struct{})
			time.AfterFunc(takes, func() { close(outcome) })
			if err := r.Await(t.Context(), startup(30*time.Minute), outcome, noFailure(t)); err != nil {
				t.Fatal(err)
			}
			if !r.fits(2*time.Second, takes) {
				t.Errorf("a start of %v is ended by systemd: %v at %v", takes, r.messages, r.at)
			}
			if last := r.messages[len(r.messages)-1]; last != "READY=1\nSTATUS=loading" || time.Since(r.began) != takes {
				t.Errorf("after %v: %q", time.Since(r.began), last)
			}
		})
	}
}

func TestTwoLostExtensionsDoNotEndTheStart(t *testing.T) {
	s := startup(time.Hour)
	for elapsed := time.Duration(0); elapsed < s.Longest; elapsed += time.Second {
		more, next, ok := s.extension(elapsed)
		if !ok || next <= 0 || more < next+2*extendEvery {
			t.Fatalf("after %v: %v more, next in %v, %t", elapsed, more, next, ok)
		}
	}
	if _, _, ok := s.extension(s.Longest); ok {
		t.Error("the longest start is prolonged")
	}
}

func TestAStartWithoutOutcomeFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRecorder()
		err := r.Await(t.Context(), startup(67*time.Second), nil, noFailure(t))
		if err == nil || !strings.Contains(err.Error(), "no outcome within 1m7s") || time.Since(r.began) != 67*time.Second {
			t.Errorf("after %v: %v", time.Since(r.began), err)
		}
		for _, message := range r.messages {
			if strings.Contains(message, "READY") {
				t.Errorf("ready all the same: %v", r.messages)
			}
		}
		if !r.fits(time.Second, 70*time.Second) {
			t.Errorf("no time is left to say why: %v at %v", r.messages, r.at)
		}
	})
}

func TestAStuckStartIsNotProlonged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, s := newRecorder(), startup(time.Hour)
		s.Alive = func() bool { return time.Since(r.began) < time.Minute }
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
		defer cancel()
		if err := r.Await(ctx, s, nil, noFailure(t)); err != nil {
			t.Fatal(err)
		}
		if last := r.at[len(r.at)-1]; last > time.Minute {
			t.Errorf("extended after %v, a stuck service since 1m", last)
		}
	})
}

func TestStopEndsTheStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRecorder()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := r.Await(ctx, startup(time.Hour), nil, noFailure(t)); err != nil || time.Since(r.began) != time.Minute {
			t.Errorf("after %v: %v", time.Since(r.began), err)
		}
	})
}

func TestAMessageThatCannotBeSentDoesNotEndTheStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, outcome := newRecorder(), make(chan struct{})
		r.err = errors.New("queue full")
		time.AfterFunc(time.Minute, func() { close(outcome) })
		failures := 0
		if err := r.Await(t.Context(), startup(time.Hour), outcome, func(error) { failures++ }); err != nil {
			t.Fatal(err)
		}
		if failures != len(r.messages) {
			t.Errorf("%d of %d failures are reported", failures, len(r.messages))
		}
	})
}
