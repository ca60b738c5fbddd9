package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"vedette/test/subscriber"
)

// run lets everything happen, prints what came of it, and gives what must not be.
func run(ctx context.Context, o options, out io.Writer) (err error) {
	if o.dir == "" {
		if o.dir, err = os.MkdirTemp("", "chaos-"); err != nil {
			return err
		}
		defer os.RemoveAll(o.dir)
	}
	ctx, cancel := context.WithTimeout(ctx, o.within)
	defer cancel()
	broker, err := newBroker(o.dir)
	if err != nil {
		return err
	}
	if err := broker.start(ctx); err != nil {
		return err
	}
	defer func() { broker.stop(syscall.SIGKILL) }()
	link, err := newLink(broker.addr)
	if err != nil {
		return err
	}
	defer link.close()
	account := newAccount()
	listener, err := subscriber.Open(ctx, broker.addr, account.take, func() { account.lost.Add(1) })
	if err != nil {
		return err
	}
	defer listener.Disconnect(100)
	lives, err := newLives(order{Broker: link.address(), Dir: filepath.Join(o.dir, "device"), Events: o.events})
	if err != nil {
		return err
	}
	began := time.Now()
	if err := lives.start(ctx); err != nil {
		return err
	}
	if err := happen(ctx, o, broker, lives); err != nil {
		return errors.Join(err, lives.kill())
	}
	select {
	case err = <-lives.ended:
	case <-ctx.Done():
		err = errors.Join(ctx.Err(), lives.kill())
	}
	if err != nil {
		return fmt.Errorf("the last life did not end in good order: %w", err)
	}
	words := lives.words()
	settled := func() bool {
		for _, t := range words {
			if account.missing(t.Epoch, t.Kept) > 0 {
				return false
			}
		}
		return true
	}
	wait, enough := context.WithTimeout(ctx, 2*time.Minute) // what has not come then is lost
	defer enough()
	_ = until(wait, "everything has come", settled)
	took := time.Since(began)
	f := account.figures(words, int(link.connections.Load()))
	_, err = fmt.Fprintf(out, "%s\nin %.0f s, %.0f events/s: %d connections, %d cut, %d half-closed, %d delays; the broker stopped %d times by %v, the process killed %d times\n",
		f, took.Seconds(), float64(f.delivered)/took.Seconds(), link.connections.Load(), link.cuts.Load(), link.halves.Load(), link.delays.Load(),
		o.restarts, o.signal, o.kills)
	if o.signal == syscall.SIGKILL { // the broker's losses are its own
		return err
	}
	return errors.Join(err, f.verdict())
}

// happen restarts the broker and kills the process, in random order, spread over the events.
func happen(ctx context.Context, o options, broker *broker, lives *lives) error {
	kills := make([]bool, o.restarts+o.kills)
	for _, i := range rand.Perm(len(kills))[:o.kills] {
		kills[i] = true
	}
	for i, kill := range kills {
		at := o.events * (i + 1) / (len(kills) + 2)
		if err := until(ctx, fmt.Sprintf("the broker has taken event %d", at), func() bool { return lives.taken() >= at }); err != nil {
			return err
		}
		if kill {
			if err := errors.Join(lives.kill(), lives.start(ctx)); err != nil {
				return err
			}
			continue
		}
		broker.stop(o.signal)
		time.Sleep(rand.N(300 * time.Millisecond))
		if err := broker.start(ctx); err != nil {
			return err
		}
	}
	return nil
}
