package mqtt

import (
	"net"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/eclipse/paho.mqtt.golang/packets"
)

// proxy stands between a client and a broker, as a bad network does. It passes on whole packets.
type proxy struct {
	t        *testing.T
	listener net.Listener
	broker   string
	passes   func(link *link, packet packets.ControlPacket) bool // nil: everything does
	pumps    sync.WaitGroup

	mu    sync.Mutex
	links []*link
}

// link is one connection through the proxy.
type link struct {
	client, broker *net.TCPConn
	held           chan struct{} // closed once nothing is read any more
}

// startProxy serves until the test ends.
func startProxy(t *testing.T, broker string, passes func(*link, packets.ControlPacket) bool) *proxy {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{t: t, listener: listener, broker: broker, passes: passes}
	p.pumps.Go(p.serve)
	t.Cleanup(func() {
		_ = listener.Close()
		p.each((*link).cut)
		p.pumps.Wait()
	})
	return p
}

func (p *proxy) configuration() Config { return configFor("tcp://" + p.listener.Addr().String()) }

func (p *proxy) serve() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		broker, err := net.Dial("tcp", p.broker)
		if err != nil { // it is away: whoever connects sees that
			client.Close()
			continue
		}
		l := &link{client: client.(*net.TCPConn), broker: broker.(*net.TCPConn), held: make(chan struct{})}
		p.mu.Lock()
		p.links = append(p.links, l)
		p.mu.Unlock()
		p.pumps.Go(func() { p.pump(l, l.client, l.broker) })
		p.pumps.Go(func() { p.pump(l, l.broker, l.client) })
	}
}

func (p *proxy) pump(l *link, from, to *net.TCPConn) {
	for {
		packet, err := packets.ReadPacket(from)
		select {
		case <-l.held:
			return
		default:
		}
		if err != nil {
			l.cut()
			return
		}
		if p.passes != nil && !p.passes(l, packet) {
			continue
		}
		if err := packet.Write(to); err != nil {
			l.cut()
			return
		}
	}
}

// each does something to every link that there was.
func (p *proxy) each(do func(*link)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, l := range p.links {
		do(l)
	}
}

// connections is how many there were.
func (p *proxy) connections() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.links)
}

// cut resets both sides, without a DISCONNECT.
func (l *link) cut() {
	for _, side := range []*net.TCPConn{l.client, l.broker} {
		_ = side.SetLinger(0)
		side.Close()
	}
}

// hold stops reading from either side; the connections stay. It is called once.
func (l *link) hold() { close(l.held) }

// abandon cuts the client off, and leaves the broker with half a connection. It is called once.
func (l *link) abandon() {
	l.hold()
	l.client.Close()
}

// listener hands what connects to handle, counts, and hangs up when the test ends.
func listener(t *testing.T, handle func(net.Conn)) (addr string, accepted *atomic.Int64) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	accepted = &atomic.Int64{}
	var serving sync.WaitGroup
	var conns []net.Conn // belongs to the goroutine below until it has ended
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			conns = append(conns, conn)
			accepted.Add(1)
			serving.Go(func() { handle(conn) })
		}
	}()
	t.Cleanup(func() {
		_ = l.Close()
		<-ended
		for _, conn := range conns {
			conn.Close()
		}
		serving.Wait()
	})
	return l.Addr().String(), accepted
}

// refuse hangs up at the first byte.
func refuse(conn net.Conn) {
	_, _ = conn.Read(make([]byte, 1))
	_ = conn.(*net.TCPConn).SetLinger(0)
	conn.Close()
}
