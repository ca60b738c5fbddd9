// Command fleet runs a fleet of simulated devices against a cluster of three brokers, kills one, cuts links, and accounts for
// every event.
//
//	fleet [-devices 1000] [-events 10] [-rate 0.2]
//
// The devices are the real connection and the real outbox, each in a folder of its own, without cameras. The brokers are
// nats-server with JetStream, three replicas of everything, each in a process of its own. Between them stand proxies that cut
// connections at random.
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

	"vedette/test/subscriber"
)

// options are what is simulated.
type options struct {
	devices int
	events  int           // of each device
	rate    float64       // events a second and device
	cut     float64       // of all connections, each second
	within  time.Duration // for everything to arrive
	node    string        // run this broker, and nothing else
	dir     string
}

func main() {
	var o options
	flag.IntVar(&o.devices, "devices", 1000, "how many devices")
	flag.IntVar(&o.events, "events", 10, "events of each device")
	flag.Float64Var(&o.rate, "rate", 0.2, "events a second and device")
	flag.Float64Var(&o.cut, "cut", 0.01, "the part of all connections that is cut each second")
	flag.DurationVar(&o.within, "within", 10*time.Minute, "time for everything to arrive")
	flag.StringVar(&o.node, "node", "", "run the broker of this configuration (used by the command itself)")
	flag.StringVar(&o.dir, "dir", "", "where brokers and devices keep their files; empty: a temporary folder")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "fleet:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) (err error) {
	if o.node != "" {
		return runNode(ctx, o.node)
	}
	if o.dir == "" {
		if o.dir, err = os.MkdirTemp("", "fleet-"); err != nil {
			return err
		}
		defer os.RemoveAll(o.dir)
	}
	ctx, cancel := context.WithTimeout(ctx, o.within)
	defer cancel()
	brokers, err := startCluster(ctx, o.dir)
	if err != nil {
		return err
	}
	defer brokers.stop()
	links, err := newLinks(brokers)
	if err != nil {
		return err
	}
	defer links.close()
	account := newAccount()
	listener, err := subscriber.Open(ctx, brokers.nodes[0].mqtt, func(_ string, text []byte) { account.take(text) }, nil)
	if err != nil {
		return err
	}
	defer listener.Disconnect(100)
	fleet, err := newFleet(o, links)
	if err != nil {
		return err
	}
	began := time.Now()
	done := fleet.start(ctx)
	if err := fleet.wait(ctx, "every device is connected", func() bool { return fleet.connected() == o.devices }); err != nil {
		return errors.Join(err, fleet.stop(done))
	}
	fmt.Printf("%d devices connected within %.1f s\n", o.devices, time.Since(began).Seconds())
	fleet.speak(ctx)
	go links.cutAtRandom(ctx, o.cut)
	time.Sleep(12 * time.Second) // events are under way, and connections have stood for long enough to be thought good
	away := fleet.on(links.links[2])
	killed := time.Now()
	if err := brokers.kill(2); err != nil {
		return errors.Join(err, fleet.stop(done))
	}
	fmt.Printf("a node is killed, on which %d devices were\n", len(away))
	spread := fleet.back(ctx, away, killed)
	made := o.devices * o.events
	err = fleet.wait(ctx, "every event has arrived", func() bool { return account.delivered() == made })
	took := time.Since(began)
	fleet.report(account, spread, took)
	return errors.Join(err, account.verdict(made), fleet.stop(done))
}
