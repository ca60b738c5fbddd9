package v4l2

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"vedette/capture"
)

const (
	wishedBuffers = 4 // one is with the consumer, one is being filled, two take up jitter
	leastBuffers  = 2

	pollSlice = 100 * time.Millisecond // how late the end of a context may be noticed

	// A camera has stalled when no frame came for so long. The first frame may take longer: sensors start, and
	// exposure settles.
	leastPatience = 2 * time.Second
	firstPatience = 5 * time.Second
	periods       = 10

	// A driver's timestamp that is older than this, or later than now, is not the time of the frame.
	oldestFrame = 10 * time.Second
)

// stream is a device that has been told to stream.
type stream struct {
	device
	kind   bufType
	format capture.Format
	log    *slog.Logger
	clock  func() time.Duration // CLOCK_MONOTONIC

	buffers  []mapped
	plane    *plane // argument of the calls for several planes; pinned, because the kernel is told its address
	pinner   runtime.Pinner
	started  bool
	closed   bool
	failed   error // what ended the stream
	patience time.Duration
	deadline time.Duration // on clock: when the camera has stalled; 0 while nobody waits

	compromise      string // see capture.Compromised
	bad, superseded uint64
	badSince        uint64 // since the last good frame
	saidClock       bool
}

// startStream allocates and maps the buffers and starts the flow of frames. The device is the stream's from here on,
// whether it starts or not.
func startStream(
	d device, kind bufType, format capture.Format, log *slog.Logger, clock func() time.Duration,
) (*stream, error) {
	s := &stream{device: d, kind: kind, format: format, log: log, clock: clock, plane: new(plane), patience: firstPatience}
	s.pinner.Pin(s.plane)
	if err := s.start(); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func (s *stream) start() error {
	request := requestBuffers{Count: wishedBuffers, Type: s.kind, Memory: memoryMap}
	if err := s.ioctl(reqBuffers, unsafe.Pointer(&request)); err != nil {
		return because(capture.FailBuffers, "get buffers", err)
	}
	s.started = true
	if request.Count < leastBuffers || request.Count > maxFrames {
		return capture.FailBuffers.Because(
			fmt.Errorf("cannot stream: the driver gives %d buffers, not %d to %d", request.Count, leastBuffers, maxFrames))
	}
	for i := range request.Count {
		if err := s.mapBuffer(i); err != nil {
			return err
		}
	}
	for i := range s.buffers {
		if err := s.queue(i); err != nil {
			return err
		}
	}
	kind := s.kind
	if err := s.ioctl(reqStreamOn, unsafe.Pointer(&kind)); err != nil {
		if errors.Is(err, unix.ENOSPC) {
			return capture.FailBandwidth.Because(fmt.Errorf("cannot start streaming: %w", ErrBandwidth))
		}
		return because(capture.FailStart, "start streaming", err)
	}
	return nil
}

// drain takes every frame that is there, and keeps the newest. It looks once at each buffer, so that a driver faster
// than this loop cannot hold it.
func (s *stream) drain() (newest filled, ok bool, err error) {
	for range s.buffers {
		held := nothingHeld
		if ok {
			held = newest.index
		}
		f, err := s.dequeue(held)
		if errors.Is(err, unix.EAGAIN) {
			break
		}
		if err != nil {
			return filled{}, false, err
		}
		back := f.index
		if f.index == held { // what it held is overwritten
			ok = false
			s.superseded++
		}
		switch {
		case !s.whole(&f):
			s.bad++
			s.badSince++
		case ok:
			s.superseded++
			back, newest = newest.index, f
		default:
			newest, ok = f, true
			continue
		}
		if err := s.queue(back); err != nil {
			return filled{}, false, err
		}
	}
	return newest, ok, nil
}

// Next implements capture.Stream.
func (s *stream) Next(ctx context.Context) (*capture.Frame, error) {
	if s.deadline == 0 { // the consumer's time with the last frame is not the camera's
		s.deadline = s.clock() + s.patience
	}
	for s.failed == nil {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		f, ok, err := s.drain()
		if err != nil {
			s.failed = err
			break
		}
		if ok {
			return s.frame(f), nil
		}
		s.failed = s.wait()
	}
	return nil, s.failed
}

// wait returns nil when it is worth looking for a frame again.
func (s *stream) wait() error {
	left := s.deadline - s.clock()
	if left <= 0 {
		if s.badSince > 0 {
			return fmt.Errorf("%w: the last %d were damaged", capture.ErrStalled, s.badSince)
		}
		return fmt.Errorf("%w: nothing for %v", capture.ErrStalled, s.patience)
	}
	revents, err := s.poll(max(min(left, pollSlice), time.Millisecond))
	switch {
	case err != nil:
		return because(capture.FailDriver, "wait for a frame", err)
	case revents&(unix.POLLHUP|unix.POLLNVAL) != 0:
		return fmt.Errorf("cannot wait for a frame: %w", capture.ErrLost)
	case revents&unix.POLLERR != 0:
		// The call to dequeue tells why, except where the driver has stopped without a word.
		f, err := s.dequeue(nothingHeld)
		if err == nil {
			s.bad++
			return s.queue(f.index)
		}
		if !errors.Is(err, unix.EAGAIN) {
			return err
		}
		return capture.FailDriver.Because(errors.New("cannot wait for a frame: the driver has stopped the stream"))
	}
	return nil
}

func (s *stream) frame(f filled) *capture.Frame {
	s.deadline, s.badSince = 0, 0
	s.patience = max(leastPatience, periods*s.format.Interval)
	now := s.clock()
	age := now - f.timestamp
	if f.flags&flagTimestampMask != flagTimestampMonotonic || age < 0 || age > oldestFrame {
		if !s.saidClock {
			s.saidClock = true
			s.log.Info("the driver's timestamps are not those of the monotonic clock: the time of arrival is taken",
				"flags", fmt.Sprintf("%#x", f.flags), "age", age)
		}
		age = 0
	}
	data := s.buffers[f.index].data[f.begin:f.end:f.end]
	return capture.NewFrame(data, f.sequence, now-age, time.Now().Add(-age), func() {
		if s.closed || s.failed != nil {
			return
		}
		s.failed = s.queue(f.index)
	})
}

// Format implements capture.Stream.
func (s *stream) Format() capture.Format { return s.format }

// Compromise implements capture.Compromised.
func (s *stream) Compromise() string { return s.compromise }

// Dropped implements capture.Stream.
func (s *stream) Dropped() map[capture.DropCause]uint64 {
	return map[capture.DropCause]uint64{capture.DropBadBuffer: s.bad, capture.DropSuperseded: s.superseded}
}

// Close implements capture.Stream. The order is the kernel's: buffers that are mapped cannot be freed, and freeing
// them lets another program set the format at once.
func (s *stream) Close() error {
	if s.closed {
		return nil
	}
	s.closed = true
	var errs []error
	failed := func(do string, err error) {
		if err != nil && !errors.Is(err, unix.ENODEV) { // what is gone needs no stopping
			errs = append(errs, cannot(do, err))
		}
	}
	if s.started {
		kind := s.kind
		failed("stop streaming", s.ioctl(reqStreamOff, unsafe.Pointer(&kind)))
	}
	for _, b := range s.buffers {
		failed("unmap a buffer", b.unmap())
	}
	s.buffers = nil
	if s.started {
		none := requestBuffers{Type: s.kind, Memory: memoryMap}
		failed("free the buffers", s.ioctl(reqBuffers, unsafe.Pointer(&none)))
	}
	failed("close the camera", s.close())
	s.pinner.Unpin()
	return errors.Join(errs...)
}
