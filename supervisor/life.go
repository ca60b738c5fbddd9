package supervisor

import (
	"context"
	"errors"
	"log/slog"
	"syscall"
	"time"

	"vedette/supervisor/cgroup"
	"vedette/supervisor/process"
)

// How long a dying worker's parts may lag behind each other.
const (
	lastWordsWithin = time.Second            // from the process's end to the conversation's
	exitWithin      = 500 * time.Millisecond // from the connection's end to the process's: a crash report takes a while
	killWithin      = 2 * time.Second        // from SIGKILL to the end; past it the process sleeps in the kernel
)

// life is one generation that became a process. It is of Run's goroutine.
type life struct {
	*Supervisor
	generation   uint64
	proc         *process.Process
	conversation Conversation
	said         chan error // what the conversation came to
	hangUp       context.CancelFunc
	cgroup       *cgroup.Group // nil: none
	log          *slog.Logger
}

// live is one generation, from launch to grave. It gives the time to wait before the next.
func (s *Supervisor) live(ctx context.Context) time.Duration {
	s.opts.Progress()
	generation := s.machine.launched()
	s.publish(0, nil)
	l, err := s.launch(generation)
	if err != nil {
		return s.stillborn(generation, err)
	}
	return l.lead(ctx)
}

// launch starts a process, in a cgroup where there can be one.
func (s *Supervisor) launch(generation uint64) (*life, error) {
	spec, conversation, err := s.opts.Launch(generation)
	if err != nil {
		return nil, err
	}
	defer func() {
		for _, file := range spec.Files {
			_ = file.Close()
		}
	}()
	l := &life{
		Supervisor: s, generation: generation, conversation: conversation, log: s.opts.Logger,
		said: make(chan error, 1), // one Serve, one result
	}
	if err = l.enclose(); err == nil {
		if l.cgroup != nil {
			spec.Group = l.cgroup
		}
		l.proc, err = process.Start(spec)
	}
	if err != nil {
		ended, end := context.WithCancel(context.Background())
		end()
		_ = conversation.Serve(ended, func() {}, func() {}) // frees what the conversation holds
		l.clear()
		return nil, err
	}
	l.log = s.opts.Logger.With("worker", s.opts.Name, "generation", generation, "pid", l.proc.PID())
	l.log.Info("worker started", "entered_cgroup_by", string(l.proc.Entry()))
	s.publish(l.proc.PID(), nil)
	return l, nil
}

// enclose makes the generation's cgroup.
func (l *life) enclose() error {
	if l.opts.Tree == nil {
		return nil
	}
	group, err := l.opts.Tree.New(l.opts.Name, l.generation)
	if err != nil {
		return err
	}
	l.hold(group)
	return l.limit(false)
}

// hold lets Usage see the group; nil: no more.
func (l *life) hold(group *cgroup.Group) {
	l.cgroup = group
	l.mu.Lock()
	defer l.mu.Unlock()
	l.group = group
}

func (l *life) limit(building bool) error {
	if l.cgroup == nil || l.opts.Limits == nil {
		return nil
	}
	return l.cgroup.Apply(l.opts.Limits(building))
}

// clear removes the cgroup with whatever is left in it. One that cannot be emptied is tried again with the next.
func (l *life) clear() {
	group := l.cgroup
	if group == nil {
		return
	}
	l.hold(nil)
	if err := group.Kill(); err != nil {
		l.log.Warn("the worker's cgroup cannot be ended", "error", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), killWithin)
	defer cancel()
	if err := group.Remove(ctx); err != nil {
		l.log.Warn("the worker's cgroup is left for later", "error", err)
	}
}

// lead follows the worker to its end.
func (l *life) lead(ctx context.Context) time.Duration {
	talkCtx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	l.hangUp = cancel
	events := make(chan func(), 2) // building and ready come at most once each, so that a sender never waits
	go func() {
		l.said <- l.conversation.Serve(talkCtx,
			func() { events <- l.machine.buildBegun },
			func() { events <- l.machine.loaded })
	}()

	progress := time.NewTicker(progressEvery)
	defer progress.Stop()
	for {
		select {
		case <-progress.C:
			l.opts.Progress()
		case event := <-events:
			event()
			l.advanced()
		case reason := <-l.kick:
			return l.retire(reason)
		case <-ctx.Done():
			return l.retire(whyDone(ctx))
		case err := <-l.said:
			return l.bury(err)
		case <-l.proc.Done():
			// What it had sent before its end is still in the socket: the conversation reads it, then the end.
			return l.bury(l.lastWords())
		}
	}
}

// whyDone says why a worker is no longer wanted: a cause, where one was given.
func whyDone(ctx context.Context) string {
	if cause := context.Cause(ctx); !errors.Is(cause, ctx.Err()) {
		return cause.Error()
	}
	return "service stops"
}

// advanced takes a step towards readiness.
func (l *life) advanced() {
	if err := l.limit(l.machine.state == Building); err != nil {
		l.log.Warn("the worker's limits cannot be changed", "error", err)
	}
	if l.machine.state == Ready {
		if err := l.proc.NoteModules(); err != nil {
			l.log.Debug("a crash in native code would be told without its library", "error", err)
		}
	}
	l.publish(l.proc.PID(), nil)
}

func (l *life) lastWords() error {
	timer := time.AfterFunc(lastWordsWithin, l.hangUp)
	defer timer.Stop()
	return <-l.said
}

// bury ends what is left of a worker that failed, and takes its history.
func (l *life) bury(err error) time.Duration {
	var failure *Failure
	if !errors.As(err, &failure) && err != nil {
		failure = &Failure{Kind: KindProtocol, Message: err.Error()}
	}
	// A hung process will not end by itself: no time is lost on it.
	forced := failure != nil && failure.Kind == KindHang || !l.waitFor(exitWithin)
	exit := process.Exit{Code: -1}
	if !forced || l.kill() {
		exit = l.proc.Exit()
	}
	fault := newFault(l.opts.Name, l.generation, failure, exit, forced)
	if l.cgroup != nil {
		if usage, err := l.cgroup.Usage(); err == nil {
			fault.blame(usage)
		} else {
			l.log.Warn("what the worker has used is not known", "error", err)
		}
	}
	l.clear()
	return l.fail(fault, l.conversation.Worked())
}

// retire ends a worker in good order: a message, then SIGTERM, then SIGKILL, under one deadline.
func (l *life) retire(reason string) time.Duration {
	l.machine.stopAsked()
	l.publish(l.proc.PID(), nil)
	l.log.Info("worker is asked to end", "reason", reason)
	third := l.opts.StopWithin / 3
	if err := l.conversation.Shutdown(reason); err != nil {
		l.log.Warn("worker cannot be asked to end", "error", err)
	} else if l.waitFor(third) {
		l.log.Info("worker ended", "exit", l.proc.Exit().String())
	}
	if !l.waitFor(0) {
		l.log.Warn("worker did not heed the shutdown message: SIGTERM is sent", "waited", third)
		if err := l.proc.Signal(syscall.SIGTERM); err != nil {
			l.log.Warn("worker cannot be signalled", "error", err)
		}
		if !l.waitFor(third) {
			l.log.Warn("worker did not heed SIGTERM either: SIGKILL is sent", "waited", third)
			l.kill()
		}
	}
	l.hangUp()
	if err := <-l.said; err != nil {
		l.log.Warn("worker failed while it was ending", "error", err)
	}
	l.clear()
	l.machine.ended()
	l.publish(0, nil)
	return 0
}

// kill tells whether SIGKILL ended the process in time.
func (l *life) kill() bool {
	if err := l.proc.Signal(syscall.SIGKILL); err != nil {
		l.log.Error("worker cannot be killed", "error", err)
	}
	if l.waitFor(killWithin) {
		return true
	}
	l.log.Error("worker does not end after SIGKILL: it sleeps in the kernel, in a driver or on a file system",
		"waited", killWithin)
	l.machine.killFailed()
	return false
}

// waitFor tells whether the process has ended within d.
func (l *life) waitFor(d time.Duration) bool {
	select {
	case <-l.proc.Done(): // asked first: with d = 0 the timer could win
		return true
	default:
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-l.proc.Done():
		return true
	case <-timer.C:
		return false
	}
}
