package main

import (
	"context"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"time"
)

// link is a proxy before one broker.
type link struct {
	listener net.Listener
	broker   string

	mu    sync.Mutex
	conns map[net.Conn]net.Conn // from the device's side to the broker's
}

type links struct{ links [size]*link }

func newLinks(c *cluster) (*links, error) {
	all := &links{}
	for i, n := range c.nodes {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		l := &link{listener: listener, broker: n.mqtt, conns: map[net.Conn]net.Conn{}}
		all.links[i] = l
		go l.serve()
	}
	return all, nil
}

func (l *link) address() string { return "tcp://" + l.listener.Addr().String() }

func (l *link) serve() {
	for {
		device, err := l.listener.Accept()
		if err != nil {
			return
		}
		broker, err := net.Dial("tcp", l.broker)
		if err != nil {
			_ = device.Close()
			continue
		}
		l.mu.Lock()
		l.conns[device] = broker
		l.mu.Unlock()
		go l.pump(device, broker, device)
		go l.pump(broker, device, device)
	}
}

func (l *link) pump(to, from, device net.Conn) {
	_, _ = io.Copy(to, from)
	l.cut(device)
}

func (l *link) cut(device net.Conn) {
	l.mu.Lock()
	broker := l.conns[device]
	delete(l.conns, device)
	l.mu.Unlock()
	_ = device.Close()
	if broker != nil {
		_ = broker.Close()
	}
}

// cutAtRandom cuts a part of all connections each second.
func (a *links) cutAtRandom(ctx context.Context, part float64) {
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		for _, l := range a.links {
			l.mu.Lock()
			var chosen []net.Conn
			for device := range l.conns {
				if rand.Float64() < part {
					chosen = append(chosen, device)
				}
			}
			l.mu.Unlock()
			for _, device := range chosen {
				l.cut(device)
			}
		}
	}
}

func (a *links) close() {
	for _, l := range a.links {
		_ = l.listener.Close()
	}
}
