package bench

import (
	"context"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"vedette/capture"
	"vedette/capture/scene"
	"vedette/infer/wire"
)

// reelFrames is how many frames of the source are shown over and over.
const reelFrames = 50

// sharedName begins the names of all memfds of frames: those that package ring makes, and the reel's.
const sharedName = "vedette:"

// reel shows a source's frames, taken beforehand, as fast as they are taken or when it is told to. They lie outside Go's
// heap, which would else be unlike the service's: larger, and so collected less often.
type reel struct {
	format capture.Format
	data   []byte // a mapping, for the life of the process
	frames [][]byte
	drawn  capture.Source // draws each frame when it is taken, and these are shown instead; nil: none

	step chan struct{} // one frame for each
	mu   sync.Mutex    // guards free
	free chan struct{} // closed while frames flow freely
}

// sceneReel is of a scene's first frames.
func sceneReel(ctx context.Context, config capture.SceneConfig) (*reel, error) {
	config.Rate = 0
	source, err := scene.New(config)
	if err != nil {
		return nil, err
	}
	return newReel(ctx, source)
}

// newReel takes a source's next frames, and lets go of it.
func newReel(ctx context.Context, source capture.Source) (*reel, error) {
	stream, err := source.Open(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { _ = stream.Close() }()
	r := &reel{format: stream.Format(), step: make(chan struct{}), free: make(chan struct{})}
	if r.data, err = shared(sharedName+"reel", reelFrames*r.format.SizeImage); err != nil {
		return nil, err
	}
	rest := r.data
	for range reelFrames {
		frame, err := stream.Next(ctx)
		if err != nil {
			return nil, err
		}
		n := copy(rest, frame.Data)
		frame.Release()
		r.frames = append(r.frames, rest[:n:n])
		rest = rest[n:]
	}
	return r, nil
}

// shared maps memory that can be told apart by its name.
func shared(name string, size int) ([]byte, error) {
	fd, err := unix.MemfdCreate(name, unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("cannot make memory for frames: %w", err)
	}
	defer func() { _ = unix.Close(fd) }()
	if err := unix.Ftruncate(fd, int64(size)); err != nil {
		return nil, fmt.Errorf("cannot make memory for frames: %w", err)
	}
	data, err := unix.Mmap(fd, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_POPULATE)
	if err != nil {
		return nil, fmt.Errorf("cannot map %d bytes of memory for frames: %w", size, err)
	}
	return data, nil
}

// run lets frames flow freely until the function that it gives is called.
func (r *reel) run() (stop func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	close(r.free)
	return func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.free = make(chan struct{})
	}
}

// pace shows one frame each period until ctx ends, as a camera does.
func (r *reel) pace(ctx context.Context, period time.Duration) {
	ticker := time.NewTicker(period)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		select {
		case <-ctx.Done():
			return
		case r.step <- struct{}{}:
		}
	}
}

func (r *reel) flowing() <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.free
}

// Open is a camera's: it shows the reel from its beginning.
func (r *reel) Open(ctx context.Context) (capture.Stream, error) {
	if r.drawn == nil {
		return &showing{reel: r}, nil
	}
	stream, err := r.drawn.Open(ctx)
	if err != nil {
		return nil, err
	}
	return &showing{reel: r, drawn: stream}, nil
}

func (r *reel) String() string { return "bench" }

// showing is a reel that is shown.
type showing struct {
	reel  *reel
	next  uint32
	drawn capture.Stream // nil: the reel's frames are shown
}

func (s *showing) Format() capture.Format { return s.reel.format }

// Next waits where the reel is stopped.
func (s *showing) Next(ctx context.Context) (*capture.Frame, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	select {
	case <-s.reel.flowing():
	case <-s.reel.step:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if s.drawn != nil {
		return s.drawn.Next(ctx)
	}
	data := s.reel.frames[s.next%uint32(len(s.reel.frames))]
	frame := capture.NewFrame(data, s.next, wire.Monotonic(), time.Now(), nil)
	s.next++
	return frame, nil
}

func (s *showing) Dropped() map[capture.DropCause]uint64 { return nil }

func (s *showing) Close() error {
	if s.drawn == nil {
		return nil
	}
	return s.drawn.Close()
}
