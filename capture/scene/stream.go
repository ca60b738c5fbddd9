package scene

import (
	"context"
	"time"

	"vedette/capture"
)

// stream shows a scene at its rate, like a camera: who is late misses frames.
type stream struct {
	scene  *Scene
	buffer []byte // nil where frames were rendered beforehand
	start  time.Duration
	next   uint32
}

func (s *stream) Format() capture.Format { return s.scene.format }

// Next waits until the next frame is due. Frames that were due before are missed, as the gap in the sequence shows.
func (s *stream) Next(ctx context.Context) (*capture.Frame, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if interval := s.scene.format.Interval; interval > 0 {
		now := monotonic() - s.start
		if current := uint32(now / interval); current > s.next {
			s.next = current
		}
		if wait := time.Duration(s.next)*interval - now; wait > 0 {
			timer := time.NewTimer(wait)
			defer timer.Stop()
			select {
			case <-timer.C:
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		}
	}
	data, err := s.picture()
	if err != nil {
		return nil, err
	}
	frame := capture.NewFrame(data, s.next, monotonic(), time.Now(), nil)
	s.next++
	return frame, nil
}

func (s *stream) picture() ([]byte, error) {
	if loop := s.scene.loop; len(loop) > 0 {
		return loop[s.next%uint32(len(loop))], nil
	}
	used, err := s.scene.render(s.next, s.buffer)
	return s.buffer[:used], err
}

// Dropped is empty: what is missed shows as a gap in the sequence.
func (s *stream) Dropped() map[capture.DropCause]uint64 { return nil }

func (s *stream) Close() error { return nil }
