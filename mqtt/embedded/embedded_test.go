package embedded

import (
	"fmt"
	"io"
	"log/slog"
	"net"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"
	"go.uber.org/goleak"

	"vedette/mqtt/mqtttest"
	"vedette/test/logtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func logger(l *logtest.Log, level slog.Level) *slog.Logger {
	return slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{Level: level}))
}

// start runs a broker until the test ends, or until what it gives is called.
func start(t *testing.T, addr string, logger *slog.Logger) (b *Broker, stop func()) {
	t.Helper()
	b, err := Start(addr, logger)
	if err != nil {
		t.Fatal(err)
	}
	stop = sync.OnceFunc(func() {
		began := time.Now()
		if err := b.Close(); err != nil {
			t.Error(err)
		}
		if took := time.Since(began); took > 10*closeTimeout {
			t.Errorf("Close took %v", took)
		}
	})
	t.Cleanup(stop)
	return b, stop
}

func port(t *testing.T, b *Broker) string {
	t.Helper()
	_, port, err := net.SplitHostPort(b.Addr())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// publish runs mosquitto_pub.
func publish(t *testing.T, b *Broker, topic string, args ...string) error {
	t.Helper()
	args = append([]string{"-h", "127.0.0.1", "-p", port(t, b), "-q", "1", "-t", topic}, args...)
	cmd := exec.Command("mosquitto_pub", args...)
	if cmd.Err != nil {
		t.Skip("mosquitto_pub is missing: install mosquitto-clients")
	}
	return cmd.Run()
}

// dial opens a connection, which the test ends.
func dial(t *testing.T, b *Broker) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", b.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// connect logs in without a keep-alive, and gives the broker's answer.
func connect(t *testing.T, b *Broker, id string) (net.Conn, byte) {
	t.Helper()
	conn := dial(t, b)
	hello := packets.NewControlPacket(packets.Connect).(*packets.ConnectPacket)
	hello.ProtocolName, hello.ProtocolVersion, hello.ClientIdentifier, hello.CleanSession = "MQTT", 4, id, true
	if err := hello.Write(conn); err != nil {
		t.Fatal(err)
	}
	answer, err := packets.ReadPacket(conn)
	if err != nil {
		t.Fatal(err)
	}
	return conn, answer.(*packets.ConnackPacket).ReturnCode
}

// hungUp waits for the broker's end of a connection.
func hungUp(t *testing.T, conn net.Conn) {
	t.Helper()
	_ = conn.SetReadDeadline(time.Now().Add(mqtttest.Patience))
	if _, err := io.Copy(io.Discard, conn); err != nil && !strings.Contains(err.Error(), "reset") {
		t.Errorf("the broker does not hang up: %v", err)
	}
}

func TestRetained(t *testing.T) {
	b, _ := start(t, "127.0.0.1:0", slog.New(slog.DiscardHandler))
	live := mqtttest.Subscribe(t, port(t, b), "vedette/#")
	if err := publish(t, b, "vedette/bench/status", "-r", "-m", "online"); err != nil {
		t.Fatal(err)
	}
	if err := publish(t, b, "vedette/bench/faults", "-m", "exit 3"); err != nil {
		t.Fatal(err)
	}
	live.Wait("vedette/bench/status", "online")
	live.Wait("vedette/bench/faults", "exit 3")
	late := mqtttest.Subscribe(t, port(t, b), "vedette/#").All()
	if want := (mqtttest.Message{Retained: true, QoS: "1", Topic: "vedette/bench/status", Payload: "online"}); len(late) != 1 || late[0] != want {
		t.Errorf("who comes later reads %+v", late)
	}
}

func TestLoopbackOnly(t *testing.T) {
	for addr, good := range map[string]bool{
		"127.0.0.1:0": true, "127.1.2.3:0": true,
		"0.0.0.0:0": false, "[::]:0": false, ":0": false, "192.0.2.1:0": false, "broker.lan:0": false, "127.0.0.1": false, "": false,
	} {
		b, err := Start(addr, slog.New(slog.DiscardHandler))
		if (err == nil) != good {
			t.Errorf("on %q it gives %v", addr, err)
		}
		if err != nil {
			continue
		}
		host, _, err := net.SplitHostPort(b.Addr())
		if err != nil || !net.ParseIP(host).IsLoopback() {
			t.Errorf("on %q it listens on %s", addr, b.Addr())
		}
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestPortTaken(t *testing.T) {
	var log logtest.Log
	first, _ := start(t, "127.0.0.1:0", logger(&log, slog.LevelInfo))
	if log.String() != "" {
		t.Errorf("nothing is wrong, but: %s", &log)
	}
	second, _ := start(t, first.Addr(), logger(&log, slog.LevelInfo))
	if second.Addr() == first.Addr() {
		t.Error("two brokers on one port")
	}
	if said := log.String(); !strings.Contains(said, first.Addr()) || !strings.Contains(said, second.Addr()) || strings.Count(said, "\n") != 1 {
		t.Errorf("the log says %q", said)
	}
	if err := publish(t, second, "vedette/bench/status", "-m", "online"); err != nil {
		t.Errorf("nobody is served on the other port: %v", err)
	}
}

// Whatever its clients do or leave undone, the broker ends, and nothing of it is left.
func TestClose(t *testing.T) {
	tests := map[string]func(t *testing.T, b *Broker){
		"nobody":                     func(*testing.T, *Broker) {},
		"a subscriber":               func(t *testing.T, b *Broker) { mqtttest.Subscribe(t, port(t, b), "#") },
		"a client":                   func(t *testing.T, b *Broker) { connect(t, b, "client") },
		"one that says nothing":      func(t *testing.T, b *Broker) { accepted(t, b, nil) },
		"one that says half a hello": func(t *testing.T, b *Broker) { accepted(t, b, []byte{0x10, 0x20, 0}) },
		"one that does not read":     stall,
	}
	for name, come := range tests {
		t.Run(name, func(t *testing.T) {
			b, stop := start(t, "127.0.0.1:0", slog.New(slog.DiscardHandler))
			come(t, b)
			stop()
			if !mqtttest.Eventually(func() bool { return !strings.Contains(goroutines(), "mochi-mqtt") }) {
				t.Errorf("the broker goes on:\n%s", goroutines())
			}
			if conn, err := net.Dial("tcp", b.Addr()); err == nil {
				conn.Close()
				t.Error("it still listens")
			}
		})
	}
}

// Clients that end by themselves while the broker does are no reason for it to hang.
func TestCloseWhileClientsGo(t *testing.T) {
	for range 10 {
		b, stop := start(t, "127.0.0.1:0", slog.New(slog.DiscardHandler))
		conns := make([]net.Conn, maxClients)
		for i := range conns {
			conns[i], _ = connect(t, b, fmt.Sprint("client ", i))
		}
		for _, conn := range conns {
			conn.Close()
		}
		stop()
	}
}

func goroutines() string {
	text := make([]byte, 1<<20)
	return string(text[:runtime.Stack(text, true)])
}

// accepted opens a connection that the broker serves, and writes to it.
func accepted(t *testing.T, b *Broker, text []byte) {
	t.Helper()
	conn := dial(t, b)
	if _, err := conn.Write(text); err != nil {
		t.Fatal(err)
	}
	connect(t, b, "later") // connections are accepted in order
}

// stall subscribes to everything, reads nothing, and lets the broker write until it cannot.
func stall(t *testing.T, b *Broker) {
	t.Helper()
	conn, _ := connect(t, b, "staller")
	subscribe := packets.NewControlPacket(packets.Subscribe).(*packets.SubscribePacket)
	subscribe.MessageID, subscribe.Topics, subscribe.Qoss = 1, []string{"#"}, []byte{0}
	if err := subscribe.Write(conn); err != nil {
		t.Fatal(err)
	}
	if _, err := packets.ReadPacket(conn); err != nil {
		t.Fatal(err)
	}
	publisher, _ := connect(t, b, "publisher")
	message := packets.NewControlPacket(packets.Publish).(*packets.PublishPacket)
	message.TopicName, message.Payload, message.Qos = "vedette/bench/porch/detections", make([]byte, 256<<10), 1
	for id := range uint16(100) { // 25 MiB: more than the sockets between them hold
		message.MessageID = id + 1
		if err := message.Write(publisher); err != nil {
			t.Fatal(err)
		}
		_ = publisher.SetReadDeadline(time.Now().Add(mqtttest.Patience))
		if _, err := packets.ReadPacket(publisher); err != nil {
			t.Fatalf("message %d is not acknowledged: %v", id, err)
		}
	}
}

// One that does not read takes nothing from the others.
func TestStalledSubscriber(t *testing.T) {
	b, _ := start(t, "127.0.0.1:0", slog.New(slog.DiscardHandler))
	stall(t, b)
	live := mqtttest.Subscribe(t, port(t, b), "vedette/bench/faults")
	if err := publish(t, b, "vedette/bench/faults", "-m", "exit 3"); err != nil {
		t.Fatal(err)
	}
	live.Wait("vedette/bench/faults", "exit 3")
}

func TestPacketBound(t *testing.T) {
	b, _ := start(t, "127.0.0.1:0", slog.New(slog.DiscardHandler))
	live := mqtttest.Subscribe(t, port(t, b), "sizes/#")
	tooLong := []byte{0x30, 0xff, 0xff, 0xff, 0x7f} // a PUBLISH of 256 MiB
	t.Run("after the hello", func(t *testing.T) {
		conn, _ := connect(t, b, "big")
		if _, err := conn.Write(tooLong); err != nil {
			t.Fatal(err)
		}
		hungUp(t, conn)
	})
	t.Run("instead of a hello", func(t *testing.T) {
		conn := dial(t, b)
		if _, err := conn.Write(append([]byte{0x10}, tooLong[1:]...)); err != nil {
			t.Fatal(err)
		}
		hungUp(t, conn)
	})
	t.Run("whole", func(t *testing.T) {
		conn, _ := connect(t, b, "whole")
		message := packets.NewControlPacket(packets.Publish).(*packets.PublishPacket)
		message.TopicName, message.Payload = "sizes/big", make([]byte, 2*maxPacket)
		_ = message.Write(conn) // the broker hangs up meanwhile
		hungUp(t, conn)
	})
	small := strings.Repeat("x", 100_000)
	if err := publish(t, b, "sizes/small", "-m", small); err != nil {
		t.Fatal(err)
	}
	live.Wait("sizes/small", small)
	if got := live.All(); len(got) != 1 {
		t.Errorf("%d messages came, not 1", len(got))
	}
}

func TestClientBound(t *testing.T) {
	b, _ := start(t, "127.0.0.1:0", slog.New(slog.DiscardHandler))
	for i := range maxClients {
		if _, code := connect(t, b, string(rune('A'+i))); code != packets.Accepted {
			t.Fatalf("client %d is refused: %d", i, code)
		}
	}
	if _, code := connect(t, b, "one too many"); code != packets.ErrRefusedServerUnavailable {
		t.Errorf("one client too many is answered with %d", code)
	}
}

// What clients do is no news at the usual level, however bad; somebody who looks for it finds it.
func TestQuiet(t *testing.T) {
	for level, want := range map[slog.Level]bool{slog.LevelInfo: false, slog.LevelDebug: true} {
		var log logtest.Log
		b, stop := start(t, "127.0.0.1:0", logger(&log, level))
		conn, _ := connect(t, b, "rude")
		if _, err := conn.Write([]byte{0xf0, 0x00}); err != nil {
			t.Fatal(err)
		}
		hungUp(t, conn)
		_ = publish(t, b, "vedette/bench/status", "-m", "online")
		dial(t, b).Close()
		stop()
		if got := log.String(); (got != "") != want {
			t.Errorf("at %v it says %q", level, got)
		}
	}
}
