// Package embedded runs a small MQTT broker on loopback, for machines that have none.
package embedded

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"syscall"
	"time"

	broker "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/hooks/auth"
	"github.com/mochi-mqtt/server/v2/packets"
)

// Bounds: it serves this machine's own programs, not a fleet.
const (
	maxClients    = 64
	maxPacket     = 1 << 20 // bytes
	maxQueued     = 1024    // messages for one client that does not read
	maxKeptHours  = 1
	secondsInHour = 3600
	closeTimeout  = time.Second // after which clients that do not end are hung up on
)

// Broker is a broker that runs.
type Broker struct {
	server   *broker.Server
	listener *listener
}

// Start serves on addr, host:port on loopback; anybody on this machine may connect. Where the port is taken, the kernel chooses
// another: Addr tells.
func Start(addr string, logger *slog.Logger) (*Broker, error) {
	listener, err := listen(addr, logger)
	if err != nil {
		return nil, err
	}
	capabilities := broker.NewDefaultServerCapabilities()
	capabilities.MaximumClients = maxClients
	capabilities.MaximumPacketSize = maxPacket
	capabilities.MaximumClientWritesPending = maxQueued
	capabilities.MaximumSessionExpiryInterval = maxKeptHours * secondsInHour
	capabilities.MaximumMessageExpiryInterval = maxKeptHours * secondsInHour
	server := broker.New(&broker.Options{
		Capabilities: capabilities,
		// The library tells each client's coming and going; what matters here is what fails.
		Logger: slog.New(quiet{logger.Handler()}),
	})
	if err := server.AddHook(new(auth.AllowHook), nil); err != nil {
		return nil, errors.Join(fmt.Errorf("cannot start the embedded broker: %w", err), listener.Listener.Close())
	}
	listener.disconnect = func() { disconnect(server) }
	if err := server.AddListener(listener); err != nil {
		return nil, errors.Join(fmt.Errorf("cannot start the embedded broker: %w", err), listener.Listener.Close())
	}
	if err := server.Serve(); err != nil {
		return nil, errors.Join(fmt.Errorf("cannot start the embedded broker: %w", err), listener.Listener.Close())
	}
	return &Broker{server: server, listener: listener}, nil
}

func listen(addr string, logger *slog.Logger) (*listener, error) {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, fmt.Errorf("cannot start the embedded broker: %w", err)
	}
	if ip := net.ParseIP(host); ip == nil || !ip.IsLoopback() {
		return nil, fmt.Errorf("cannot start the embedded broker on %s: it asks for no password, so it serves loopback only", addr)
	}
	inner, err := net.Listen("tcp", addr)
	if errors.Is(err, syscall.EADDRINUSE) {
		if inner, err = net.Listen("tcp", net.JoinHostPort(host, "0")); err == nil {
			logger.Warn("the embedded broker's port is taken: it listens on another", "wanted", addr, "address", inner.Addr().String())
		}
	}
	if err != nil {
		return nil, fmt.Errorf("cannot start the embedded broker: %w", err)
	}
	return &listener{Listener: inner}, nil
}

// disconnect takes leave of every client. The library's own way takes its lock for reading twice, one inside the other: a client
// that ends in between waits for it to write, and nobody gets any further (mochi-mqtt 2.7.9, Clients.GetByListener).
func disconnect(server *broker.Server) {
	for _, client := range server.Clients.GetAll() {
		if !client.Closed() {
			_ = server.DisconnectClient(client, packets.ErrServerShuttingDown) // the code it was given comes back as an error
		}
	}
}

// Addr is where it listens, host:port.
func (b *Broker) Addr() string { return b.listener.Addr().String() }

// Close disconnects every client and stops.
func (b *Broker) Close() error {
	if err := b.server.Close(); err != nil {
		return fmt.Errorf("cannot stop the embedded broker: %w", err)
	}
	return nil
}
