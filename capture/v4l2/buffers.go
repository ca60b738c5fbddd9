package v4l2

import (
	"errors"
	"fmt"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"vedette/capture"
)

// mapped is one of the driver's buffers.
type mapped struct {
	data   []byte
	unmap  func() error
	queued bool // it is the driver's
}

// filled is a buffer that the driver has given back.
type filled struct {
	index      int
	begin, end int // where its bytes lie
	sequence   uint32
	flags      uint32
	timestamp  time.Duration
}

func (s *stream) mapBuffer(index uint32) error {
	b := s.message(index)
	if err := s.ioctl(reqQueryBuf, unsafe.Pointer(&b)); err != nil {
		return because(capture.FailBuffers, "ask for a buffer", err)
	}
	offset, length := uint32(b.Where), b.Length
	if s.kind == typeCaptureMulti {
		offset, length = uint32(s.plane.Where), s.plane.Length
	}
	if length == 0 || int64(length) < int64(s.format.FrameBytes()) || length > capture.MaxSizeImage {
		return capture.FailBuffers.Because(fmt.Errorf("cannot stream: the driver's buffer %d has %d bytes, for frames of %d",
			index, length, s.format.SizeImage))
	}
	data, unmap, err := s.mmap(int64(offset), int(length))
	if err != nil {
		return because(capture.FailBuffers, "map a buffer", err)
	}
	s.buffers = append(s.buffers, mapped{data: data, unmap: unmap})
	return nil
}

// message is the argument of the calls about one buffer.
func (s *stream) message(index uint32) buffer {
	b := buffer{Index: index, Type: s.kind, Memory: memoryMap}
	if s.kind == typeCaptureMulti {
		*s.plane = plane{}
		b.Where, b.Length = uint64(uintptr(unsafe.Pointer(s.plane))), 1
	}
	return b
}

func (s *stream) queue(index int) error {
	b := s.message(uint32(index))
	if err := s.ioctl(reqQueue, unsafe.Pointer(&b)); err != nil {
		return because(capture.FailQueue, "give a buffer to the driver", err)
	}
	s.buffers[index].queued = true
	return nil
}

// nothingHeld is for dequeue, where every buffer is the driver's or the consumer's.
const nothingHeld = -1

// dequeue takes a buffer that the driver has filled; unix.EAGAIN where there is none. held is one that was taken before
// and that nobody has looked at: v4l2loopback, which does not know whose its buffers are, may fill that again and give it
// a second time when this program is late.
func (s *stream) dequeue(held int) (filled, error) {
	b := s.message(0)
	if err := s.ioctl(reqDequeue, unsafe.Pointer(&b)); err != nil {
		if errors.Is(err, unix.EAGAIN) {
			return filled{}, unix.EAGAIN
		}
		return filled{}, because(capture.FailDriver, "take a frame from the driver", err)
	}
	if b.Index >= uint32(len(s.buffers)) || !s.buffers[b.Index].queued && int(b.Index) != held {
		return filled{}, capture.FailDriver.Because(
			fmt.Errorf("cannot take a frame from the driver: it gave buffer %d, which it did not have", b.Index))
	}
	s.buffers[b.Index].queued = false
	f := filled{
		index: int(b.Index), end: int(b.BytesUsed), sequence: b.Sequence, flags: b.Flags,
		timestamp: time.Duration(b.Seconds)*time.Second + time.Duration(b.Micros)*time.Microsecond,
	}
	if s.kind == typeCaptureMulti {
		f.begin, f.end = int(s.plane.DataOffset), int(s.plane.BytesUsed)
	}
	return f, nil
}

// whole cuts the buffer to the frame's bytes; false for a frame that the driver flags as damaged, or that has not
// the bytes that its format needs. What a JPEG lacks shows only when it is decoded.
func (s *stream) whole(f *filled) bool {
	if f.flags&flagError != 0 || f.end > len(s.buffers[f.index].data) {
		return false
	}
	if n := s.format.FrameBytes(); n > 0 {
		if f.end-f.begin < n {
			return false
		}
		f.end = f.begin + n
	}
	return f.end > f.begin && f.end-f.begin <= s.format.SizeImage
}
