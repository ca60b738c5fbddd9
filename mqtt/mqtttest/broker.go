// Package mqtttest runs Eclipse Mosquitto's broker and subscriber for tests: nothing of theirs is Vedette's.
package mqtttest

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Patience is what no wait in these tests comes near to but one that fails.
const Patience = 2 * time.Minute

// Eventually looks until holds does: what is waited for happens in another process, or has no event of its own.
func Eventually(holds func() bool) bool {
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	for deadline := time.After(Patience); !holds(); {
		select {
		case <-ticker.C:
		case <-deadline:
			return false
		}
	}
	return true
}

// Broker is a mosquitto that listens on loopback.
type Broker struct {
	Port string

	t      testing.TB
	config string
	cmd    *exec.Cmd
}

// StartBroker runs a broker until the test ends. lines add to its listener's configuration.
func StartBroker(t testing.TB, lines ...string) *Broker {
	t.Helper()
	b := &Broker{Port: FreePort(t), t: t, config: filepath.Join(t.TempDir(), "mosquitto.conf")}
	// As root it would become the user mosquitto, who cannot read a test's files.
	text := fmt.Sprintf("user root\npersistence false\nlistener %s 127.0.0.1\n%s\n", b.Port, strings.Join(lines, "\n"))
	if !strings.Contains(text, "allow_anonymous") {
		text += "allow_anonymous true\n"
	}
	if err := os.WriteFile(b.config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	b.Start()
	t.Cleanup(b.Kill)
	return b
}

// Start runs the broker again, on the same port and with nothing in its memory.
func (b *Broker) Start() {
	b.t.Helper()
	var said bytes.Buffer
	b.cmd = exec.Command(program(b.t, "mosquitto"), "-c", b.config)
	b.cmd.Stdout, b.cmd.Stderr = &said, &said
	if err := b.cmd.Start(); err != nil {
		b.t.Fatal(err)
	}
	listens := func() bool {
		conn, err := net.Dial("tcp", b.Addr())
		if err == nil {
			conn.Close()
		}
		return err == nil
	}
	if !Eventually(listens) {
		b.Kill()
		b.t.Fatalf("mosquitto does not listen; it says:\n%s", said.String())
	}
}

// Kill ends the broker, which has no time to say anything to anybody.
func (b *Broker) Kill() {
	_ = b.cmd.Process.Kill()
	_ = b.cmd.Wait()
}

// Addr is host:port.
func (b *Broker) Addr() string { return net.JoinHostPort("127.0.0.1", b.Port) }

// Subscribe reads topics of this broker.
func (b *Broker) Subscribe(topics ...string) *Subscriber {
	b.t.Helper()
	return Subscribe(b.t, b.Port, topics...)
}

// FreePort is a port of loopback that nobody listens on.
func FreePort(t testing.TB) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	_, port, err := net.SplitHostPort(listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

func program(t testing.TB, name string) string {
	t.Helper()
	for _, path := range []string{name, "/usr/sbin/" + name} {
		if found, err := exec.LookPath(path); err == nil {
			return found
		}
	}
	t.Skipf("%s is missing: install mosquitto and mosquitto-clients", name)
	return ""
}
