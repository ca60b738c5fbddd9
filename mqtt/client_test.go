package mqtt

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"

	"vedette/mqtt/mqtttest"
)

func TestOnlineAndOffline(t *testing.T) {
	broker := mqtttest.StartBroker(t)
	status := testTopics().Status()
	live := broker.Subscribe(status)
	s := start(t, configFor("tcp://"+broker.Addr()))
	s.connected()
	if late := broker.Subscribe(status).All(); len(late) != 1 || !late[0].Retained || late[0].Payload != "online" || late[0].QoS != "1" {
		t.Errorf("who comes later reads %+v", late)
	}
	s.stop()
	live.Wait(status, "online", "offline")
	if late := broker.Subscribe(status).All(); len(late) != 1 || !late[0].Retained || late[0].Payload != "offline" {
		t.Errorf("after the end who comes later reads %+v", late)
	}
	if s.Status().Connected {
		t.Error("it still says that it is connected")
	}
	if got := s.log.Lines("level=WARN"); len(got) > 0 {
		t.Errorf("nothing was wrong, but the log says %q", got)
	}
}

func TestLastWillAfterACut(t *testing.T) {
	broker := mqtttest.StartBroker(t)
	status := testTopics().Status()
	live := broker.Subscribe(status)
	p := startProxy(t, broker.Addr(), nil)
	s := start(t, p.configuration())
	s.connected()
	p.each((*link).cut)
	live.Wait(status, "online", "offline", "online") // the last one is the next connection's
	s.stop()
	live.Wait(status, "online", "offline", "online", "offline")
	if got := s.log.Lines("no connection"); len(got) != 1 {
		t.Errorf("a cut takes %d lines: %q", len(got), got)
	}
}

// A broker that has not noticed the cut sends the last will when the same client connects again: the last word must be online.
func TestOnlineAfterHalfAConnection(t *testing.T) {
	broker := mqtttest.StartBroker(t)
	status := testTopics().Status()
	live := broker.Subscribe(status)
	p := startProxy(t, broker.Addr(), nil)
	s := start(t, p.configuration())
	s.connected()
	p.each((*link).abandon)
	s.until("another connection", func(s Status) bool { return s.Connected && p.connections() == 2 })
	live.Wait(status, "online", "offline", "online")
}

func TestBrokerThatForgets(t *testing.T) {
	broker := mqtttest.StartBroker(t)
	s := start(t, configFor("tcp://"+broker.Addr()))
	topics := testTopics()
	s.SetRetained(topics.State(), []byte("first"))
	s.SetRetained("vedette/bench/porch/person", []byte("2"))
	s.connected()
	broker.Subscribe("#").WaitFor(topics.State(), "first")

	broker.Kill()
	s.until("the loss", func(s Status) bool { return !s.Connected })
	s.SetRetained(topics.State(), []byte("second"))
	broker.Start()
	s.connected()
	live := broker.Subscribe("vedette/#")
	live.WaitFor(topics.Status(), "online")
	live.WaitFor(topics.State(), "second")
	live.WaitFor("vedette/bench/porch/person", "2")
}

// What fails while the broker is away arrives when it is back, in order.
func TestFaultsWaitForTheBroker(t *testing.T) {
	broker := mqtttest.StartBroker(t)
	var closed atomic.Bool
	p := startProxy(t, broker.Addr(), func(l *link, _ packets.ControlPacket) bool {
		if closed.Load() {
			l.cut()
		}
		return true
	})
	s := start(t, p.configuration())
	s.connected()
	live := broker.Subscribe(testTopics().Faults())
	closed.Store(true)
	p.each((*link).cut)
	s.until("the loss", func(s Status) bool { return !s.Connected })
	want := make([]string, 10)
	for i := range want {
		want[i] = fmt.Sprintf("fault %d", i)
		s.event(testTopics().Faults(), want[i])
	}
	if depth := s.Status().Outbox.Depth; depth != len(want) {
		t.Errorf("%d messages wait, not %d", depth, len(want))
	}
	closed.Store(false)
	live.Wait(testTopics().Faults(), want...)
	for _, m := range live.All() {
		if m.Retained || m.QoS != "1" {
			t.Errorf("a fault came as %+v", m)
		}
	}
	s.until("an empty queue", func(s Status) bool { return s.Queued+s.Outbox.Depth == 0 && s.Dropped+s.Outbox.Dropped == 0 })
}

// The connection ends between PUBLISH and PUBACK: the message comes again.
func TestFaultWithoutAcknowledgement(t *testing.T) {
	broker := mqtttest.StartBroker(t)
	faults := testTopics().Faults()
	var id atomic.Uint32 // of the first PUBLISH of the fault, whose PUBACK is swallowed
	p := startProxy(t, broker.Addr(), func(l *link, packet packets.ControlPacket) bool {
		switch packet := packet.(type) {
		case *packets.PublishPacket:
			if packet.TopicName == faults {
				id.CompareAndSwap(0, uint32(packet.MessageID))
			}
		case *packets.PubackPacket:
			if uint32(packet.MessageID) == id.Load() {
				id.Store(1 << 16) // none has it
				l.cut()
				return false
			}
		}
		return true
	})
	s := start(t, p.configuration())
	s.connected()
	live := broker.Subscribe(faults)
	s.event(faults, "signal 11")
	live.WaitFor(faults, "signal 11")
	s.event(faults, "exit 3")
	live.Wait(faults, "signal 11", "signal 11", "exit 3") // at least once, in order
	s.until("an empty queue", func(s Status) bool { return s.Queued+s.Outbox.Depth == 0 && s.Dropped+s.Outbox.Dropped == 0 })
}

// Connections that end at random: every fault arrives, in order, some more than once.
func TestManyCuts(t *testing.T) {
	broker := mqtttest.StartBroker(t)
	faults := testTopics().Faults()
	var n atomic.Int64
	p := startProxy(t, broker.Addr(), func(l *link, _ packets.ControlPacket) bool {
		if n.Add(1)%211 == 0 {
			l.cut()
			return false
		}
		return true
	})
	// Proven at once, or the waits between so short connections would soon be half a minute.
	s := startOptions(t, Options{Config: p.configuration(), Proven: time.Millisecond})
	live := broker.Subscribe(faults)
	want := make([]string, 300)
	for i := range want {
		want[i] = fmt.Sprintf("%03d", i)
		s.event(faults, want[i])
	}
	live.WaitFor(faults, want[len(want)-1])
	got := live.Payloads(faults)
	if first := firsts(got); !slices.Equal(first, want) {
		t.Errorf("came for the first time %q", first)
	}
	if most := len(want) + window*(p.connections()-1); len(got) > most {
		t.Errorf("%d messages came over %d connections, more than %d", len(got), p.connections(), most)
	}
	if got := s.log.Lines("broken by timeout"); len(got) > 0 {
		t.Errorf("paho kept a message for a connection that was gone: %q", got)
	}
	t.Logf("%d faults came as %d messages over %d connections", len(want), len(got), p.connections())
}

// A broker that stops reading takes nothing from those who publish: the oldest detections go, and are counted.
func TestBrokerThatStopsReading(t *testing.T) {
	broker := mqtttest.StartBroker(t)
	p := startProxy(t, broker.Addr(), nil)
	s := start(t, p.configuration())
	s.connected()
	p.each((*link).hold)
	topic, message := testTopics().Detections("porch"), bytes.Repeat([]byte("x"), 64<<10)
	var longest time.Duration
	calls := 0
	for ; s.Status().Dropped < maxDetections; calls++ {
		began := time.Now()
		s.PublishDetections(topic, message)
		longest = max(longest, time.Since(began))
		if calls > 100_000 {
			t.Fatalf("nothing is dropped: %+v", s.Status())
		}
	}
	t.Logf("of %d calls the longest took %v", calls, longest)
	if limit := writeTimeout / 2; longest > limit { // a write to this broker would take writeTimeout
		t.Errorf("a call took %v", longest)
	}
	// Every message is accounted for, but those that the connection is stuck with. "online" was published, too.
	s.until("the account", func(s Status) bool {
		missing := calls + 1 - int(s.Published) - s.Queued - int(s.Dropped)
		return missing > 0 && missing <= window && s.Queued <= maxDetections
	})
	s.event(testTopics().Faults(), "stuck")
	s.endsWithin(goodbyeTimeout + writeTimeout/2)
}

// A broker that takes a connection, then says nothing, must not keep the service from its end.
func TestEndWhileConnecting(t *testing.T) {
	for _, scheme := range []string{"tcp", "tls", "ws", "wss"} {
		t.Run(scheme, func(t *testing.T) {
			hungUp := make(chan struct{})
			addr, accepted := listener(t, func(conn net.Conn) {
				_, _ = io.Copy(io.Discard, conn)
				close(hungUp)
			})
			s := start(t, configFor(scheme+"://"+addr))
			s.until("a try", func(Status) bool { return accepted.Load() > 0 })
			s.endsWithin(connectTimeout / 2)
			if scheme == "ws" || scheme == "wss" {
				return // paho does not let its handshake be cancelled
			}
			select {
			case <-hungUp:
			case <-time.After(time.Second):
				t.Error("its connection outlives it")
			}
		})
	}
}

func TestSeveralBrokers(t *testing.T) {
	broker := mqtttest.StartBroker(t)
	dead := "tcp://127.0.0.1:" + mqtttest.FreePort(t)
	alive := "tcp://" + broker.Addr()
	s := start(t, configFor(dead, alive))
	if got := s.until("the second broker", func(s Status) bool { return s.Connected }); got.Broker != alive || got.LastError != "" {
		t.Errorf("it is connected as %+v", got)
	}
	if got := s.log.Lines(dead); len(got) != 1 {
		t.Errorf("the first broker takes %d lines: %q", len(got), got)
	}
}

func TestWebSocket(t *testing.T) {
	port := mqtttest.FreePort(t)
	broker := mqtttest.StartBroker(t, "listener "+port+" 127.0.0.1", "protocol websockets")
	s := start(t, configFor("ws://127.0.0.1:"+port+"/mqtt"))
	s.connected()
	topic, message := testTopics().Detections("porch"), strings.Repeat("x", 100_000) // more than one WebSocket buffer
	live := broker.Subscribe("vedette/#")
	s.PublishDetections(topic, []byte(message))
	live.WaitFor(topic, message)
	s.stop()
	live.Wait(testTopics().Status(), "online", "offline")
}

// Each broker's state is said once, not at each try.
func TestSeveralDeadBrokers(t *testing.T) {
	var configured []string
	var tries []*atomic.Int64
	for range 2 {
		addr, n := listener(t, refuse)
		configured, tries = append(configured, "tcp://"+addr), append(tries, n)
	}
	s := start(t, configFor(configured...))
	s.until("two tries of each", func(Status) bool { return tries[0].Load() > 1 && tries[1].Load() > 1 })
	s.stop()
	for _, broker := range configured {
		if got := s.log.Lines(broker); len(got) != 1 {
			t.Errorf("%s takes %d lines: %q", broker, len(got), got)
		}
	}
}
