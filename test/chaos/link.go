package main

import (
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// How bad the network is.
const (
	meanLife   = 1500 * time.Millisecond // of a connection, until something happens to it
	longDelay  = 300 * time.Millisecond
	delayEvery = 200 // a read in so many is followed by a delay
)

// link is a bad network before the broker: it delays what it carries, cuts connections, and closes them in one direction alone.
type link struct {
	listener net.Listener
	broker   string
	pumps    sync.WaitGroup

	connections, cuts, halves, delays atomic.Int64

	mu   sync.Mutex
	open map[*net.TCPConn]bool
}

func newLink(broker string) (*link, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	l := &link{listener: listener, broker: broker, open: map[*net.TCPConn]bool{}}
	l.pumps.Go(l.serve)
	return l, nil
}

func (l *link) address() string { return l.listener.Addr().String() }

// close waits for all connections.
func (l *link) close() {
	_ = l.listener.Close()
	l.mu.Lock()
	for conn := range l.open {
		_ = conn.Close()
	}
	l.mu.Unlock()
	l.pumps.Wait()
}

func (l *link) serve() {
	for {
		device, err := l.listener.Accept()
		if err != nil {
			return
		}
		broker, err := net.Dial("tcp", l.broker)
		if err != nil { // it is away: whoever connects sees that
			_ = device.Close()
			continue
		}
		l.connections.Add(1)
		l.carry(device.(*net.TCPConn), broker.(*net.TCPConn))
	}
}

// carry passes on what both sides say until something happens.
func (l *link) carry(device, broker *net.TCPConn) {
	l.mu.Lock()
	l.open[device], l.open[broker] = true, true
	l.mu.Unlock()
	end := func() {
		l.mu.Lock()
		delete(l.open, device)
		delete(l.open, broker)
		l.mu.Unlock()
		_ = device.Close()
		_ = broker.Close()
	}
	harm := time.AfterFunc(time.Duration(rand.ExpFloat64()*float64(meanLife)), func() {
		switch rand.IntN(4) {
		case 0: // the device does not hear the broker any more, the broker hears what is on its way
			l.halves.Add(1)
			_ = broker.CloseRead()
			_ = device.CloseWrite()
		case 1: // the other way round
			l.halves.Add(1)
			_ = device.CloseRead()
			_ = broker.CloseWrite()
		default:
			l.cuts.Add(1)
			_ = device.SetLinger(0)
			_ = broker.SetLinger(0)
			end()
		}
	})
	both := &sync.WaitGroup{}
	both.Go(func() { l.pump(broker, device) })
	both.Go(func() { l.pump(device, broker) })
	l.pumps.Go(func() { both.Wait(); harm.Stop(); end() })
}

// pump carries one direction to its end, and says the end to the other side.
func (l *link) pump(to, from *net.TCPConn) {
	buffer := make([]byte, 4<<10)
	for {
		n, err := from.Read(buffer)
		if rand.IntN(delayEvery) == 0 {
			l.delays.Add(1)
			time.Sleep(rand.N(longDelay))
		}
		if n > 0 {
			if _, err := to.Write(buffer[:n]); err != nil {
				_ = from.CloseRead()
				return
			}
		}
		if err != nil {
			if err != io.EOF { //nolint:errorlint // Read gives it as it is
				_ = from.Close()
			}
			_ = to.CloseWrite()
			return
		}
	}
}
