package worker

import (
	"context"
	"fmt"
	"sync"

	"vedette/infer/wire"
)

// ahead is what the preparing goroutine hands to the one that runs the model: a frame, or the end.
type ahead struct {
	step     step
	shutdown *wire.Shutdown
}

// workAhead does the jobs as work does, but prepares a frame while the session runs on the one before it: for sessions that leave a
// processor free. Answers come in the same order.
func (w *worker) workAhead(ctx context.Context, e *engine) error {
	feed, err := e.session.NewFeed()
	if err != nil {
		return w.fault(faultLoad, fmt.Errorf("cannot prepare frames ahead: %w", err))
	}
	free := make(chan *input, 2) // all there are
	free <- e.input
	free <- newInput(feed, e.family)
	ctx, cancel := context.WithCancel(ctx)
	var preparing sync.WaitGroup
	defer preparing.Wait() // it uses the streams, which are closed next
	defer cancel()
	steps := make(chan ahead)
	preparing.Go(func() { w.prepareAhead(ctx, e, free, steps) })
	for {
		select {
		case <-ctx.Done():
			return nil
		case a := <-steps:
			if a.shutdown != nil {
				return w.part(a.shutdown)
			}
			result, err := e.finish(&a.step)
			if a.step.input != nil {
				free <- a.step.input
			}
			if over, err := w.answer(result, err); over || err != nil {
				return err
			}
		}
	}
}

// prepareAhead does the jobs up to the model's run, until ctx ends or it is told to shut down.
func (w *worker) prepareAhead(ctx context.Context, e *engine, free <-chan *input, steps chan<- ahead) {
	var into *input
	for {
		var a ahead
		select {
		case <-ctx.Done():
			return
		case j := <-w.jobs:
			switch {
			case j.open != nil:
				e.open(j.open, j.ring)
				continue
			case j.close != nil:
				e.closeStream(j.close.Stream)
				continue
			case j.shutdown != nil:
				a.shutdown = j.shutdown
			default:
				if into == nil {
					select {
					case <-ctx.Done():
						return
					case into = <-free:
					}
				}
				if a.step = e.prepareFrame(j.frame, into); a.step.input != nil {
					into = nil
				}
			}
		}
		select {
		case <-ctx.Done():
			return
		case steps <- a:
		}
		if a.shutdown != nil {
			return
		}
	}
}
