package capture

import (
	"context"
	"errors"
	"io"
	"maps"
	"time"
)

// reader reads one stream.
type reader struct {
	loop   *Loop
	stream Stream
	life   life

	first, last time.Time // arrival of frames
	sequence    uint32
	driver      uint64 // frames that the sequence shows as lost, and that the source does not account for
	accounted   uint64 // the source's own drops, as of the last look at them
}

// read hands frames to the sink until the stream ends. One context serves the waits of a whole second, so that a
// fast source costs no timer for each frame.
func (r *reader) read(ctx context.Context) error {
	for ctx.Err() == nil {
		wait, cancel := context.WithTimeout(ctx, waitStep)
		err := r.readUntil(wait)
		expired := wait.Err() != nil
		cancel()
		r.accountDrops()
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, io.EOF):
			r.life.finished = true
			return nil
		case !expired || !errors.Is(err, context.DeadlineExceeded):
			return err
		}
	}
	return nil
}

func (r *reader) readUntil(ctx context.Context) error {
	for ctx.Err() == nil {
		r.loop.step(waitStep, nil)
		frame, err := r.stream.Next(ctx)
		if err != nil {
			return err
		}
		r.arrived(frame)
		r.loop.sink.Frame(frame)
		frame.Release()
	}
	return ctx.Err()
}

func (r *reader) arrived(f *Frame) {
	l, now := r.loop, time.Now()
	if r.life.frames == 0 {
		r.first = now
		format := r.stream.Format()
		l.log.Info("camera streams", "source", l.source.String(), "format", format.Pixel,
			"size", Size{format.Width, format.Height}, "interval", format.Interval)
	} else if gap := f.Sequence - r.sequence - 1; gap > 0 && gap < 1<<31 { // beyond: the count has gone back
		// Frames that the source itself dropped have used up numbers too, and have their own cause.
		before := r.accounted
		r.accountDrops()
		if own := r.accounted - before; uint64(gap) > own {
			r.driver += uint64(gap) - own
		}
	}
	r.sequence = f.Sequence
	r.last = now
	r.life.frames++
	r.life.lasted = r.last.Sub(r.first)
	l.change(func(s *Status) {
		s.State, s.LastError = Streaming, ""
		s.Frames++
		s.LastFrame = f.Monotonic
		l.meter.add(now)
	})
}

// accountDrops brings the status up to date with what was lost in this stream.
func (r *reader) accountDrops() {
	dropped := r.stream.Dropped()
	r.accounted = 0
	total := maps.Clone(r.loop.ended)
	for cause, n := range dropped {
		r.accounted += n
		total[cause] += n
	}
	if r.driver > 0 {
		total[DropDriver] += r.driver
	}
	r.loop.change(func(s *Status) { s.Drops = total })
}
