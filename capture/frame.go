package capture

import (
	"context"
	"time"
)

// Frame is one picture, in memory that belongs to its source.
type Frame struct {
	// Data holds the picture in the stream's Format: FrameBytes bytes, or one JPEG file. It is valid until Release.
	Data []byte
	// Sequence is the driver's count of frames. A gap means frames that were lost before anybody saw them.
	Sequence uint32
	// Monotonic is when the frame was captured, on CLOCK_MONOTONIC.
	Monotonic time.Duration
	// Wall is when the frame was captured in wall time. Nothing is ordered or timed by it.
	Wall time.Time

	release func()
}

// NewFrame makes a frame whose Release calls release, which may be nil, once.
func NewFrame(data []byte, sequence uint32, monotonic time.Duration, wall time.Time, release func()) *Frame {
	return &Frame{Data: data, Sequence: sequence, Monotonic: monotonic, Wall: wall, release: release}
}

// Release gives the frame's memory back to its source. After it Data must not be touched. A second call does nothing.
func (f *Frame) Release() {
	f.Data = nil
	if f.release != nil {
		release := f.release
		f.release = nil
		release()
	}
}

// Source is where a camera's frames come from. It can be opened again after its stream has ended.
type Source interface {
	// Open negotiates a format and starts the flow of frames.
	Open(ctx context.Context) (Stream, error)
	// String names the source for log lines; it holds no secret.
	String() string
}

// Plugged is a Source whose device comes and goes.
type Plugged interface {
	// Changed tells whether devices have come or gone since Open was last called: then it is worth another try.
	Changed() bool
}

// Compromised is a Stream that may not be what was asked for.
type Compromised interface {
	// Compromise says what was asked for, what there is instead and why; empty where all is as it should be.
	Compromise() string
}

// Stream is a source that is open. Its methods are called from one goroutine at a time.
type Stream interface {
	// Format does not change during the stream's life.
	Format() Format
	// Next waits for the next frame: until ctx ends, until the source's own no-frame deadline, or until the
	// stream fails. An error ends the stream: io.EOF where the source has an end, ErrStalled where no frame came
	// in time, ErrLost where the device is gone. The caller releases the frame before it calls Next again.
	// Only the end of ctx leaves the stream as it was: the error is ctx's, and Next may be called again; the
	// no-frame deadline counts on from the last frame over such calls.
	Next(ctx context.Context) (*Frame, error)
	// Dropped is how many frames were lost inside the source since Open, by cause.
	Dropped() map[DropCause]uint64
	// Close stops the flow and frees everything. Frames that are out are no longer valid.
	Close() error
}
