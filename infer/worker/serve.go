package worker

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// serve does the jobs until Shutdown or the end of ctx. With ahead it prepares a batch while the session runs on the one before it: for
// sessions that leave a processor free. Answers come in the order of the frames.
func (w *worker) serve(ctx context.Context, e *engine, ahead bool) error {
	if !ahead {
		return w.gather(ctx, e, newBatch(e.input), nil, nil)
	}
	feed, err := e.session.NewFeed()
	if err != nil {
		return w.fault(faultLoad, fmt.Errorf("cannot prepare frames ahead: %w", err))
	}
	ctx, cancel := context.WithCancel(ctx)
	var preparing sync.WaitGroup
	defer preparing.Wait() // it uses the streams, which are closed next
	defer cancel()
	ready, free := make(chan *batch), make(chan *batch, 1)
	free <- newBatch(newInput(feed, e.family, e.batch.Max))
	preparing.Go(func() { _ = w.gather(ctx, e, newBatch(e.input), ready, free) }) // what can fail is done here
	for {
		select {
		case <-ctx.Done():
			return nil
		case b := <-ready:
			if over, err := w.finish(e, b); over || err != nil {
				return err
			}
			free <- b // there is room: one is being prepared
		}
	}
}

// gather does the jobs. Frames go into b until it is full, or has waited for long enough and no more are there. Then it is finished, or
// handed to ready, where that is not nil, and the next one is of free.
func (w *worker) gather(ctx context.Context, e *engine, b *batch, ready chan<- *batch, free <-chan *batch) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		jobs, to := w.jobs, chan<- *batch(nil)
		if b.full() {
			jobs = nil
		}
		if len(b.steps) > 0 || b.shutdown != nil {
			if wait := b.wait(); wait > 0 {
				timer.Reset(wait)
			} else if len(jobs) == 0 {
				to = ready
				if to == nil {
					if over, err := w.finish(e, b); over || err != nil {
						return err
					}
					continue
				}
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		case j := <-jobs:
			switch {
			case j.open != nil:
				e.open(j.open, j.ring)
			case j.close != nil:
				e.closeStream(j.close.Stream)
			case j.shutdown != nil:
				b.shutdown = j.shutdown
			default:
				e.add(b, j.frame)
			}
		case to <- b:
			select {
			case <-ctx.Done():
				return nil
			case b = <-free:
			}
		}
	}
}

// finish runs the model on a batch, and answers its frames.
func (w *worker) finish(e *engine, b *batch) (over bool, err error) {
	if err := e.infer(b); err != nil {
		return true, w.fault(faultExit, err)
	}
	for i := range b.steps {
		if err := w.send(e.answer(b, &b.steps[i])); err != nil {
			return true, err
		}
		w.done.Add(1)
	}
	if b.shutdown != nil {
		return true, w.part(b.shutdown)
	}
	b.reset()
	return false, nil
}
