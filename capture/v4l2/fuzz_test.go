package v4l2

import (
	"errors"
	"log/slog"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"vedette/capture"
)

// hostile is a driver whose answers are the fuzzer's bytes. After each honest answer of the simulation it may change
// bytes of the structure, or answer with an error. Time is its own, so that nothing waits.
type hostile struct {
	*camera
	script []byte
	now    time.Duration
	asked  int
}

func (h *hostile) take() byte {
	if len(h.script) == 0 {
		return 0
	}
	b := h.script[0]
	h.script = h.script[1:]
	return b
}

func (h *hostile) clock() time.Duration { return h.now }

func (h *hostile) ioctl(request uint32, argument unsafe.Pointer) error {
	h.now += time.Millisecond
	if h.asked++; h.asked == 100_000 {
		h.t.Fatal("the driver holds the loop")
	}
	err := h.camera.ioctl(request, argument)
	switch n := h.take(); {
	case n == 0:
		return err
	case n < 16:
		return []error{
			nil, unix.EAGAIN, unix.EBUSY, unix.EINVAL, unix.EIO, unix.ENODEV, unix.ENOSPC, unix.ENOTTY, unix.EPIPE,
			unix.ENOMEM, unix.EACCES, unix.ENXIO, unix.EFAULT, unix.EOVERFLOW, unix.ETIME, unix.EPERM,
		}[n]
	default:
		target := unsafe.Slice((*byte)(argument), request>>16&0x3fff)
		if h.multi && n&1 != 0 && (request == reqQueryBuf || request == reqDequeue) {
			p := (*buffer)(argument)
			target = unsafe.Slice((*byte)(unsafe.Pointer(planes(p))), unsafe.Sizeof(plane{}))
		} else if request == reqQueryBuf || request == reqQueue || request == reqDequeue {
			// The address of the planes is the caller's own; the kernel gives it back as it was.
			defer func(where uint64) {
				if h.multi {
					(*buffer)(argument).Where = where
				}
			}((*buffer)(argument).Where)
		}
		for range n % 16 {
			target[int(h.take())%len(target)] = h.take()
		}
		return nil
	}
}

func (h *hostile) mmap(offset int64, length int) ([]byte, func() error, error) {
	if length > capture.MaxSizeImage || length < 1 {
		h.t.Errorf("asked to map %d bytes", length)
	}
	if length > 1<<20 || h.take() == 1 { // the kernel maps only what it has
		return nil, nil, unix.EINVAL
	}
	h.mapped++
	return make([]byte, length), func() error { h.mapped--; return nil }, nil
}

func (h *hostile) poll(timeout time.Duration) (int16, error) {
	h.now += timeout
	switch n := h.take(); n {
	case 0:
		return unix.POLLIN, nil
	case 1:
		return 0, unix.EFAULT
	default:
		return int16(n), nil
	}
}

func (h *hostile) close() error {
	if h.mapped != 0 {
		h.t.Error("closed with buffers mapped")
	}
	h.open--
	return nil
}

// Whatever a driver answers, nothing panics, no frame lies outside its buffer, and everything is given back.
func FuzzDriverAnswers(f *testing.F) {
	f.Add(false, []byte(nil))
	f.Add(true, []byte(nil))
	f.Add(false, []byte{0, 0, 0, 0, 0, 0, 0, 0, 0, 17, 64, 255, 0, 0})
	f.Add(true, []byte{0, 0, 0, 0, 0, 0, 0, 0, 0, 19, 4, 1, 5, 2, 6, 255})
	f.Fuzz(func(t *testing.T, multi bool, script []byte) {
		c := newCamera(t, simFormat{pixel: capture.YUYV, width: 64, height: 48}, simFormat{pixel: capture.MJPEG, width: 64, height: 48})
		if multi {
			c.asMulti()
		}
		h := &hostile{camera: c, script: script}
		c.now = func() time.Time { return c.start.Add(h.now) }
		source, err := New(capture.V4L2Config{ID: "/dev/video0", Formats: vga.Formats, Rate: 25}, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		source.clock = h.clock
		source.host.openDevice = func(string) (device, error) { c.open++; return h, nil }
		source.host.openCatalogue = func(string) (catalogue, error) { return nil, unix.ENOENT }
		if multi {
			catalogue := multiplanarCatalogue{h}
			catalogue.formats()
			catalogue.controls()
		}
		s, err := source.Open(t.Context())
		if err == nil {
			if err := s.Format().Validate(); err != nil {
				t.Error(err)
			}
			for range 10 {
				frame, err := s.Next(t.Context())
				if err != nil {
					if _, again := s.Next(t.Context()); !errors.Is(again, err) {
						t.Errorf("ended with %v, then %v", err, again)
					}
					break
				}
				format := s.Format()
				if n := format.FrameBytes(); len(frame.Data) == 0 || len(frame.Data) > format.SizeImage || n > 0 && len(frame.Data) != n {
					t.Errorf("%d bytes for %+v", len(frame.Data), format)
				}
				if frame.Monotonic < 0 || frame.Monotonic > h.now {
					t.Errorf("captured at %v, now is %v", frame.Monotonic, h.now)
				}
				frame.Release()
			}
			_ = s.Close() // its errors are the driver's
		}
		if c.open != 0 || c.mapped != 0 {
			t.Errorf("left behind: %d descriptors, %d mappings", c.open, c.mapped)
		}
	})
}
