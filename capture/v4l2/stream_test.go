package v4l2

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"vedette/capture"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func yuyv() simFormat  { return simFormat{pixel: capture.YUYV, width: 640, height: 360} }
func mjpeg() simFormat { return simFormat{pixel: capture.MJPEG, width: 640, height: 360} }

var vga = capture.V4L2Config{
	Formats: []capture.PixelFormat{capture.YUYV, capture.MJPEG}, Size: capture.Size{Width: 640, Height: 360}, Rate: 25,
}

// opened opens the camera; its end is checked when the test ends.
func opened(t *testing.T, c *camera) capture.Stream {
	t.Helper()
	stream, err := c.source(vga).Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := stream.Close(); err != nil {
			t.Error(err)
		}
		if err := stream.Close(); err != nil {
			t.Errorf("closed again: %v", err)
		}
		c.checkClosed()
	})
	return stream
}

func next(t *testing.T, s capture.Stream) *capture.Frame {
	t.Helper()
	f, err := s.Next(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// in runs a test in a bubble of time, with a context of the bubble.
func in(t *testing.T, name string, test func(*testing.T)) {
	t.Run(name, func(t *testing.T) { synctest.Test(t, test) })
}

func TestStreaming(t *testing.T) {
	for name, c := range map[string]func(*testing.T) *camera{
		"yuyv":              func(t *testing.T) *camera { return newCamera(t, yuyv()) },
		"mjpeg":             func(t *testing.T) *camera { return newCamera(t, mjpeg()) },
		"yuyv multi-planar": func(t *testing.T) *camera { return newCamera(t, yuyv()).asMulti() },
		"multi-planar, data not at the start": func(t *testing.T) *camera {
			c := newCamera(t, yuyv()).asMulti()
			c.fill = func(_ uint32, f *simFrame) { f.offset = 64 }
			return c
		},
	} {
		in(t, name, func(t *testing.T) {
			camera := c(t)
			s := opened(t, camera)
			for want := range uint32(100) {
				f := next(t, s)
				size := s.Format().FrameBytes()
				if s.Format().Pixel == capture.MJPEG {
					size = 1000 + int(want)%100
				}
				if f.Sequence != want || len(f.Data) != size || cap(f.Data) != size {
					t.Fatalf("frame %d has number %d and %d bytes (room for %d), not %d", want, f.Sequence, len(f.Data), cap(f.Data), size)
				}
				if !bytes.Equal(f.Data, bytes.Repeat([]byte{byte(want)}, size)) {
					t.Fatalf("frame %d has another frame's bytes", want)
				}
				// The simulation stamps a frame when it is due; this loop sees it at once.
				if f.Monotonic != camera.clock() || !f.Wall.Equal(time.Now()) {
					t.Fatalf("frame %d was captured at %v, %v, not at %v", want, f.Monotonic, f.Wall, camera.clock())
				}
				f.Release()
			}
			for cause, n := range s.Dropped() {
				if n != 0 {
					t.Errorf("%d dropped by %s", n, cause)
				}
			}
		})
	}
}

func TestDamagedBuffersAreCountedAndNotUsed(t *testing.T) {
	for name, damage := range map[string]func(*simFrame){
		"flagged":   func(f *simFrame) { f.flags |= flagError },
		"short":     func(f *simFrame) { f.used = 640*360*2 - 1 },
		"empty":     func(f *simFrame) { f.used = 0 },
		"oversized": func(f *simFrame) { f.used = 1 << 31 },
	} {
		for _, multi := range []bool{false, true} {
			in(t, name, func(t *testing.T) {
				c := newCamera(t, yuyv())
				if multi {
					c.asMulti()
				}
				c.fill = func(seq uint32, f *simFrame) {
					if seq%3 == 1 {
						damage(f)
					}
				}
				s := opened(t, c)
				for range 20 {
					f := next(t, s)
					if f.Sequence%3 == 1 {
						t.Errorf("frame %d is damaged, and was given", f.Sequence)
					}
					f.Release()
				}
				if n := s.Dropped()[capture.DropBadBuffer]; n != 9 && n != 10 {
					t.Errorf("%d bad buffers were counted", n)
				}
			})
		}
	}
	in(t, "multi-planar offset beyond the data", func(t *testing.T) {
		c := newCamera(t, yuyv()).asMulti()
		c.fill = func(seq uint32, f *simFrame) {
			if seq == 0 {
				f.offset = 1 << 31
			}
		}
		s := opened(t, c)
		if f := next(t, s); f.Sequence != 1 || s.Dropped()[capture.DropBadBuffer] != 1 {
			t.Errorf("frame %d, dropped %v", f.Sequence, s.Dropped())
		}
	})
	in(t, "jpeg beyond its size", func(t *testing.T) {
		c := newCamera(t, mjpeg())
		c.fill = func(seq uint32, f *simFrame) {
			if seq == 0 {
				f.used = c.current.sizeImage + 1 // still inside the buffer, which is rounded to pages
			}
		}
		s := opened(t, c)
		if f := next(t, s); f.Sequence != 1 || s.Dropped()[capture.DropBadBuffer] != 1 {
			t.Errorf("frame %d, dropped %v", f.Sequence, s.Dropped())
		}
	})
}

func TestSlowConsumerGetsTheNewestFrame(t *testing.T) {
	in(t, "", func(t *testing.T) {
		c := newCamera(t, yuyv())
		s := opened(t, c)
		next(t, s).Release()
		f := next(t, s) // number 1
		time.Sleep(10 * c.interval)
		f.Release()
		// Three buffers were free: 2, 3 and 4 were filled, the others lost in the driver.
		f = next(t, s)
		if f.Sequence != 4 || f.Monotonic > c.clock()-6*c.interval || f.Data[0] != 4 {
			t.Errorf("frame %d, %v old", f.Sequence, c.clock()-f.Monotonic)
		}
		if age := time.Since(f.Wall); age != c.clock()-f.Monotonic {
			t.Errorf("in wall time the frame is %v old", age)
		}
		f.Release()
		if n := s.Dropped()[capture.DropSuperseded]; n != 2 {
			t.Errorf("%d superseded", n)
		}
		if f = next(t, s); f.Sequence != 12 {
			t.Errorf("frame %d", f.Sequence)
		}
	})
}

func TestTimestampsOfAnotherClock(t *testing.T) {
	for name, fill := range map[string]func(*simFrame){
		"not flagged":   func(f *simFrame) { f.flags = 0; f.stamp -= time.Second },
		"in the future": func(f *simFrame) { f.stamp += time.Second },
		"long ago":      func(f *simFrame) { f.stamp = 0 },
		"absurd":        func(f *simFrame) { f.stamp = -1 << 63 },
	} {
		in(t, name, func(t *testing.T) {
			c := newCamera(t, yuyv())
			c.fill = func(_ uint32, f *simFrame) { fill(f) }
			var log bytes.Buffer
			source := c.source(vga)
			source.log = slog.New(slog.NewTextHandler(&log, nil))
			s, err := source.Open(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			for range 3 {
				f := next(t, s)
				if f.Monotonic != c.clock() {
					t.Errorf("captured at %v, arrived at %v", f.Monotonic, c.clock())
				}
				f.Release()
			}
			if strings.Count(log.String(), "timestamps are not those of the monotonic clock") != 1 {
				t.Errorf("log:\n%s", log.String())
			}
		})
	}
}

func TestStall(t *testing.T) {
	for name, c := range map[string]struct {
		interval time.Duration
		frames   int // before the silence
		want     time.Duration
	}{
		"never began":   {40 * time.Millisecond, 0, 5 * time.Second},
		"fast camera":   {40 * time.Millisecond, 3, 2 * time.Second},
		"slow camera":   {time.Second, 3, 10 * time.Second},
		"slow, no rate": {0, 3, 2 * time.Second},
	} {
		in(t, name, func(t *testing.T) {
			format := yuyv()
			format.fastest = c.interval
			cam := newCamera(t, format)
			cam.noRates = c.interval == 0
			s := opened(t, cam)
			for range c.frames {
				next(t, s).Release()
			}
			cam.silent = cam.clock() + time.Nanosecond
			from := time.Now()
			_, err := s.Next(t.Context())
			if took := time.Since(from); !errors.Is(err, capture.ErrStalled) || took < c.want || took > c.want+pollSlice {
				t.Errorf("after %v: %v; wanted a stall after %v", took, err, c.want)
			}
			if _, again := s.Next(t.Context()); c.frames > 0 && !errors.Is(again, capture.ErrStalled) {
				t.Errorf("afterwards: %v", again)
			}
		})
	}
	in(t, "only damaged frames", func(t *testing.T) {
		c := newCamera(t, yuyv())
		c.fill = func(seq uint32, f *simFrame) {
			if seq > 0 {
				f.flags |= flagError
			}
		}
		s := opened(t, c)
		next(t, s).Release()
		_, err := s.Next(t.Context())
		if !errors.Is(err, capture.ErrStalled) || !strings.Contains(err.Error(), "the last 50 were damaged") {
			t.Errorf("error %v", err)
		}
	})
	in(t, "the consumer's time is not the camera's", func(t *testing.T) {
		c := newCamera(t, yuyv())
		s := opened(t, c)
		f := next(t, s)
		time.Sleep(time.Minute)
		f.Release()
		next(t, s).Release()
		next(t, s).Release()
	})
}

// A wait that ends with its context leaves the stream as it was, and counts as waiting.
func TestWaitIsBoundedByContext(t *testing.T) {
	in(t, "", func(t *testing.T) {
		c := newCamera(t, yuyv())
		s := opened(t, c)
		next(t, s).Release()
		c.silent = c.clock() + time.Nanosecond
		from := time.Now()
		for i := range 3 {
			ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
			_, err := s.Next(ctx)
			cancel()
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Fatalf("wait %d ended with %v", i, err)
			}
		}
		if took := time.Since(from); took > 3*(500*time.Millisecond+pollSlice) {
			t.Errorf("three waits of 0.5 s took %v", took)
		}
		_, err := s.Next(t.Context())
		if took := time.Since(from); !errors.Is(err, capture.ErrStalled) || took > leastPatience+pollSlice {
			t.Errorf("%v after %v", err, took)
		}
	})
}

func TestUnplug(t *testing.T) {
	for name, unplug := range map[string]func(*camera, *capture.Frame){
		"while waiting": func(c *camera, f *capture.Frame) {
			f.Release()
			time.AfterFunc(c.interval/2, c.unplug)
		},
		"before the frame is released": func(c *camera, f *capture.Frame) {
			c.unplug()
			f.Release()
		},
		"between poll and dequeue": func(c *camera, f *capture.Frame) {
			f.Release()
			c.refuse = func(request uint32, _ int) error {
				c.gone = request == reqDequeue // in the middle of the call
				if c.gone {
					return unix.ENODEV
				}
				return nil
			}
		},
	} {
		in(t, name, func(t *testing.T) {
			c := newCamera(t, yuyv())
			s := opened(t, c)
			next(t, s).Release()
			unplug(c, next(t, s))
			from := time.Now()
			if _, err := s.Next(t.Context()); !errors.Is(err, capture.ErrLost) || time.Since(from) > c.interval {
				t.Errorf("after %v: %v", time.Since(from), err)
			}
		})
	}
	in(t, "after the stream's end a frame may still be released", func(t *testing.T) {
		c := newCamera(t, yuyv())
		s := opened(t, c)
		f := next(t, s)
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		f.Release()
		if n := c.calls[reqQueue]; n != wishedBuffers {
			t.Errorf("%d buffers were queued", n)
		}
	})
}

// The driver may stop a stream without a word, or break its own rules: each ends the stream, with the reason.
func TestDriverFailures(t *testing.T) {
	for name, c := range map[string]struct {
		request uint32
		errno   error
		want    string
	}{
		"dequeue": {reqDequeue, unix.EIO, "cannot take a frame from the driver: input/output error"},
		"queue":   {reqQueue, unix.EIO, "cannot give a buffer to the driver: input/output error"},
	} {
		in(t, name, func(t *testing.T) {
			cam := newCamera(t, yuyv())
			s := opened(t, cam)
			next(t, s).Release()
			cam.refuse = func(request uint32, _ int) error {
				if request == c.request {
					return c.errno
				}
				return nil
			}
			f, err := s.Next(t.Context())
			if err == nil {
				f.Release()
				_, err = s.Next(t.Context())
			}
			if err == nil || err.Error() != c.want {
				t.Errorf("error %v", err)
			}
		})
	}
	in(t, "poll says error and nothing else", func(t *testing.T) {
		c := newCamera(t, yuyv())
		source := c.source(vga)
		source.host.openDevice = func(string) (device, error) { c.open++; return &broken{camera: c}, nil }
		s, err := source.Open(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Next(t.Context()); err == nil || !strings.Contains(err.Error(), "the driver has stopped the stream") {
			t.Errorf("error %v", err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		c.checkClosed()
	})
}

// A driver's word is not taken for what would let a frame lie outside its buffer.
func TestAnswersThatBreakTheRules(t *testing.T) {
	count := func(n uint32) func(uint32, unsafe.Pointer) {
		return func(request uint32, argument unsafe.Pointer) {
			if request == reqBuffers && (*requestBuffers)(argument).Count > 0 {
				(*requestBuffers)(argument).Count = n
			}
		}
	}
	length := func(n uint32) func(uint32, unsafe.Pointer) {
		return func(request uint32, argument unsafe.Pointer) {
			if request == reqQueryBuf {
				(*buffer)(argument).Length = n
			}
		}
	}
	for name, c := range map[string]struct {
		tamper func(uint32, unsafe.Pointer)
		want   string
	}{
		"one buffer":       {count(1), "the driver gives 1 buffers, not 2 to 32"},
		"too many buffers": {count(33), "the driver gives 33 buffers"},
		"absurd buffers":   {count(1 << 31), "the driver gives 2147483648 buffers"},
		"empty buffer":     {length(0), "the driver's buffer 0 has 0 bytes"},
		"small buffer":     {length(640*360*2 - 1), "the driver's buffer 0 has 460799 bytes, for frames of"},
		"huge buffer":      {length(1 << 31), "the driver's buffer 0 has 2147483648 bytes"},
	} {
		in(t, name, func(t *testing.T) {
			cam := newCamera(t, yuyv())
			cam.tamper = c.tamper
			if _, err := cam.source(vga).Open(t.Context()); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v", err)
			}
			cam.checkClosed()
		})
	}
	for name, index := range map[string]uint32{"no such buffer": 4, "absurd buffer": 1 << 31} {
		in(t, name, func(t *testing.T) {
			cam := newCamera(t, yuyv())
			s := opened(t, cam)
			cam.tamper = func(request uint32, argument unsafe.Pointer) {
				if request == reqDequeue {
					(*buffer)(argument).Index = index
				}
			}
			if _, err := s.Next(t.Context()); err == nil || !strings.Contains(err.Error(), "which it did not have") {
				t.Errorf("error %v", err)
			}
		})
	}
	in(t, "a buffer that was just taken is given again", func(t *testing.T) {
		cam := newCamera(t, yuyv())
		s := opened(t, cam)
		next(t, s).Release()
		time.Sleep(3 * cam.interval)
		index, taken := uint32(0), 0
		cam.tamper = func(request uint32, argument unsafe.Pointer) {
			if request != reqDequeue {
				return
			}
			b := (*buffer)(argument)
			switch taken++; taken {
			case 1:
				index = b.Index
			case 2:
				b.Index = index
			}
		}
		f := next(t, s)
		cam.tamper = nil
		if f.Sequence < 2 || s.Dropped()[capture.DropSuperseded] == 0 {
			t.Errorf("frame %d, dropped %v", f.Sequence, s.Dropped())
		}
	})
	in(t, "a buffer that the consumer has", func(t *testing.T) {
		cam := newCamera(t, yuyv())
		s := opened(t, cam)
		next(t, s) // buffer 0, still out
		cam.tamper = func(request uint32, argument unsafe.Pointer) {
			if request == reqDequeue {
				(*buffer)(argument).Index = 0
			}
		}
		if _, err := s.Next(t.Context()); err == nil || !strings.Contains(err.Error(), "gave buffer 0, which it did not have") {
			t.Errorf("error %v", err)
		}
	})
}

type broken struct{ *camera }

func (broken) poll(time.Duration) (int16, error) { return unix.POLLERR, nil }

// Whatever call fails while a stream starts, nothing is left behind and the error says what failed.
func TestFailuresWhileStarting(t *testing.T) {
	for name, c := range map[string]struct {
		request uint32 // 0: mmap
		call    int
		errno   error
		want    string
		is      error
	}{
		"capabilities":    {reqQueryCap, 1, unix.EIO, "cannot ask what it can do", unix.EIO},
		"no video device": {reqQueryCap, 1, unix.ENOTTY, "/dev/video0: it is not a video device", nil},
		"busy":            {reqSetFormat, 1, unix.EBUSY, "another program uses the camera", unix.EBUSY},
		"second format":   {reqSetFormat, 2, unix.EIO, "cannot set format mjpeg", unix.EIO},
		"set again":       {reqSetFormat, 3, unix.EIO, "cannot set format yuyv", unix.EIO},
		"rate":            {reqGetParm, 1, unix.EIO, "cannot set format yuyv", unix.EIO},
		"set rate":        {reqSetParm, 1, unix.EIO, "cannot set format yuyv", unix.EIO},
		"gone":            {reqSetParm, 1, unix.ENODEV, "device is gone", capture.ErrLost},
		"buffers":         {reqBuffers, 1, unix.ENOMEM, "cannot get buffers", unix.ENOMEM},
		"first buffer":    {reqQueryBuf, 1, unix.EIO, "cannot ask for a buffer", unix.EIO},
		"last buffer":     {reqQueryBuf, 4, unix.EIO, "cannot ask for a buffer", unix.EIO},
		"first mapping":   {0, 1, unix.ENOMEM, "cannot map a buffer", unix.ENOMEM},
		"last mapping":    {0, 4, unix.ENOMEM, "cannot map a buffer", unix.ENOMEM},
		"first in queue":  {reqQueue, 1, unix.EIO, "cannot give a buffer to the driver", unix.EIO},
		"last in queue":   {reqQueue, 4, unix.EIO, "cannot give a buffer to the driver", unix.EIO},
		"start":           {reqStreamOn, 1, unix.EIO, "cannot start streaming", unix.EIO},
	} {
		for _, multi := range []bool{false, true} {
			in(t, name, func(t *testing.T) {
				cam := newCamera(t, yuyv())
				if multi {
					cam.asMulti()
				}
				cam.refuse = func(request uint32, call int) error {
					if request == c.request && call == c.call {
						return c.errno
					}
					return nil
				}
				_, err := cam.source(vga).Open(t.Context())
				if err == nil || !strings.Contains(err.Error(), c.want) || c.is != nil && !errors.Is(err, c.is) ||
					!strings.HasPrefix(err.Error(), "/dev/video0: ") || strings.Contains(err.Error(), "\n") {
					t.Errorf("error %v", err)
				}
				cam.checkClosed()
			})
		}
	}
}

// A loop over the source: the camera is back by itself when it is plugged in again, and nothing leaks.
func TestLoopSurvivesUnplugging(t *testing.T) {
	in(t, "", func(t *testing.T) {
		c := newCamera(t, simFormat{pixel: capture.YUYV, width: 64, height: 48})
		loop := capture.NewLoop("yard", c.source(vga), ignore{}, slog.New(slog.DiscardHandler))
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- loop.Run(ctx) }()
		for i := range 20 {
			before := loop.Status().Frames
			time.Sleep(time.Minute) // the longest wait between two tries, and enough frames to forget the failures
			synctest.Wait()
			if s := loop.Status(); s.State != capture.Streaming || s.Opens != uint64(i+1) || s.Frames <= before {
				t.Errorf("after %d unpluggings: %s, %d opens, last error %q", i, s.State, s.Opens, s.LastError)
			}
			c.unplug()
			time.Sleep(time.Second)
			synctest.Wait()
			if s := loop.Status(); s.State != capture.Lost {
				t.Errorf("unplugged: %s", s.State)
			}
			c.checkClosed()
			c.replug()
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		c.checkClosed()
	})
}

type ignore struct{}

func (ignore) Opened(capture.Format) error { return nil }
func (ignore) Frame(*capture.Frame)        {}
func (ignore) Closed(error)                {}
