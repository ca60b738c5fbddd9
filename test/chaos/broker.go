package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// subscriberWindow is how many messages the broker has under way to the account: what it sends again when it comes back.
const subscriberWindow = 20

// broker is a mosquitto that keeps what it has: persistence, no bound on what waits for a subscriber.
type broker struct {
	addr   string
	config string
	cmd    *exec.Cmd
}

func newBroker(dir string) (*broker, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	addr := listener.Addr().(*net.TCPAddr)
	if err := listener.Close(); err != nil {
		return nil, err
	}
	b := &broker{addr: addr.String(), config: filepath.Join(dir, "mosquitto.conf")}
	text := fmt.Sprintf(`user root
listener %d 127.0.0.1
allow_anonymous true
persistence true
persistence_location %s/
max_queued_messages 0
max_inflight_messages %d
`, addr.Port, dir, subscriberWindow)
	return b, os.WriteFile(b.config, []byte(text), 0o600)
}

func (b *broker) start(ctx context.Context) error {
	b.cmd = exec.CommandContext(ctx, "mosquitto", "-c", b.config)
	if err := b.cmd.Start(); err != nil {
		return fmt.Errorf("cannot start a broker (of the package mosquitto): %w", err)
	}
	return until(ctx, "the broker listens", func() bool {
		conn, err := net.Dial("tcp", b.addr)
		if err == nil {
			_ = conn.Close()
		}
		return err == nil
	})
}

// stop waits until it has ended: after SIGTERM it writes down what it keeps.
func (b *broker) stop(signal syscall.Signal) {
	_ = b.cmd.Process.Signal(signal)
	_ = b.cmd.Wait()
}

func until(ctx context.Context, what string, holds func() bool) error {
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for !holds() {
		select {
		case <-ctx.Done():
			return fmt.Errorf("not reached: %s: %w", what, ctx.Err())
		case <-ticker.C:
		}
	}
	return nil
}
