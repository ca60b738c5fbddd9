// Command chaos lets a process that makes events as fast as they are taken live through a bad network, restarts of its broker
// and kill -9, and accounts for every event.
//
//	chaos [-events 100000] [-restarts 20] [-kills 20] [-signal TERM]
//
// The process is the real connection over the real outbox, without cameras. The broker is mosquitto with persistence and an
// unlimited queue; the account is kept by a subscriber with a persistent session, which asks the broker without the bad network
// in between. With -signal KILL the broker is not given the time to write its store: that shows what it loses by itself.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// options are what happens.
type options struct {
	events   int
	restarts int // of the broker
	kills    int // of the process
	signal   syscall.Signal
	within   time.Duration
	dir      string
}

func main() {
	var o options
	flag.IntVar(&o.events, "events", 100_000, "how many events are made at least")
	flag.IntVar(&o.restarts, "restarts", 20, "how often the broker is stopped and started")
	flag.IntVar(&o.kills, "kills", 20, "how often the process is killed")
	name := flag.String("signal", "TERM", "what stops the broker: TERM or KILL")
	flag.DurationVar(&o.within, "within", 25*time.Minute, "time for everything")
	flag.StringVar(&o.dir, "dir", "", "where the process and the broker keep their files; empty: a temporary folder")
	device := flag.String("device", "", "be the process of this description (used by the command itself)")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := errors.New("-signal is TERM or KILL")
	switch {
	case *device != "":
		err = runMaker(ctx, *device)
	case *name == "TERM":
		o.signal = syscall.SIGTERM
		err = run(ctx, o, os.Stdout)
	case *name == "KILL":
		o.signal = syscall.SIGKILL
		err = run(ctx, o, os.Stdout)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "chaos:", err)
		stop()
		os.Exit(1)
	}
}
