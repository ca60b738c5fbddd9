// Package supervisor keeps a worker process alive through every death that it can die.
package supervisor

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"vedette/supervisor/cgroup"
	"vedette/supervisor/process"
)

// Conversation is the talk with one worker process, whatever it is about.
type Conversation interface {
	// Serve talks until the worker says goodbye, fails (a *Failure), or ctx ends. It calls building when the
	// worker says that it builds an engine, and ready once when the worker can work.
	Serve(ctx context.Context, building, ready func()) error
	// Shutdown asks the worker to end. It does not wait for that.
	Shutdown(reason string) error
	// Worked is how long the worker has been giving results.
	Worked() time.Duration
}

// Launch prepares one generation: what to start and how to talk to it. Files of the Spec are closed once the process
// has been started.
type Launch func(generation uint64) (process.Spec, Conversation, error)

// Options are what a Supervisor is made of.
type Options struct {
	Name   string // of the worker, in logs and faults
	Launch Launch
	Policy Policy
	// Tree gives each generation a cgroup of its own; nil: none can be had.
	Tree *cgroup.Tree
	// Limits bound a generation that is in a cgroup; building is while it builds an engine. Nil: nothing is bounded.
	Limits func(building bool) cgroup.Limits
	// StopWithin is what the shutdown message, SIGTERM and SIGKILL share.
	StopWithin time.Duration
	// Fault is told each failure, after it was logged. It must not block.
	Fault func(Fault)
	// Changed is told each new Status. It must not block.
	Changed func(Status)
	// Progress is called as Run goes round: each second, whatever the worker does, and at the latest when the bounded
	// waits of a worker's launch or end are over. It must not block. Nil: nobody looks.
	Progress func()
	Logger   *slog.Logger
}

// progressEvery is how often Run shows that it goes round while nothing happens.
const progressEvery = time.Second

// Status is what a supervisor knows of its worker.
type Status struct {
	State      State
	Generation uint64
	Restarts   uint64
	PID        int // 0 while there is no process
	LastFault  *Fault
}

// Supervisor keeps one worker alive.
type Supervisor struct {
	opts    Options
	machine *machine // of Run's goroutine

	mu     sync.Mutex // guards status and group only; never held while something is waited for
	status Status
	group  *cgroup.Group // of the present generation
	kick   chan string   // a wish to restart, with its reason; one is enough
}

// New makes a supervisor; Run starts its worker.
func New(opts Options) *Supervisor {
	if opts.Progress == nil {
		opts.Progress = func() {}
	}
	return &Supervisor{
		opts: opts, machine: newMachine(opts.Policy),
		status: Status{State: Stopped}, kick: make(chan string, 1),
	}
}

// Status is safe to call from any goroutine.
func (s *Supervisor) Status() Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.status
}

// Usage is what the present worker's cgroup has used; false where it has none.
func (s *Supervisor) Usage() (cgroup.Usage, bool) {
	s.mu.Lock()
	group := s.group
	s.mu.Unlock()
	if group == nil {
		return cgroup.Usage{}, false
	}
	usage, err := group.Usage()
	return usage, err == nil // it may have been removed meanwhile
}

// Restart asks for a new worker in place of the present one, which is stopped in good order. It does not wait.
func (s *Supervisor) Restart(reason string) {
	select {
	case s.kick <- reason:
	default: // a restart is asked for already
	}
}

// Run keeps a worker alive until ctx ends. It returns when the worker is gone.
func (s *Supervisor) Run(ctx context.Context) error {
	for ctx.Err() == nil {
		wait := s.live(ctx)
		if wait > 0 {
			s.opts.Logger.Warn("worker is started again later", "worker", s.opts.Name,
				"state", s.machine.state, "wait", wait.Round(time.Millisecond))
			s.sleep(ctx, wait)
		}
	}
	s.machine.stopAsked()
	s.machine.ended()
	s.publish(0, nil)
	if s.machine.state == Unreapable {
		return fmt.Errorf("worker %s could not be ended: it sleeps in the kernel", s.opts.Name)
	}
	return nil
}

func (s *Supervisor) sleep(ctx context.Context, wait time.Duration) {
	timer, progress := time.NewTimer(wait), time.NewTicker(progressEvery)
	defer timer.Stop()
	defer progress.Stop()
	for {
		select {
		case <-progress.C:
			s.opts.Progress()
		case <-timer.C:
			return
		case <-ctx.Done():
			return
		case <-s.kick:
			return
		}
	}
}

// stillborn is a generation that never became a process.
func (s *Supervisor) stillborn(generation uint64, err error) time.Duration {
	fault := newFault(s.opts.Name, generation, &Failure{Kind: KindLoad, Message: err.Error()}, process.Exit{Code: -1}, true)
	return s.fail(fault, 0)
}

func (s *Supervisor) fail(fault Fault, worked time.Duration) time.Duration {
	s.opts.Logger.Error("worker failed", "worker", fault.Process, "generation", fault.Generation,
		"kind", fault.Kind, "message", fault.Message, "uptime", fault.Uptime.Round(time.Millisecond))
	wait := s.machine.failed(worked)
	s.publish(0, &fault)
	if s.opts.Fault != nil {
		s.opts.Fault(fault)
	}
	return wait
}

func (s *Supervisor) publish(pid int, fault *Fault) {
	s.mu.Lock()
	s.status.State, s.status.Generation, s.status.Restarts = s.machine.state, s.machine.generation, s.machine.restarts
	s.status.PID = pid
	if fault != nil {
		s.status.LastFault = fault
	}
	status := s.status
	s.mu.Unlock()
	if s.opts.Changed != nil {
		s.opts.Changed(status)
	}
}
