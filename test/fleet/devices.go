package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"vedette/mqtt"
	"vedette/mqtt/outbox"
	"vedette/mqtt/payload"
)

// device is one simulated device.
type device struct {
	name   string
	topics payload.Topics
	client *mqtt.Client
}

type fleet struct {
	options
	devices []*device
	spoken  sync.WaitGroup
	made    atomic.Int64
}

func newFleet(o options, links *links) (*fleet, error) {
	f := &fleet{options: o}
	for i := range o.devices {
		d := &device{name: fmt.Sprintf("d%04d", i)}
		var err error
		if d.topics, err = payload.NewTopics("vedette/{device}", d.name); err != nil {
			return nil, err
		}
		config := mqtt.DefaultConfig()
		for k := range links.links { // each begins with another broker
			config.Brokers = append(config.Brokers, links.links[(i+k)%size].address())
		}
		logger := slog.New(slog.DiscardHandler)
		d.client, err = mqtt.New(mqtt.Options{
			Config: config, Topics: d.topics, ClientID: "vedette-" + d.name, Logger: logger,
			Outbox: outbox.Open(outbox.Options{
				Files: outbox.Folder(filepath.Join(o.dir, d.name, "outbox")), Size: outbox.LeastSize, Age: outbox.DefaultAge,
				Clock: func() outbox.Stamp { return outbox.Stamp{Wall: time.Now()} }, Logger: logger,
			}),
		})
		if err != nil {
			return nil, err
		}
		f.devices = append(f.devices, d)
	}
	return f, nil
}

// start runs the devices' connections; what it gives ends them and waits.
func (f *fleet) start(ctx context.Context) (stop func() error) {
	ctx, cancel := context.WithCancel(ctx)
	var all sync.WaitGroup
	errs := make([]error, len(f.devices))
	for i, d := range f.devices {
		all.Go(func() { errs[i] = d.client.Run(ctx) })
	}
	return func() error {
		cancel()
		all.Wait()
		return errors.Join(errs...)
	}
}

func (f *fleet) stop(done func() error) error {
	f.spoken.Wait()
	return done()
}

// speak lets every device make its events.
func (f *fleet) speak(ctx context.Context) {
	for _, d := range f.devices {
		f.spoken.Go(func() {
			for k := range f.events {
				select {
				case <-ctx.Done():
					return
				case <-time.After(time.Duration((0.5 + rand.Float64()) / f.rate * float64(time.Second))):
				}
				e := payload.Event{
					Type: "new", ID: fmt.Sprintf("%s-%d", d.name, k), Camera: "yard", BootID: "0f2f8b0e-1d2c-4c3b-8a49-5e6f70819203",
					Time: time.Now(), Clock: payload.Synced, Reason: "confirmed", Sequence: uint32(k),
					After: &payload.TrackedObject{Label: "person", Score: 0.5, Box: [4]float32{0, 0, 1, 1}},
				}
				d.client.PublishEvent(d.topics.Events("yard"), e.AppendJSON)
				f.made.Add(1)
			}
		})
	}
}

func (f *fleet) connected() (n int) {
	for _, d := range f.devices {
		if d.client.Status().Connected {
			n++
		}
	}
	return n
}

// on are the devices that are connected over a link, each with what it calls its broker.
func (f *fleet) on(l *link) map[*device]string {
	there := map[*device]string{}
	for _, d := range f.devices {
		if s := d.client.Status(); s.Connected && strings.HasSuffix(l.address(), strings.TrimPrefix(s.Broker, "tcp://")) {
			there[d] = s.Broker
		}
	}
	return there
}

// back waits until these devices have another broker than the one that they had, and gives how long each took.
func (f *fleet) back(ctx context.Context, old map[*device]string, since time.Time) (took []time.Duration) {
	for len(old) > 0 && ctx.Err() == nil {
		for d, broker := range old {
			if s := d.client.Status(); s.Connected && s.Broker != broker {
				took = append(took, time.Since(since))
				delete(old, d)
			}
		}
		time.Sleep(20 * time.Millisecond)
	}
	slices.Sort(took)
	return took
}

func (f *fleet) wait(ctx context.Context, what string, holds func() bool) error {
	for !holds() {
		select {
		case <-ctx.Done():
			return fmt.Errorf("not reached: %s: %w", what, ctx.Err())
		case <-time.After(50 * time.Millisecond):
		}
	}
	return nil
}

func (f *fleet) report(a *account, spread []time.Duration, took time.Duration) {
	var dropped, waiting uint64
	for _, d := range f.devices {
		s := d.client.Status().Outbox
		dropped += s.Dropped + s.Oversized + s.Unreadable
		waiting += uint64(s.Depth)
	}
	if n := len(spread); n > 0 {
		most, second := 0, map[int]int{}
		for _, d := range spread {
			second[int(d.Seconds())]++
			most = max(most, second[int(d.Seconds())])
		}
		fmt.Printf("reconnected: the first after %.2f s, half after %.2f s, the last after %.2f s; at most %d of %d within one second\n",
			spread[0].Seconds(), spread[n/2].Seconds(), spread[n-1].Seconds(), most, n)
	}
	made := int(f.made.Load())
	fmt.Printf("events made %d, delivered %d, duplicated %d, dropped by bound %d, waiting %d, lost %d, out of order %d, in %.0f s\n",
		made, a.delivered(), a.duplicates(), dropped, waiting, made-a.delivered()-int(dropped)-int(waiting), a.disorder(), took.Seconds())
}
