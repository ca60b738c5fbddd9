package command

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"vedette/capture"
)

// buffers of one frame each: one being read into, one that waits, one that is out.
const buffers = 3

// picture is a frame that was read.
type picture struct {
	data      []byte
	sequence  uint32
	monotonic time.Duration
	wall      time.Time
}

// stream is a program's output as frames. A reader goroutine keeps the pipe moving; of a live source only the latest frame waits.
type stream struct {
	process  *process
	lossless bool
	timeout  time.Duration
	format   capture.Format
	y4m      *y4mReader // nil for raw frames
	input    *bufio.Reader

	ready      chan picture // one: the latest
	free       chan []byte  // as many as there are buffers, so that giving one back never blocks
	stop       chan struct{}
	ended      chan struct{} // closed by the reader, after err was set
	err        error
	superseded atomic.Uint64
	last       time.Time // when the last frame was given out
	reading    bool
}

// open reads the header and starts the reader.
func (s *stream) open(ctx context.Context, raw capture.Format) error {
	s.input = bufio.NewReaderSize(s.process.stdout, 1<<16)
	s.format, s.stop, s.last = raw, make(chan struct{}), time.Now()
	if raw.Pixel == 0 {
		// The header comes with the first frame: a program that hangs is noticed by the deadline.
		_ = s.process.stdout.SetReadDeadline(time.Now().Add(s.timeout))
		stop := context.AfterFunc(ctx, func() { _ = s.process.stdout.SetReadDeadline(time.Now()) })
		reader, err := newY4MReader(s.input)
		stop()
		if err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return s.ending(err)
		}
		_ = s.process.stdout.SetReadDeadline(time.Time{})
		s.y4m, s.format = reader, reader.format
	}
	for range buffers {
		s.free <- make([]byte, s.format.FrameBytes())
	}
	s.reading = true
	go s.read()
	return nil
}

func (s *stream) read() {
	defer close(s.ended)
	for sequence := uint32(0); ; sequence++ {
		var data []byte
		select {
		case data = <-s.free:
		case <-s.stop:
			return
		}
		if err := s.readFrame(data); err != nil {
			s.err = err
			return
		}
		p := picture{data, sequence, monotonic(), time.Now()}
		if !s.hand(p) {
			return
		}
	}
}

// hand passes a frame on: it waits for the taker of a lossless source, and takes the place of an older frame of a live one.
func (s *stream) hand(p picture) bool {
	for {
		select {
		case s.ready <- p:
			return true
		case <-s.stop:
			return false
		default:
		}
		if s.lossless {
			select {
			case s.ready <- p:
				return true
			case <-s.stop:
				return false
			}
		}
		select {
		case old := <-s.ready:
			s.superseded.Add(1)
			s.free <- old.data
		default: // it was taken in this moment: there is room now
		}
	}
}

func (s *stream) readFrame(data []byte) error {
	if s.y4m != nil {
		return s.y4m.frame(data)
	}
	_, err := io.ReadFull(s.input, data)
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return errors.New("the last frame is cut off: is the size in the configuration the program's?")
	}
	return err
}

func (s *stream) Format() capture.Format { return s.format }

func (s *stream) Next(ctx context.Context) (*capture.Frame, error) {
	timer := time.NewTimer(time.Until(s.last.Add(s.timeout)))
	defer timer.Stop()
	select {
	case p := <-s.ready:
		return s.out(p), nil
	default: // a frame that is there comes before an end that is there as well
	}
	select {
	case p := <-s.ready:
		return s.out(p), nil
	case <-s.ended:
		select {
		case p := <-s.ready:
			return s.out(p), nil
		default:
			return nil, s.ending(s.err)
		}
	case <-timer.C:
		return nil, fmt.Errorf("%w: nothing within %v", capture.ErrStalled, s.timeout)
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (s *stream) out(p picture) *capture.Frame {
	s.last = time.Now()
	return capture.NewFrame(p.data, p.sequence, p.monotonic, p.wall, func() { s.free <- p.data })
}

// ending turns the end of the output into what became of the program.
func (s *stream) ending(err error) error {
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return fmt.Errorf("%w: nothing within %v", capture.ErrStalled, s.timeout)
	case errors.Is(err, io.EOF):
		select {
		case <-s.process.done:
		case <-time.After(stopWithin): // it closed its output and goes on: Close ends it
			return errors.New("program closed its output without ending")
		}
		if failure := s.process.failure(); failure != nil {
			return failure
		}
		return io.EOF
	}
	return err
}

func (s *stream) Dropped() map[capture.DropCause]uint64 {
	if n := s.superseded.Load(); n > 0 {
		return map[capture.DropCause]uint64{capture.DropSuperseded: n}
	}
	return nil
}

// Close ends the program and waits for the reader.
func (s *stream) Close() error {
	if s.reading {
		close(s.stop)
	}
	_ = s.process.stdout.SetReadDeadline(time.Now()) // wakes the reader
	s.process.stop()
	if s.reading {
		<-s.ended
	}
	return nil
}

func monotonic() time.Duration {
	var ts unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts) // the clock is always there
	return time.Duration(ts.Nano())
}
