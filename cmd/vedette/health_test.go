package main

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"vedette/mqtt/payload"
)

// answers says how it is by how long it has run.
type answers func(age time.Duration) (payload.Health, error)

// since is the service, started now.
func (s answers) since(began time.Time) asker { return started{s, began} }

type started struct {
	answer answers
	began  time.Time
}

func (s started) Health(context.Context) (payload.Health, error) {
	return s.answer(time.Since(s.began))
}

func TestHealthIsAwaited(t *testing.T) {
	good := payload.Health{Health: payload.HealthGood}
	pending := payload.Health{Health: payload.HealthPending, Reasons: []string{"camera yard is opening"}}
	building := payload.Health{Health: payload.HealthPending, Building: true, Reasons: []string{"worker infer-worker is building"}}
	bad := payload.Health{Health: payload.HealthBad, Reasons: []string{"worker infer-worker is degraded"}}
	until := func(end time.Duration, before, after payload.Health) answers {
		return func(age time.Duration) (payload.Health, error) {
			if age < end {
				return before, nil
			}
			return after, nil
		}
	}
	for _, c := range []struct {
		name    string
		service answers
		wait    time.Duration
		want    string
		after   time.Duration // as long as it took, give or take a question
	}{
		{"well at once", until(0, bad, good), time.Minute, payload.HealthGood, 0},
		{"asked once", until(time.Second, pending, good), 0, payload.HealthPending, 0},
		{"well in time", until(30*time.Second, pending, good), time.Minute, payload.HealthGood, 30 * time.Second},
		{"too late", until(2*time.Minute, pending, good), time.Minute, payload.HealthPending, time.Minute},
		{"bad, then well: a worker is tried again", until(10*time.Second, bad, good), time.Minute, payload.HealthGood, 10 * time.Second},
		{"an engine is built for longer than the wait", until(20*time.Minute, building, good), time.Minute, payload.HealthGood, 20 * time.Minute},
		{"the build fails, and the wait begins", until(30*time.Minute, building, bad), time.Minute, payload.HealthBad, 31 * time.Minute},
		{"no answer", func(time.Duration) (payload.Health, error) {
			return payload.Health{}, errors.New("the service does not run")
		}, time.Minute, payload.HealthBad, time.Minute},
		{"no answer after a build", func(age time.Duration) (payload.Health, error) {
			if age < time.Minute {
				return building, nil
			}
			return payload.Health{}, errors.New("the service does not run")
		}, time.Minute, payload.HealthBad, 2 * time.Minute},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				got := awaitHealth(t.Context(), c.service.since(began), c.wait)
				if got.Health != c.want {
					t.Errorf("it is %+v, want %s", got, c.want)
				}
				if took := time.Since(began); (took - c.after).Abs() > askEvery {
					t.Errorf("it took %v, want %v", took, c.after)
				}
			})
		})
	}
}
