package mqtt

import (
	"strings"
	"testing"
	"time"

	"vedette/mqtt/mqtttest"
)

// Two devices with one name: each takes the connection from the other, ever more slowly, and both say why.
func TestTwoClientsWithOneID(t *testing.T) {
	broker := mqtttest.StartBroker(t)
	one, other := start(t, configFor("tcp://"+broker.Addr())), start(t, configFor("tcp://"+broker.Addr()))
	s := one.until("a dispute", func(s Status) bool { return s.Disputed > 0 })
	if s.HangUps < disputeAfter || s.Disputed > int(s.HangUps) {
		t.Errorf("after %d hang-ups %d are a dispute", s.HangUps, s.Disputed)
	}
	other.until("a dispute", func(s Status) bool { return s.Disputed > 0 })
	one.stop()
	lines := one.log.Lines("client_id")
	if len(lines) != 1 || !strings.Contains(lines[0], "vedette-bench") || !strings.Contains(lines[0], "name of its own") {
		t.Errorf("the log says %q", lines)
	}
	other.until("peace", func(s Status) bool { return s.Connected })
}

// One hang-up, such as a broker's restart, is no dispute.
func TestOneHangUpIsNoDispute(t *testing.T) {
	broker := mqtttest.StartBroker(t)
	p := startProxy(t, broker.Addr(), nil)
	s := start(t, p.configuration())
	s.connected()
	p.each((*link).cut)
	s.until("the loss", func(s Status) bool { return s.HangUps == 1 })
	s.connected()
	if got := s.Status().Disputed; got != 0 {
		t.Errorf("%d hang-ups are a dispute", got)
	}
}

func TestALongConnectionEndsADispute(t *testing.T) {
	broker := mqtttest.StartBroker(t)
	s := startOptions(t, Options{Config: configFor("tcp://" + broker.Addr()), Proven: time.Millisecond})
	s.change(func(s *Status) { s.Disputed = disputeAfter })
	s.until("the end of the dispute", func(s Status) bool { return s.Disputed == 0 })
}
