package supervisor

import (
	"math/rand/v2"
	"time"
)

// State is what a worker's life is at.
type State string

// A worker's states.
const (
	Starting   State = "starting"
	Building   State = "building" // an engine for the accelerator, for minutes
	Ready      State = "ready"
	Draining   State = "draining"
	BackingOff State = "backing_off"
	Degraded   State = "degraded"   // its budget is spent; tried again now and then
	Unreapable State = "unreapable" // SIGKILL did not end it
	Stopped    State = "stopped"
)

// States lists every state, in a fixed order.
func States() []State {
	return []State{Starting, Building, Ready, Draining, BackingOff, Degraded, Unreapable, Stopped}
}

// Policy says how often a worker is started again.
type Policy struct {
	FirstDelay    time.Duration // before the second start in a row
	LongestDelay  time.Duration
	Budget        int // failures in a row until the worker is given up for DegradedDelay
	DegradedDelay time.Duration
	GoodLife      time.Duration // a life with results for so long refills the budget
}

// DefaultPolicy starts again at once after a first failure, as most are singular, and then ever slower: a board whose
// model crashes every load must not spend its day in loading it.
func DefaultPolicy() Policy {
	return Policy{
		FirstDelay:    500 * time.Millisecond,
		LongestDelay:  30 * time.Second,
		Budget:        5,
		DegradedDelay: 5 * time.Minute,
		GoodLife:      10 * time.Second,
	}
}

// machine is a worker's life as a state machine: its methods are named after what happened, and each says what to do
// next. It knows no process and no clock. It is used by one goroutine.
type machine struct {
	policy     Policy
	state      State
	generation uint64
	restarts   uint64
	failures   int // in a row, without a good life between
	jitter     func(n time.Duration) time.Duration
}

func newMachine(policy Policy) *machine {
	return &machine{policy: policy, state: Stopped, jitter: rand.N[time.Duration]}
}

// launched begins a new generation and gives its number.
func (m *machine) launched() uint64 {
	switch m.state {
	case Stopped, BackingOff, Degraded, Unreapable:
		m.state = Starting
	}
	m.generation++
	if m.generation > 1 {
		m.restarts++
	}
	return m.generation
}

// buildBegun is the worker's word that it builds an engine.
func (m *machine) buildBegun() {
	switch m.state {
	case Starting:
		m.state = Building
	}
}

// loaded is the worker's word that it can work.
func (m *machine) loaded() {
	switch m.state {
	case Starting, Building:
		m.state = Ready
	}
}

// stopAsked is somebody's wish that the worker ends.
func (m *machine) stopAsked() {
	switch m.state {
	case Starting, Building, Ready:
		m.state = Draining
	case BackingOff, Degraded:
		m.state = Stopped
	}
}

// killFailed is a process that SIGKILL did not end in time: it sleeps in the kernel.
func (m *machine) killFailed() {
	switch m.state {
	case Starting, Building, Ready, Draining:
		m.state = Unreapable
	}
}

// failed is the end of a life that nobody asked for, after it gave results for worked. It says how long to wait before
// the next launch.
func (m *machine) failed(worked time.Duration) time.Duration {
	if worked >= m.policy.GoodLife {
		m.failures = 0
	}
	m.failures++
	switch m.state {
	case Starting, Building, Ready:
		if m.failures >= m.policy.Budget {
			m.state = Degraded
			return m.policy.DegradedDelay
		}
		m.state = BackingOff
	case Unreapable:
		// The old process may still hold the accelerator and its memory: a new one beside it is tried rarely.
		return m.policy.DegradedDelay
	}
	if m.failures == 1 {
		return 0
	}
	ceiling := m.policy.FirstDelay
	for doublings := m.failures - 2; doublings > 0 && ceiling < m.policy.LongestDelay; doublings-- {
		ceiling *= 2
	}
	return m.jitter(min(ceiling, m.policy.LongestDelay)) // full jitter: uniform in 0 … ceiling
}

// ended is the end of a life that somebody asked for.
func (m *machine) ended() {
	switch m.state {
	case Draining:
		m.state = Stopped
	}
}
