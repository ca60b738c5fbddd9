package capture

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"sync"
	"time"
)

// Sink takes a camera's frames. Its methods are called by the Loop's goroutine, one at a time, and must not block:
// while one does, no frame is read.
type Sink interface {
	// Opened says that a stream begins; its format may differ from the last one's. An error ends the stream, and
	// Closed is not called for it.
	Opened(f Format) error
	// Frame is called for each frame, which is the Loop's again when Frame returns.
	Frame(f *Frame)
	// Closed says that the stream has ended, and why; nil where the Loop was stopped or the source has no more.
	Closed(err error)
}

// How a Loop opens its source again.
const (
	leastBackoff = 500 * time.Millisecond
	mostBackoff  = 30 * time.Second // a camera that is plugged in again should not have to wait longer
	proven       = 10 * time.Second // frames for so long make a camera's earlier failures forgotten
)

// What bounds a Loop's steps, so that a watchdog can tell waiting from being stuck.
const (
	waitStep     = time.Second      // the longest wait for a frame, or between two tries, in one step
	plugStep     = waitStep / 4     // how soon it is noticed that a device has come
	openDeadline = 30 * time.Second // for Source.Open: a network camera may take long to answer
	stepGrace    = 5 * time.Second  // what a step may take beyond its own wait, on a board that is busy
)

// Status is what a Loop is doing.
type Status struct {
	State      State
	Format     Format        // of the stream that is open, or of the last one
	FPS        float64       // frames read per second, over the last few seconds
	Frames     uint64        // frames read, over all streams
	LastFrame  time.Duration // when the last frame was captured, on CLOCK_MONOTONIC; 0 before the first
	Opens      uint64        // how often the source was opened with success
	Drops      map[DropCause]uint64
	Failures   map[FailureCause]uint64 // how often a stream ended or could not be opened
	LastError  string                  // why that was so the last time; empty while all is well
	Compromise string                  // how the open stream differs from what was asked for, for want of something
	Iterations uint64                  // steps taken: grows at least each second, except while the source is being opened
	// Due is when the next step must have been taken: a Loop that is behind it is stuck, whatever the camera does.
	// Zero while the Loop does not run.
	Due time.Time
}

// Loop keeps one source open: it opens it, reads its frames, and opens it again when its stream has ended.
type Loop struct {
	name   string
	source Source
	sink   Sink
	log    *slog.Logger
	jitter func(most time.Duration) time.Duration // a backoff between 0 and most

	mu     sync.Mutex // guards what follows; never held while anything blocks
	status Status
	meter  meter
	ended  map[DropCause]uint64 // drops of the streams that have ended
}

// NewLoop makes the loop of the camera called name. Nothing happens before Run.
func NewLoop(name string, source Source, sink Sink, logger *slog.Logger) *Loop {
	return &Loop{
		name:   name,
		source: source,
		sink:   sink,
		log:    logger.With("camera", name),
		jitter: func(most time.Duration) time.Duration { return rand.N(most) + 1 },
		status: Status{State: Disabled, Drops: map[DropCause]uint64{}, Failures: map[FailureCause]uint64{}},
		ended:  map[DropCause]uint64{},
	}
}

// Status may be called from any goroutine. Drops inside the source are up to a second old.
func (l *Loop) Status() Status {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.status
	s.Drops, s.Failures = maps.Clone(s.Drops), maps.Clone(s.Failures)
	s.FPS = l.meter.rate(time.Now())
	return s
}

// Run reads frames until ctx ends or until a finite source has ended, and gives nil then. Everything it opened is
// closed when it returns. It runs once at a time.
func (l *Loop) Run(ctx context.Context) error {
	l.step(0, func(s *Status) { s.State = Opening })
	defer l.change(func(s *Status) { s.State, s.Due = Disabled, time.Time{} })

	backoff, reported := leastBackoff, ""
	for {
		life, err := l.live(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if life.finished {
			l.log.Info("source has ended", "source", l.source.String(), "frames", life.frames)
			return nil
		}
		if life.lasted >= proven {
			backoff = leastBackoff
		}
		wait := l.jitter(backoff)
		backoff = min(2*backoff, mostBackoff)

		// The same failure again and again is one line; what led to a stream's end is always said.
		level := slog.LevelWarn
		if life.frames == 0 && err.Error() == reported {
			level = slog.LevelDebug
		}
		reported = err.Error()
		l.log.Log(ctx, level, "camera lost", "source", l.source.String(), "error", err,
			"next_try", wait.Round(time.Millisecond))

		state := Lost
		if errors.Is(err, ErrStalled) {
			state = Stalled
		}
		l.change(func(s *Status) {
			s.State, s.LastError, s.Compromise = state, reported, ""
			s.Failures[CauseOf(err)]++
		})
		if l.pause(ctx, wait) {
			backoff = leastBackoff
		}
		if ctx.Err() != nil {
			return nil
		}
	}
}

// life is one stream, from its opening to its end.
type life struct {
	frames   uint64
	lasted   time.Duration // from the first frame to the last
	finished bool          // the source says that it has no more frames
}

// live opens the source and reads it until it fails; the error is nil only where ctx has ended or the source has.
func (l *Loop) live(ctx context.Context) (life, error) {
	stream, err := l.open(ctx)
	if err != nil {
		return life{}, err
	}
	r := reader{loop: l, stream: stream}
	opened := false
	format := stream.Format()
	if err = format.Validate(); err != nil {
		err = fmt.Errorf("cannot use %s: %w", l.source, err)
	} else if err = l.sink.Opened(format); err == nil {
		opened = true
		compromise := ""
		if c, ok := stream.(Compromised); ok {
			compromise = c.Compromise()
		}
		l.change(func(s *Status) { s.Format, s.Compromise = format, compromise })
		if compromise != "" {
			l.log.Warn("camera gives less than was asked for", "source", l.source.String(), "why", compromise)
		}
		err = r.read(ctx)
	}
	r.accountDrops()
	l.endDrops()
	if closeErr := stream.Close(); closeErr != nil {
		l.log.Warn("cannot close the camera", "source", l.source.String(), "error", closeErr)
	}
	if opened {
		l.sink.Closed(err)
	}
	return r.life, err
}

func (l *Loop) open(ctx context.Context) (Stream, error) {
	l.step(openDeadline, nil)
	ctx, cancel := context.WithTimeout(ctx, openDeadline)
	defer cancel()
	stream, err := l.source.Open(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		return nil, fmt.Errorf("%w: cannot open %s within %v", ErrStalled, l.source, openDeadline)
	}
	if err != nil {
		return nil, err
	}
	l.step(0, func(s *Status) { s.Opens++ })
	return stream, nil
}

// pause waits in steps, until it is time, ctx ends or a device has come, which it tells.
func (l *Loop) pause(ctx context.Context, wait time.Duration) (plugged bool) {
	source, comesAndGoes := l.source.(Plugged)
	longest := waitStep
	if comesAndGoes {
		longest = plugStep
	}
	for wait > 0 {
		step := min(wait, longest)
		l.step(step, nil)
		timer := time.NewTimer(step)
		select {
		case <-ctx.Done():
			timer.Stop()
			return false
		case <-timer.C:
		}
		wait -= step
		if comesAndGoes && source.Changed() {
			return true
		}
	}
	return false
}

// step counts an iteration that may take as long as atMost.
func (l *Loop) step(atMost time.Duration, also func(*Status)) {
	l.change(func(s *Status) {
		s.Iterations++
		s.Due = time.Now().Add(atMost + stepGrace)
		if also != nil {
			also(s)
		}
	})
}

func (l *Loop) change(f func(*Status)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f(&l.status)
}

// endDrops makes the open stream's drops part of the total for good.
func (l *Loop) endDrops() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ended = maps.Clone(l.status.Drops)
}
