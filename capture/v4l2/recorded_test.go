package v4l2

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"vedette/capture"
)

// A recording is what a driver answered, one call a line:
//
//	ask PIXEL WIDTHxHEIGHT RATE           what the stream was asked to be, first
//	ioctl REQUEST ERRNO ANSWER PLANE      in hex; PLANE is what the answer points to, where it does
//	mmap LENGTH
//	poll REVENTS
//
// TestRecord makes one where a camera is: VEDETTE_RECORD_NODE, _AS, _SIZE name it, its format and its size. Those in
// testdata/recorded are of Linux 6.1's vivid and v4l2loopback 0.12.7.

// argumentSize is how many bytes a request's argument has.
func argumentSize(request uint32) uintptr { return uintptr(request >> 16 & 0x3fff) }

// pointsToPlane tells the calls whose argument points to a plane.
func pointsToPlane(request uint32, argument unsafe.Pointer) bool {
	switch request {
	case reqQueryBuf, reqQueue, reqDequeue:
		return (*buffer)(argument).Type == typeCaptureMulti
	}
	return false
}

// recorder writes down what a device answers.
type recorder struct {
	device
	out *bytes.Buffer
}

func (r recorder) ioctl(request uint32, argument unsafe.Pointer) error {
	err := r.device.ioctl(request, argument)
	var errno unix.Errno
	errors.As(err, &errno)
	answer := bytes.Clone(unsafe.Slice((*byte)(argument), argumentSize(request)))
	pointed := ""
	if pointsToPlane(request, argument) {
		pointed = hex.EncodeToString(unsafe.Slice((*byte)(unsafe.Pointer(planes((*buffer)(argument)))), unsafe.Sizeof(plane{})))
		clear(answer[unsafe.Offsetof(buffer{}.Where):][:8]) // an address
	}
	fmt.Fprintf(r.out, "ioctl %x %d %x %s\n", request, int(errno), answer, pointed)
	return err
}

func (r recorder) mmap(offset int64, length int) ([]byte, func() error, error) {
	fmt.Fprintf(r.out, "mmap %d\n", length)
	return r.device.mmap(offset, length)
}

func (r recorder) poll(timeout time.Duration) (int16, error) {
	revents, err := r.device.poll(timeout)
	fmt.Fprintf(r.out, "poll %d\n", revents)
	return revents, err
}

func TestRecord(t *testing.T) {
	node := os.Getenv("VEDETTE_RECORD_NODE")
	if node == "" {
		t.Skip("skipped: VEDETTE_RECORD_NODE names no camera to record")
	}
	var cfg capture.V4L2Config
	var pixel capture.PixelFormat
	if err := errors.Join(pixel.UnmarshalText([]byte(os.Getenv("VEDETTE_RECORD_AS"))), cfg.Size.UnmarshalText([]byte(os.Getenv("VEDETTE_RECORD_SIZE")))); err != nil {
		t.Fatal(err)
	}
	cfg.ID, cfg.Formats, cfg.Rate = node, []capture.PixelFormat{pixel}, 10
	source, err := New(cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	out := &bytes.Buffer{}
	fmt.Fprintf(out, "ask %s %s %g\n", pixel, cfg.Size, cfg.Rate)
	source.host.openDevice = func(path string) (device, error) {
		d, err := openNode(path)
		return recorder{d, out}, err
	}
	s, err := source.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for range 5 {
		next(t, s).Release()
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if err := os.WriteFile(os.Getenv("VEDETTE_RECORD_TO"), out.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}

// replayed is a device that answers as one did before. Where other questions come than then, it has no more answers.
type replayed struct {
	t      testing.TB
	lines  [][]string
	now    time.Duration
	mapped int
	open   int
	change func(request uint32, answer []byte) // what a fuzzer makes of an answer; nil: nothing
}

func readRecording(t testing.TB, path string) (*replayed, capture.V4L2Config) {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	r := &replayed{t: t}
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		r.lines = append(r.lines, strings.Fields(lines.Text()))
	}
	asked := r.lines[0]
	r.lines = r.lines[1:]
	cfg := capture.V4L2Config{ID: "/dev/video0", Formats: make([]capture.PixelFormat, 1)}
	rate, rateErr := strconv.ParseFloat(asked[3], 64)
	if err := errors.Join(cfg.Formats[0].UnmarshalText([]byte(asked[1])), cfg.Size.UnmarshalText([]byte(asked[2])), rateErr, lines.Err()); err != nil {
		t.Fatal(err)
	}
	cfg.Rate = rate
	return r, cfg
}

// take gives the next line if it is of that call.
func (r *replayed) take(call string) []string {
	if len(r.lines) == 0 || r.lines[0][0] != call {
		return nil
	}
	line := r.lines[0]
	r.lines = r.lines[1:]
	return line
}

func (r *replayed) ioctl(request uint32, argument unsafe.Pointer) error {
	r.now += time.Millisecond
	if len(r.lines) == 0 || r.lines[0][0] != "ioctl" || r.lines[0][1] != fmt.Sprintf("%x", request) {
		return unix.ENODEV
	}
	line := r.take("ioctl")
	answer, err := hex.DecodeString(line[3])
	if err != nil || len(answer) != int(argumentSize(request)) {
		r.t.Fatalf("bad recording: %v", line)
	}
	if r.change != nil {
		r.change(request, answer)
	}
	to := unsafe.Slice((*byte)(argument), len(answer))
	if pointsToPlane(request, argument) {
		copy(answer[unsafe.Offsetof(buffer{}.Where):][:8], to[unsafe.Offsetof(buffer{}.Where):]) // the kernel leaves the address
		if pointed, err := hex.DecodeString(line[4]); err == nil {
			if r.change != nil {
				r.change(0, pointed)
			}
			copy(unsafe.Slice((*byte)(unsafe.Pointer(planes((*buffer)(argument)))), unsafe.Sizeof(plane{})), pointed)
		}
	}
	copy(to, answer)
	if request == reqDequeue {
		b := (*buffer)(argument)
		if stamp := time.Duration(b.Seconds)*time.Second + time.Duration(b.Micros)*time.Microsecond; stamp > r.now && r.change == nil {
			r.now = stamp
		}
	}
	if errno, _ := strconv.Atoi(line[2]); errno != 0 {
		return unix.Errno(errno)
	}
	return nil
}

func (r *replayed) mmap(_ int64, length int) ([]byte, func() error, error) {
	if line := r.take("mmap"); line == nil || length > 16<<20 {
		return nil, nil, unix.EINVAL
	}
	r.mapped++
	return make([]byte, length), func() error { r.mapped--; return nil }, nil
}

func (r *replayed) poll(timeout time.Duration) (int16, error) {
	line := r.take("poll")
	if line == nil {
		r.now += timeout
		return 0, nil
	}
	revents, err := strconv.Atoi(line[1])
	return int16(revents), err
}

func (r *replayed) close() error { r.open--; return nil }

func (r *replayed) source(cfg capture.V4L2Config) *Source {
	s, err := New(cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		r.t.Fatal(err)
	}
	s.clock = func() time.Duration { return r.now }
	s.host.openDevice = func(string) (device, error) { r.open++; return r, nil }
	s.host.openCatalogue = func(string) (catalogue, error) { return nil, unix.ENOENT }
	return s
}

func recordings(t testing.TB) []string {
	t.Helper()
	paths, err := filepath.Glob("testdata/recorded/*.txt")
	if err != nil || len(paths) == 0 {
		t.Fatalf("there are no recordings: %v", err)
	}
	return paths
}

// Real drivers' answers make a stream: every frame whole, in order, in the form that was asked for. The machine that they were
// recorded on was busy, so some have gaps.
func TestRecordedAnswers(t *testing.T) {
	for _, path := range recordings(t) {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txt"), func(t *testing.T) {
			r, cfg := readRecording(t, path)
			s, err := r.source(cfg).Open(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			f := s.Format()
			if f.Pixel != cfg.Formats[0] || f.Width != cfg.Size.Width || f.Height != cfg.Size.Height || f.Interval <= 0 {
				t.Errorf("format %+v for %+v", f, cfg)
			}
			var last uint32
			for i := range 5 {
				frame := next(t, s)
				if i > 0 && frame.Sequence <= last || frame.Monotonic <= 0 {
					t.Errorf("frame %d after %d, captured at %v", frame.Sequence, last, frame.Monotonic)
				}
				if n := f.FrameBytes(); n > 0 && len(frame.Data) != n || len(frame.Data) == 0 {
					t.Errorf("frame of %d bytes, want %d", len(frame.Data), n)
				}
				last = frame.Sequence
				frame.Release()
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
			if r.mapped != 0 || r.open != 0 || len(r.lines) != 0 || s.Dropped()[capture.DropBadBuffer] != 0 {
				t.Errorf("left: %d mappings, %d descriptors, %d answers; dropped %v", r.mapped, r.open, len(r.lines), s.Dropped())
			}
		})
	}
}

// FuzzRecordedAnswers changes bytes of what real drivers answered: nothing panics, no frame lies outside its buffer, and
// everything is given back.
func FuzzRecordedAnswers(f *testing.F) {
	paths := recordings(f)
	for i := range paths {
		f.Add(uint8(i), []byte{3, 8, 1, 0, 0, 0})
	}
	f.Fuzz(func(t *testing.T, which uint8, script []byte) {
		r, cfg := readRecording(t, paths[int(which)%len(paths)])
		r.change = func(_ uint32, answer []byte) {
			for len(script) >= 3 && script[0]%4 == 3 {
				answer[int(script[1])%len(answer)] = script[2]
				script = script[3:]
			}
			if len(script) > 0 {
				script = script[1:]
			}
		}
		s, err := r.source(cfg).Open(t.Context())
		if err == nil {
			for range 10 {
				frame, err := s.Next(t.Context())
				if err != nil {
					break
				}
				if n := s.Format().FrameBytes(); len(frame.Data) == 0 || len(frame.Data) > s.Format().SizeImage || n > 0 && len(frame.Data) != n {
					t.Errorf("%d bytes for %+v", len(frame.Data), s.Format())
				}
				frame.Release()
			}
			_ = s.Close() // its errors are the driver's
		}
		if r.mapped != 0 || r.open != 0 {
			t.Errorf("left: %d mappings, %d descriptors", r.mapped, r.open)
		}
	})
}
