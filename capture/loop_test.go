package capture_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"vedette/capture"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// script is a source whose lives are written down: each Open takes the next one, the last one for ever.
type script struct {
	t     *testing.T
	lives []scriptLife

	opens    []time.Time
	open     int // streams that are open
	released int
	given    int
}

// scriptLife is one Open: it fails, or gives frames every interval and then ends.
type scriptLife struct {
	openErr  error
	hangs    bool // while it is opened
	frames   int
	interval time.Duration
	end      error // after the frames; nil: silence, which ends only with the context
	skip     map[int]uint32
	dropped  func(given int) map[capture.DropCause]uint64
	format   capture.Format
	closeErr error
}

func (s *script) String() string { return "script" }

func (s *script) Open(ctx context.Context) (capture.Stream, error) {
	life := s.lives[min(len(s.opens), len(s.lives)-1)]
	s.opens = append(s.opens, time.Now())
	if life.hangs {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	if life.openErr != nil {
		return nil, life.openErr
	}
	s.open++
	return &scriptStream{script: s, life: life, sequence: math.MaxUint32 - 1}, nil
}

type scriptStream struct {
	*script
	life     scriptLife
	given    int
	sequence uint32
	out      bool
	next     time.Time
	closed   bool
}

func (s *scriptStream) Format() capture.Format {
	if s.life.format != (capture.Format{}) {
		return s.life.format
	}
	return capture.Format{Pixel: capture.Grey, Width: 4, Height: 2}.Packed()
}

func (s *scriptStream) Next(ctx context.Context) (*capture.Frame, error) {
	if s.out {
		s.t.Error("Next was called while a frame was out")
	}
	if s.given == s.life.frames {
		if s.life.end != nil {
			return nil, s.life.end
		}
		<-ctx.Done()
		return nil, ctx.Err()
	}
	if s.next.IsZero() {
		s.next = time.Now().Add(s.life.interval)
	}
	timer := time.NewTimer(time.Until(s.next))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-timer.C:
	}
	s.next = s.next.Add(s.life.interval)
	s.sequence += 1 + s.life.skip[s.given]
	s.given++
	s.script.given++
	s.out = true
	return capture.NewFrame(make([]byte, 8), s.sequence, time.Duration(s.given), time.Now(), func() {
		s.out = false
		s.released++
	}), nil
}

func (s *scriptStream) Dropped() map[capture.DropCause]uint64 {
	if s.life.dropped == nil {
		return nil
	}
	return s.life.dropped(s.given)
}

func (s *scriptStream) Close() error {
	if s.closed || s.out {
		s.t.Errorf("Close: already closed %t, frame out %t", s.closed, s.out)
	}
	s.closed = true
	s.open--
	return s.life.closeErr
}

// plugged is a script whose device comes after a while.
type plugged struct {
	*script
	comes time.Time
	seen  bool
}

func (p *plugged) Open(ctx context.Context) (capture.Stream, error) {
	if time.Now().Before(p.comes) {
		p.opens = append(p.opens, time.Now())
		return nil, capture.ErrLost
	}
	return p.script.Open(ctx)
}

func (p *plugged) Changed() bool {
	if p.seen || time.Now().Before(p.comes) {
		return false
	}
	p.seen = true
	return true
}

// notes is a sink that writes down what it is told.
type notes struct {
	openedErr error
	calls     []string
	frames    int
}

func (n *notes) Opened(f capture.Format) error {
	n.calls = append(n.calls, "opened "+f.Pixel.String())
	return n.openedErr
}

func (n *notes) Frame(f *capture.Frame) {
	if len(f.Data) != 8 {
		panic("frame without its data")
	}
	n.frames++
}

func (n *notes) Closed(err error) { n.calls = append(n.calls, fmt.Sprint("closed ", err)) }

// start runs a loop over the lives for a while of the bubble's time, and checks that nothing is left.
func start(t *testing.T, during time.Duration, sink *notes, lives ...scriptLife) (*script, capture.Status, string) {
	t.Helper()
	source := &script{t: t, lives: lives}
	var log bytes.Buffer
	loop := capture.NewLoop("yard", source, sink, slog.New(slog.NewTextHandler(&log, nil)))
	if s := loop.Status(); s.State != capture.Disabled {
		t.Errorf("state before Run is %s", s.State)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- loop.Run(ctx) }()
	time.Sleep(during)
	synctest.Wait()
	status := loop.Status()
	cancel()
	if err := <-done; err != nil {
		t.Errorf("Run: %v", err)
	}
	if source.open != 0 || source.given != source.released {
		t.Errorf("%d streams left open, %d frames given and %d released", source.open, source.given, source.released)
	}
	if s := loop.Status(); s.State != capture.Disabled || !s.Due.IsZero() {
		t.Errorf("after Run: state %s, due %v", s.State, s.Due)
	}
	return source, status, log.String()
}

func TestLoopStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sink := &notes{}
		_, s, log := start(t, 10*time.Second, sink, scriptLife{frames: 1000, interval: 40 * time.Millisecond})
		if s.State != capture.Streaming || s.Frames != 250 || sink.frames != 250 || s.Opens != 1 || s.LastError != "" {
			t.Errorf("status %+v, sink has %d frames", s, sink.frames)
		}
		if s.FPS < 24 || s.FPS > 26 {
			t.Errorf("%g frames a second, not 25", s.FPS)
		}
		if s.LastFrame != 250 || s.Format.Width != 4 || len(s.Drops) != 0 {
			t.Errorf("status %+v", s)
		}
		if want := []string{"opened grey", "closed <nil>"}; !slices.Equal(sink.calls, want) {
			t.Errorf("sink saw %q", sink.calls)
		}
		if n := strings.Count(log, "\n"); n != 1 || !strings.Contains(log, "camera streams") ||
			!strings.Contains(log, "camera=yard") || !strings.Contains(log, "size=4x2") {
			t.Errorf("%d log lines:\n%s", n, log)
		}
	})
}

func TestLoopFiniteSourceEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sink := &notes{}
		source, s, _ := start(t, time.Minute, sink, scriptLife{frames: 3, interval: time.Second, end: io.EOF})
		if len(source.opens) != 1 || s.State != capture.Disabled || s.Frames != 3 || s.LastError != "" {
			t.Errorf("%d opens, status %+v", len(source.opens), s)
		}
		if want := []string{"opened grey", "closed <nil>"}; !slices.Equal(sink.calls, want) {
			t.Errorf("sink saw %q", sink.calls)
		}
	})
}

// A source that cannot be opened because some stream ended early is not one that has ended.
func TestLoopEndOfFileWhileOpeningIsAFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source, s, _ := start(t, time.Minute, &notes{}, scriptLife{openErr: fmt.Errorf("cannot read header: %w", io.EOF)})
		if len(source.opens) < 3 || s.State != capture.Lost {
			t.Errorf("%d opens, status %+v", len(source.opens), s)
		}
	})
}

func TestLoopBoundsOpening(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, s, log := start(t, 31*time.Second, &notes{}, scriptLife{hangs: true})
		if s.LastError != "no frame came in time: cannot open script within 30s" || !strings.Contains(log, s.LastError) {
			t.Errorf("status %+v, log:\n%s", s, log)
		}
	})
}

func TestLoopStates(t *testing.T) {
	for _, c := range []struct {
		life scriptLife
		want capture.State
	}{
		{scriptLife{}, capture.Opening},
		{scriptLife{frames: 1, interval: time.Millisecond}, capture.Streaming},
		{scriptLife{frames: 1, interval: time.Millisecond, end: capture.ErrLost}, capture.Lost},
		{scriptLife{frames: 1, interval: time.Millisecond, end: fmt.Errorf("x: %w", capture.ErrStalled)}, capture.Stalled},
		{scriptLife{openErr: capture.ErrStalled}, capture.Stalled},
		{scriptLife{openErr: errors.New("busy")}, capture.Lost},
		{scriptLife{format: capture.Format{Pixel: capture.Grey}}, capture.Lost},
	} {
		synctest.Test(t, func(t *testing.T) {
			// The second life is silent and follows at the earliest 1 ns later: only its frames could change the state.
			_, s, _ := start(t, 20*time.Second, &notes{}, c.life, scriptLife{})
			if s.State != c.want {
				t.Errorf("%+v: state %s, not %s", c.life, s.State, c.want)
			}
			if failed := c.want == capture.Lost || c.want == capture.Stalled; failed != (s.LastError != "") {
				t.Errorf("%+v: last error %q", c.life, s.LastError)
			}
		})
	}
}

func TestLoopBackoff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source, _, log := start(t, time.Hour, &notes{}, scriptLife{openErr: errors.New("no such camera")})
		var spread bool
		most := 500 * time.Millisecond
		for i := 1; i < len(source.opens); i++ {
			wait := source.opens[i].Sub(source.opens[i-1])
			if wait <= 0 || wait > most {
				t.Errorf("try %d came after %v, not within %v", i, wait, most)
			}
			spread = spread || wait < most/2
			most = min(2*most, 30*time.Second)
		}
		// Full jitter waits 15 s on average once the limit is reached: 240 tries an hour, with a deviation of 9.
		if n := len(source.opens); n < 180 || n > 300 || !spread {
			t.Errorf("%d tries in an hour, jitter seen: %t", n, spread)
		}
		if strings.Count(log, "\n") != 1 || !strings.Contains(log, "no such camera") || !strings.Contains(log, "next_try=") {
			t.Errorf("the same failure again and again was logged as:\n%s", log)
		}
	})
}

func TestLoopBackoffIsForgottenAfterGoodLife(t *testing.T) {
	for _, c := range []struct {
		frames int // one a second
		forgot bool
	}{{5, false}, {12, true}} {
		synctest.Test(t, func(t *testing.T) {
			lives := slices.Repeat([]scriptLife{{openErr: errors.New("x")}}, 10)
			good := scriptLife{frames: c.frames, interval: time.Second, end: capture.ErrLost}
			var longest time.Duration
			for range 20 { // a long wait could by chance be short: 20 times in a row it is not
				source, _, _ := start(t, 6*time.Minute, &notes{}, append(slices.Clone(lives), good, scriptLife{})...)
				if len(source.opens) != 12 {
					t.Fatalf("%d opens", len(source.opens))
				}
				longest = max(longest, source.opens[11].Sub(source.opens[10])-time.Duration(c.frames)*time.Second)
			}
			if (longest <= 500*time.Millisecond) != c.forgot {
				t.Errorf("after %d s of frames the next try came within %v", c.frames, longest)
			}
		})
	}
}

func TestLoopOpensWhatIsPluggedIn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := &plugged{
			script: &script{t: t, lives: []scriptLife{{frames: 1000, interval: time.Second}}}, comes: time.Now().Add(10 * time.Minute),
		}
		loop := capture.NewLoop("yard", source, &notes{}, slog.New(slog.DiscardHandler))
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		done := make(chan error)
		go func() { done <- loop.Run(ctx) }()
		time.Sleep(10*time.Minute - time.Nanosecond)
		synctest.Wait()
		before := len(source.opens)
		if s := loop.Status(); s.Failures[capture.FailLost] != uint64(before) || s.State != capture.Lost {
			t.Errorf("%d opens, failures %v, %s", before, s.Failures, s.State)
		}
		time.Sleep(2500 * time.Millisecond)
		synctest.Wait()
		if s := loop.Status(); s.State != capture.Streaming || s.Frames == 0 {
			t.Errorf("2.5 s after its return the camera is %s with %d frames; opened at %v", s.State, s.Frames, source.opens[before:])
		}
		cancel()
		<-done
	})
}

func TestLoopCountsDrops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first := scriptLife{
			frames: 10, interval: 10 * time.Millisecond, end: capture.ErrLost,
			// Numbers wrap at the third frame. Five are missing before the eighth, two of which the source has dropped.
			skip: map[int]uint32{7: 5},
			dropped: func(given int) map[capture.DropCause]uint64 {
				if given < 8 {
					return map[capture.DropCause]uint64{}
				}
				return map[capture.DropCause]uint64{capture.DropSuperseded: 1, capture.DropBadBuffer: 1}
			},
		}
		second := scriptLife{
			frames: 4, interval: 10 * time.Millisecond,
			skip: map[int]uint32{1: 1, 2: math.MaxUint32 - 10}, // the second is a count that has gone back
			dropped: func(int) map[capture.DropCause]uint64 {
				return map[capture.DropCause]uint64{capture.DropBadBuffer: 0}
			},
		}
		_, s, _ := start(t, 20*time.Second, &notes{}, first, second)
		want := map[capture.DropCause]uint64{
			capture.DropDriver: 3 + 1, capture.DropSuperseded: 1, capture.DropBadBuffer: 1,
		}
		for _, cause := range capture.DropCauses() {
			if s.Drops[cause] != want[cause] {
				t.Errorf("%d dropped by %s, not %d", s.Drops[cause], cause, want[cause])
			}
		}
	})
}

// A watchdog sees the loop go on whether or not frames come.
func TestLoopIterates(t *testing.T) {
	for name, life := range map[string]scriptLife{
		"silent":  {},
		"missing": {openErr: capture.ErrLost},
		"slow":    {frames: 100, interval: 7 * time.Second},
	} {
		synctest.Test(t, func(t *testing.T) {
			source := &script{t: t, lives: []scriptLife{life}}
			loop := capture.NewLoop("yard", source, &notes{}, slog.New(slog.DiscardHandler))
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error)
			go func() { done <- loop.Run(ctx) }()
			var before uint64
			for range 60 {
				time.Sleep(1001 * time.Millisecond)
				synctest.Wait()
				s := loop.Status()
				if s.Iterations == before || time.Now().After(s.Due) {
					t.Errorf("%s: %d iterations, as a second before; due %v", name, s.Iterations, time.Until(s.Due))
				}
				before = s.Iterations
			}
			cancel()
			<-done
		})
	}
}

func TestLoopIsOverdueWhileTheSinkBlocks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		unblock := make(chan struct{})
		sink := &blockingSink{unblock: unblock}
		source := &script{t: t, lives: []scriptLife{{frames: 1, interval: time.Second}}}
		loop := capture.NewLoop("yard", source, sink, slog.New(slog.DiscardHandler))
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- loop.Run(ctx) }()
		time.Sleep(20 * time.Second)
		if s := loop.Status(); time.Now().Before(s.Due) {
			t.Errorf("stuck for 19 s, due only in %v", time.Until(s.Due))
		}
		close(unblock)
		cancel()
		<-done
	})
}

type blockingSink struct {
	notes
	unblock chan struct{}
}

func (b *blockingSink) Frame(*capture.Frame) { <-b.unblock }

func TestLoopSinkRefusesFormat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sink := &notes{openedErr: errors.New("no memory for the ring")}
		source, s, log := start(t, time.Minute, sink, scriptLife{frames: 1, interval: time.Second})
		if len(source.opens) < 3 || s.Frames != 0 || s.LastError != "no memory for the ring" || s.State != capture.Lost {
			t.Errorf("%d opens, status %+v", len(source.opens), s)
		}
		if slices.ContainsFunc(sink.calls, func(c string) bool { return strings.HasPrefix(c, "closed") }) {
			t.Errorf("sink saw %q", sink.calls)
		}
		if strings.Count(log, "\n") != 1 {
			t.Errorf("log:\n%s", log)
		}
	})
}

func TestLoopSaysHowAStreamEndsAndBeginsAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		life := scriptLife{frames: 10, interval: time.Second, end: capture.ErrLost, closeErr: errors.New("device is busy")}
		_, _, log := start(t, 40*time.Second, &notes{}, life, scriptLife{openErr: capture.ErrLost}, scriptLife{frames: 100, interval: time.Second})
		var got []string
		for line := range strings.Lines(log) {
			_, message, _ := strings.Cut(line, "msg=\"")
			message, _, _ = strings.Cut(message, "\"")
			got = append(got, message)
		}
		want := []string{"camera streams", "cannot close the camera", "camera lost", "camera streams"}
		if !slices.Equal(got, want) {
			t.Errorf("log:\n%s", log)
		}
	})
}

func TestLoopRateOfFrames(t *testing.T) {
	for _, interval := range []time.Duration{
		100 * time.Microsecond, 8 * time.Millisecond, 33 * time.Millisecond, 200 * time.Millisecond, time.Second,
	} {
		synctest.Test(t, func(t *testing.T) {
			want := 1 / interval.Seconds()
			// Over 4 s the count of frames is exact to one.
			_, s, _ := start(t, 13*time.Second+interval/2, &notes{}, scriptLife{frames: math.MaxInt, interval: interval})
			if math.Abs(s.FPS-want) > 0.3 {
				t.Errorf("%g frames a second, not %g", s.FPS, want)
			}
			_, s, _ = start(t, 30*time.Second, &notes{}, scriptLife{frames: int(5 * time.Second / interval), interval: interval})
			if s.FPS != 0 {
				t.Errorf("%g frames a second, though none has come for long", s.FPS)
			}
		})
	}
}
