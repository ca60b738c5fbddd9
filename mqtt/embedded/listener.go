package embedded

import (
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/mochi-mqtt/server/v2/listeners"
)

const listenerID = "loopback"

// listener serves connections and ends with all of them. The library's own ends only those that have said CONNECT, then waits
// for the others without a limit.
type listener struct {
	net.Listener
	log        *slog.Logger
	disconnect func() // takes leave of the clients that have said CONNECT

	mu      sync.Mutex
	over    bool // no connection is added any more
	conns   map[net.Conn]struct{}
	serving sync.WaitGroup // one for each of conns
}

func (l *listener) Init(log *slog.Logger) error {
	l.log, l.conns = log, map[net.Conn]struct{}{}
	return nil
}

func (l *listener) ID() string       { return listenerID }
func (l *listener) Address() string  { return l.Addr().String() }
func (l *listener) Protocol() string { return l.Addr().Network() }

// Serve accepts connections until Close.
func (l *listener) Serve(establish listeners.EstablishFn) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		l.mu.Lock()
		if l.over {
			conn.Close()
		} else {
			l.conns[conn] = struct{}{}
			l.serving.Go(func() { l.serve(conn, establish) })
		}
		l.mu.Unlock()
	}
}

func (l *listener) serve(conn net.Conn, establish listeners.EstablishFn) {
	if err := establish(listenerID, conn); err != nil {
		l.log.Warn("a client's connection has ended", "error", err)
	}
	l.mu.Lock()
	delete(l.conns, conn)
	l.mu.Unlock()
}

// Close asks every client to go, and hangs up on those that do not. The library's function for it is not called: see disconnect.
func (l *listener) Close(listeners.CloseFn) {
	_ = l.Listener.Close() // it can only be closed already
	l.mu.Lock()
	l.over = true
	l.mu.Unlock()
	defer time.AfterFunc(closeTimeout, l.hangUp).Stop()
	l.disconnect()
	l.serving.Wait()
}

func (l *listener) hangUp() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for conn := range l.conns {
		conn.Close()
	}
}
