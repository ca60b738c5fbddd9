package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
)

// startBroker runs mosquitto, which keeps without bound what a subscriber that is away has to get.
func (s *subject) startBroker(ctx context.Context) error {
	config := filepath.Join(s.dir, "mosquitto.conf")
	text := fmt.Sprintf(`user root
listener %s 127.0.0.1
allow_anonymous true
persistence true
persistence_location %s/
max_queued_messages 0
max_inflight_messages 0
`, s.mqtt, s.dir)
	if err := os.WriteFile(config, []byte(text), 0o644); err != nil {
		return err
	}
	s.broker = exec.CommandContext(context.WithoutCancel(ctx), "mosquitto", "-c", config)
	if err := s.broker.Start(); err != nil {
		return fmt.Errorf("cannot start a broker: %w", err)
	}
	return until(ctx, func() error {
		conn, err := net.Dial("tcp", "127.0.0.1:"+s.mqtt)
		if err == nil {
			err = conn.Close()
		}
		return err
	})
}

// stopBroker ends it: with SIGTERM it writes down what it keeps.
func (s *subject) stopBroker(signal syscall.Signal) {
	if s.broker == nil || s.broker.Process == nil {
		return
	}
	_ = s.broker.Process.Signal(signal)
	_ = s.broker.Wait()
	s.broker = nil
}

// link stands between the service and the broker, and passes on what they say.
type link struct {
	listener net.Listener
	broker   string
	pumps    sync.WaitGroup
	// swallow is after how many of the broker's packets an acknowledgement is swallowed, and the connection cut; 0: never.
	swallow atomic.Int64
	cuts    atomic.Int64
}

func newLink(broker string) (*link, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	l := &link{listener: listener, broker: broker}
	l.pumps.Go(l.serve)
	return l, nil
}

func (l *link) address() string { return l.listener.Addr().String() }

// close waits for the connections, which have ended with the service and the broker.
func (l *link) close() {
	_ = l.listener.Close()
	l.pumps.Wait()
}

func (l *link) serve() {
	for {
		service, err := l.listener.Accept()
		if err != nil {
			return
		}
		broker, err := net.Dial("tcp", l.broker)
		if err != nil { // it is away: whoever connects sees that
			service.Close()
			continue
		}
		l.pumps.Go(func() {
			_, _ = io.Copy(broker, service)
			broker.Close()
			service.Close()
		})
		l.pumps.Go(func() {
			_ = l.answers(service, broker)
			broker.Close()
			service.Close()
		})
	}
}

var errCut = errors.New("the connection is cut") //nolint:gochecknoglobals // a sentinel

// answers passes on packets of the broker.
func (l *link) answers(service io.Writer, broker io.Reader) error {
	const puback = 4 << 4
	for n := int64(1); ; n++ {
		packet, err := readPacket(broker)
		if err != nil {
			return err
		}
		if every := l.swallow.Load(); every > 0 && n >= every && packet[0] == puback {
			l.cuts.Add(1)
			return errCut
		}
		if _, err := service.Write(packet); err != nil {
			return err
		}
	}
}

// readPacket reads one MQTT packet as it is. (MQTT 3.1.1, 2.2.)
func readPacket(from io.Reader) ([]byte, error) {
	packet := make([]byte, 2, 64)
	if _, err := io.ReadFull(from, packet); err != nil {
		return nil, err
	}
	length := int(packet[1] & 0x7f)
	for shift := 7; packet[len(packet)-1]&0x80 != 0; shift += 7 {
		next := make([]byte, 1)
		if _, err := io.ReadFull(from, next); err != nil || shift > 21 {
			return nil, errors.Join(err, errors.New("no MQTT packet"))
		}
		packet = append(packet, next[0])
		length |= int(next[0]&0x7f) << shift
	}
	head := len(packet)
	packet = append(packet, make([]byte, length)...)
	_, err := io.ReadFull(from, packet[head:])
	return packet, err
}
