package bench

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"syscall"
	"time"

	"vedette/cmd/vedette/internal/pipeline"
	"vedette/infer"
	"vedette/infer/client"
	"vedette/infer/wire"
	"vedette/mqtt/payload"
	"vedette/supervisor"
)

// recoveryRate is the camera's while workers are killed, in frames a second: a usual one. A frame that comes when nobody
// can take it is dropped, so that up to one interval of each gap is the wait for the next.
const recoveryRate = 30

// recovery kills workers without a spare, then with one. There is one active worker, whatever o says: another would go
// on, and leave no gap to measure.
func recovery(ctx context.Context, o Options, reel *reel) (*Recovery, error) {
	o.Workers = 1
	r := &Recovery{Kills: o.Kills, Rate: recoveryRate}
	var err error
	if r.WithoutSpare, err = gaps(ctx, o, reel, false); err != nil {
		return nil, fmt.Errorf("killing workers: %w", err)
	}
	if r.WithSpare, err = gaps(ctx, o, reel, true); err != nil {
		return nil, fmt.Errorf("killing workers with a spare: %w", err)
	}
	return r, nil
}

// gaps kills the active worker over and over, each time at a random moment after all have recovered.
func gaps(ctx context.Context, o Options, reel *reel, spare bool) (Gap, error) {
	s, err := startService(ctx, o, reel, func(p *pipeline.Options) {
		p.Config.Infer.Spare = spare
		p.Lossless = false
		p.Logger = slog.New(slog.DiscardHandler) // each kill is an error
		p.Policy = supervisor.DefaultPolicy()
		p.Policy.GoodLife = 0 // else a worker that dies every second is given up
	})
	if err != nil {
		return Gap{}, err
	}
	pacing, stopPacing := context.WithCancel(ctx)
	paced := make(chan struct{})
	go func() {
		defer close(paced)
		reel.pace(pacing, time.Second/recoveryRate)
	}()
	var gap, load, beyond []float64
	for range o.Kills {
		var took time.Duration
		var model *infer.Model
		if took, model, err = s.kill(ctx); err != nil {
			break
		}
		gap, load = append(gap, milliseconds(took)), append(load, milliseconds(model.LoadTime))
		beyond = append(beyond, milliseconds(took-model.LoadTime))
	}
	stopPacing()
	<-paced
	err = errors.Join(err, s.stop())
	g := Gap{
		Median: round(median(gap), 1), Worst: round(quantile(gap, 1), 1),
		LoadMedian: round(median(load), 1), LoadWorst: round(quantile(load, 1), 1),
	}
	if !spare {
		m, w := round(median(beyond), 1), round(quantile(beyond, 1), 1)
		g.BeyondLoadMedian, g.BeyondLoadWorst = &m, &w
	}
	return g, err
}

// kill kills the active worker and gives how long it took to the next detection, and the model as the worker has loaded
// it that made it.
func (s *service) kill(ctx context.Context) (time.Duration, *infer.Model, error) {
	active, err := s.recovered(ctx)
	if err != nil {
		return 0, nil, err
	}
	for seen := false; !seen; seen = s.total().model != nil { // it works, and which it is is known
		if err := s.await(ctx, s.total().frames+1); err != nil {
			return 0, nil, err
		}
	}
	select {
	case <-time.After(rand.N(200 * time.Millisecond)): // any moment of a frame's way
	case <-ctx.Done():
		return 0, nil, ctx.Err()
	}
	victim := s.total().model
	began := wire.Monotonic()
	if err := syscall.Kill(active.PID, syscall.SIGKILL); err != nil {
		return 0, nil, fmt.Errorf("cannot kill worker %s: %w", active.Name, err)
	}
	for {
		if err := s.await(ctx, s.total().frames+1); err != nil {
			return 0, nil, err
		}
		if t := s.total(); t.model != victim {
			return t.taken - began, t.model, nil
		}
	}
}

// recovered waits until every worker is ready, and gives the active one.
func (s *service) recovered(ctx context.Context) (active payload.Worker, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	for {
		state := s.pipeline.State()
		ready := 0
		for _, w := range state.Workers {
			if w.State != string(supervisor.Ready) {
				continue
			}
			ready++
			if w.Role == string(client.RoleActive) {
				active = w
			}
		}
		if ready == len(state.Workers) {
			return active, nil
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return active, errors.Join(s.stuck(), ctx.Err())
		}
	}
}
