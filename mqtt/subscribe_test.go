package mqtt

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"github.com/eclipse/paho.mqtt.golang/packets"

	"vedette/mqtt/mqtttest"
)

// listening starts a client with one subscription, and gives what it hears.
func listening(t *testing.T, broker *mqtttest.Broker, filter string) (*service, <-chan Received) {
	t.Helper()
	heard := make(chan Received, 64)
	s := startWith(t, configFor("tcp://"+broker.Addr()), Subscription{filter, func(m Received) { heard <- m }})
	return s, heard
}

// startWith runs a client with subscriptions until the test ends.
func startWith(t *testing.T, config Config, subscriptions ...Subscription) *service {
	t.Helper()
	return startOptions(t, Options{Config: config, Subscriptions: subscriptions})
}

func publish(t *testing.T, broker *mqtttest.Broker, args ...string) {
	t.Helper()
	if out, err := exec.Command("mosquitto_pub", append([]string{"-h", "127.0.0.1", "-p", broker.Port, "-q", "1"}, args...)...).CombinedOutput(); err != nil {
		t.Fatalf("mosquitto_pub: %v: %s", err, out)
	}
}

// A retained message of 1 MiB comes with each subscription: it must cost neither memory nor the connection.
func TestWhatIsTooLongIsCutAndTheConnectionStays(t *testing.T) {
	broker := mqtttest.StartBroker(t)
	huge := filepath.Join(t.TempDir(), "huge")
	if err := os.WriteFile(huge, bytes.Repeat([]byte("x"), 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	publish(t, broker, "-r", "-t", "c/huge", "-f", huge)
	s, heard := listening(t, broker, "c/#")
	s.connected()
	first := <-heard
	if !first.Retained || first.Topic != "c/huge" || len(first.Payload) != MaxReceived+1 {
		t.Errorf("of what is too long come %d bytes on %s, retained %v", len(first.Payload), first.Topic, first.Retained)
	}
	publish(t, broker, "-t", "c/huge", "-f", huge)
	publish(t, broker, "-t", "c/small", "-m", "hello")
	if again := <-heard; again.Retained || len(again.Payload) != MaxReceived+1 {
		t.Errorf("the second has %d bytes, retained %v", len(again.Payload), again.Retained)
	}
	if small := <-heard; small.Topic != "c/small" || string(small.Payload) != "hello" {
		t.Errorf("after it comes %q on %s", small.Payload, small.Topic)
	}
	if got := s.log.Lines("level=WARN"); len(got) > 0 {
		t.Errorf("the connection did not hold: %q", got)
	}
}

func TestSubscriptionsAreTakenAnewAfterACut(t *testing.T) {
	broker := mqtttest.StartBroker(t)
	s, heard := listening(t, broker, "c/#")
	s.connected()
	broker.Kill()
	s.until("the loss", func(s Status) bool { return !s.Connected })
	broker.Start()
	s.connected()
	mqtttest.Eventually(func() bool { // connected comes before subscribed
		publish(t, broker, "-t", "c/one", "-m", "1")
		return len(heard) > 0
	})
	if m := <-heard; string(m.Payload) != "1" {
		t.Errorf("came %q", m.Payload)
	}
}

// The broker's own plugin for access control grants publishing to anybody and subscriptions to nobody.
const speakOnly = `{"defaultACLAccess":{"publishClientSend":true,"publishClientReceive":true,"subscribe":false,"unsubscribe":true},
"clients":[],"groups":[{"groupname":"all","roles":[]}],"roles":[],"anonymousGroup":"all"}`

func TestADeniedSubscriptionIsSaidAndCostsNothingElse(t *testing.T) {
	plugins, _ := filepath.Glob("/usr/lib/*/mosquitto_dynamic_security.so")
	if len(plugins) == 0 {
		t.Skip("mosquitto's plugin for access control is missing")
	}
	access := filepath.Join(t.TempDir(), "access.json")
	if err := os.WriteFile(access, []byte(speakOnly), 0o600); err != nil {
		t.Fatal(err)
	}
	broker := mqtttest.StartBroker(t, "plugin "+plugins[0], "plugin_opt_config_file "+access)
	s, _ := listening(t, broker, "c/#")
	s.connected()
	status := s.until("the denial", func(s Status) bool { return len(s.Denied) > 0 })
	if !slices.Equal(status.Denied, []string{"c/#"}) || len(s.log.Lines("does not grant")) != 1 {
		t.Errorf("denied %v; log:\n%s", status.Denied, s.log)
	}
	before := status.Published
	s.event(testTopics().Faults(), "{}")
	s.until("a message", func(s Status) bool { return s.Published > before && s.Connected })
}

// Some brokers hang up over a subscription that they deny. Events must come through all the same.
func TestABrokerThatHangsUpOverASubscriptionGetsEvents(t *testing.T) {
	broker := mqtttest.StartBroker(t)
	proxy := startProxy(t, broker.Addr(), func(l *link, packet packets.ControlPacket) bool {
		if s, is := packet.(*packets.SubscribePacket); is && slices.Contains(s.Topics, "c/denied") {
			l.cut()
			return false
		}
		return true
	})
	heard := make(chan Received, 64)
	s := startWith(t, proxy.configuration(),
		Subscription{"c/denied", func(Received) {}}, Subscription{"c/granted", func(m Received) { heard <- m }})
	s.event(testTopics().Faults(), "{}")
	s.until("an event", func(s Status) bool { return s.Outbox.Acked == 1 })
	if status := s.Status(); !slices.Equal(status.Denied, []string{"c/denied"}) || proxy.connections() != hangUps+1 {
		t.Errorf("denied %v after %d connections; log:\n%s", status.Denied, proxy.connections(), s.log)
	}
	mqtttest.Eventually(func() bool {
		publish(t, broker, "-t", "c/granted", "-m", "1")
		return len(heard) > 0
	})
	if len(heard) == 0 {
		t.Error("what is granted is not heard")
	}
}
