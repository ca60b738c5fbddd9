package supervisor

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

// still is a jitter that always takes the ceiling, so that a table can state the waits.
func still(n time.Duration) time.Duration { return n }

func TestRestartsSlowDownUntilTheBudgetIsSpent(t *testing.T) {
	m := newMachine(DefaultPolicy())
	m.jitter = still
	steps := []struct {
		worked time.Duration
		wait   time.Duration
		state  State
	}{
		{0, 0, BackingOff},
		{0, 500 * time.Millisecond, BackingOff},
		{0, time.Second, BackingOff},
		{0, 2 * time.Second, BackingOff},
		{0, 5 * time.Minute, Degraded},
		{0, 5 * time.Minute, Degraded},
		{9 * time.Second, 5 * time.Minute, Degraded}, // not long enough to be trusted
		{10 * time.Second, 0, BackingOff},            // a good life refills the budget
		{0, 500 * time.Millisecond, BackingOff},
	}
	for i, step := range steps {
		if got := m.launched(); got != uint64(i+1) {
			t.Fatalf("launch %d has generation %d", i+1, got)
		}
		m.loaded()
		if wait := m.failed(step.worked); wait != step.wait || m.state != step.state {
			t.Fatalf("failure %d after %v of work: wait %v in state %s, want %v in %s",
				i+1, step.worked, wait, m.state, step.wait, step.state)
		}
	}
	if m.restarts != uint64(len(steps)-1) {
		t.Errorf("%d restarts counted in %d launches", m.restarts, len(steps))
	}
}

func TestJitterStaysUnderItsCeiling(t *testing.T) {
	m := newMachine(DefaultPolicy())
	m.policy.Budget = 100
	for i := range 50 {
		m.launched()
		ceiling := m.policy.LongestDelay
		if i < 10 {
			ceiling = min(ceiling, m.policy.FirstDelay<<max(i-1, 0))
		}
		if wait := m.failed(0); wait < 0 || wait > ceiling {
			t.Fatalf("failure %d: wait %v is outside 0 … %v", i+1, wait, ceiling)
		}
	}
}

func TestStatesFollowEvents(t *testing.T) {
	launched := func(m *machine) { m.launched() }
	failed := func(m *machine) { m.failed(0) }
	for _, c := range []struct {
		name   string
		events []func(*machine)
		want   State
	}{
		{"new", nil, Stopped},
		{"launched", []func(*machine){launched}, Starting},
		{"engine build", []func(*machine){launched, (*machine).buildBegun}, Building},
		{"built", []func(*machine){launched, (*machine).buildBegun, (*machine).loaded}, Ready},
		{"late word of a build", []func(*machine){launched, (*machine).loaded, (*machine).buildBegun}, Ready},
		{"asked to stop", []func(*machine){launched, (*machine).loaded, (*machine).stopAsked}, Draining},
		{"loaded while draining", []func(*machine){launched, (*machine).stopAsked, (*machine).loaded}, Draining},
		{"stopped", []func(*machine){launched, (*machine).stopAsked, (*machine).ended}, Stopped},
		{"stopped while backing off", []func(*machine){launched, failed, (*machine).stopAsked}, Stopped},
		{"unreapable stays", []func(*machine){launched, (*machine).killFailed, (*machine).ended}, Unreapable},
		{"unreapable and failed", []func(*machine){launched, (*machine).killFailed, failed}, Unreapable},
	} {
		m := newMachine(DefaultPolicy())
		for _, event := range c.events {
			event(m)
		}
		if m.state != c.want {
			t.Errorf("%s: state %s, want %s", c.name, m.state, c.want)
		}
	}
}

// TestTheDrawingIsTheMachine compares docs/ARCHITECTURE.md with what every event does in every state.
func TestTheDrawingIsTheMachine(t *testing.T) {
	text, err := os.ReadFile("../docs/ARCHITECTURE.md")
	if err != nil {
		t.Fatal(err)
	}
	_, drawing, found := strings.Cut(string(text), "stateDiagram-v2\n")
	drawing, _, closed := strings.Cut(drawing, "```")
	if !found || !closed {
		t.Fatal("docs/ARCHITECTURE.md has no state diagram")
	}
	drawn := map[string]bool{}
	for line := range strings.Lines(drawing) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "[*]") {
			drawn[line] = true
		}
	}
	events := map[string]func(*machine){
		"launched": func(m *machine) { m.launched() }, "buildBegun": (*machine).buildBegun, "loaded": (*machine).loaded,
		"stopAsked": (*machine).stopAsked, "killFailed": (*machine).killFailed, "ended": (*machine).ended,
		"failed":               func(m *machine) { m.failed(0) },
		"failed, budget spent": func(m *machine) { m.failures = m.policy.Budget; m.failed(0) },
	}
	for _, from := range []State{Starting, Building, Ready, Draining, BackingOff, Degraded, Unreapable, Stopped} {
		for name, event := range events {
			m := newMachine(DefaultPolicy())
			m.state = from
			if event(m); m.state == from {
				continue
			}
			edge := fmt.Sprintf("%s --> %s: %s", from, m.state, name)
			if !drawn[edge] {
				t.Errorf("the drawing lacks %q", edge)
			}
			delete(drawn, edge)
		}
	}
	for edge := range drawn {
		t.Errorf("the drawing has %q, which the machine does not do", edge)
	}
}
