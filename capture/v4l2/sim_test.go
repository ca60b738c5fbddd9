package v4l2

import (
	"bytes"
	"log/slog"
	"sync"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"vedette/capture"
)

// camera simulates a driver on videobuf2, with its rules: buffers that are mapped cannot be freed, a format cannot be
// set while buffers are allocated, only buffers that are out can be queued. A frame's bytes are all the low byte of
// its sequence number. It keeps the time of the test's bubble.
type camera struct {
	t       testing.TB
	caps    uint32
	card    string
	multi   bool
	formats []simFormat
	picky   bool // refuses formats that it lacks, as old drivers do
	noRates bool
	spread  bool // its formats need two buffers (multi-planar)
	flags   uint32
	fill    func(seq uint32, f *simFrame)                 // how a frame differs from a good one
	refuse  func(request uint32, call int) (errno error)  // call counts the requests of its kind, from 1
	tamper  func(request uint32, argument unsafe.Pointer) // changes an answer
	silent  time.Duration                                 // when frames stop to come; 0: never
	gone    bool

	mu        sync.Mutex // a test may unplug the camera while a loop reads it
	now       func() time.Time
	start     time.Time
	calls     map[uint32]int
	current   simFormat
	interval  time.Duration
	buffers   []*simBuffer
	streaming bool
	next      time.Time
	sequence  uint32
	mapped    int
	open      int
}

// simFormat is a format that the camera has in one size.
type simFormat struct {
	pixel         capture.PixelFormat
	width, height uint32
	fastest       time.Duration // the least interval between frames
	colorspace    uint32
	encoding      uint32
	quantization  uint32
	field         uint32
	stride        uint32 // 0: padded to 128 bytes
	sizeImage     uint32 // 0: a whole frame and some more
}

type simBuffer struct {
	data   []byte
	mapped bool
	queued int // order in the queue; 0: not queued
	frame  *simFrame
}

type simFrame struct {
	sequence uint32
	flags    uint32
	used     uint32
	offset   uint32 // data_offset, multi-planar only
	stamp    time.Duration
}

func newCamera(t testing.TB, formats ...simFormat) *camera {
	return &camera{
		t: t, caps: capVideoCapture | capStreaming, card: "Simulated", formats: formats, flags: flagTimestampMonotonic,
		now: time.Now, start: time.Now().Add(-time.Hour), calls: map[uint32]int{}, interval: 40 * time.Millisecond,
	}
}

func (c *camera) asMulti() *camera {
	c.multi, c.caps = true, capVideoCaptureMulti|capStreaming
	return c
}

// clock is the bubble's CLOCK_MONOTONIC.
func (c *camera) clock() time.Duration { return c.now().Sub(c.start) }

// source is a Source that finds this camera alone.
func (c *camera) source(cfg capture.V4L2Config) *Source {
	if cfg.ID == "" {
		cfg.ID = "/dev/video0"
	}
	s, err := New(cfg, slog.New(slog.NewTextHandler(c.t.Output(), nil)))
	if err != nil {
		c.t.Fatal(err)
	}
	s.clock = c.clock
	s.host.openDevice = func(string) (device, error) {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.gone {
			return nil, unix.ENOENT
		}
		c.open++
		return c, nil
	}
	s.host.openCatalogue = func(string) (catalogue, error) { return nil, unix.ENOENT }
	return s
}

// checkClosed reports what a stream has left behind.
func (c *camera) checkClosed() {
	c.t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.open != 0 || c.mapped != 0 || c.streaming || len(c.buffers) != 0 && !c.gone {
		c.t.Errorf("left behind: %d descriptors, %d mappings, %d buffers, streaming %t", c.open, c.mapped, len(c.buffers), c.streaming)
	}
}

func (c *camera) kind() bufType {
	if c.multi {
		return typeCaptureMulti
	}
	return typeCapture
}

func (c *camera) ioctl(request uint32, argument unsafe.Pointer) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.calls[request]++
	if c.gone {
		return unix.ENODEV
	}
	if c.refuse != nil {
		if err := c.refuse(request, c.calls[request]); err != nil {
			return err
		}
	}
	c.produce() // what was due before the call
	err := c.answer(request, argument)
	if c.tamper != nil {
		c.tamper(request, argument)
	}
	return err
}

func (c *camera) answer(request uint32, argument unsafe.Pointer) error {
	switch request {
	case reqQueryCap:
		a := (*capability)(argument)
		a.Capabilities, a.DeviceCaps = c.caps|capDeviceCaps|0x00800000, c.caps // the device has a metadata node too
		copy(a.Card[:], c.card)
		copy(a.Driver[:], "sim")
		copy(a.BusInfo[:], "usb-sim-1")
	case reqSetFormat:
		return c.setFormat(argument)
	case reqGetParm, reqSetParm:
		return c.parm(request, (*streamParm)(argument))
	case reqBuffers:
		return c.allocate((*requestBuffers)(argument))
	case reqQueryBuf, reqQueue, reqDequeue:
		return c.buffer(request, (*buffer)(argument))
	case reqStreamOn:
		if *(*bufType)(argument) != c.kind() || len(c.buffers) == 0 {
			return unix.EINVAL
		}
		c.streaming, c.next, c.sequence = true, c.now().Add(c.interval), 0
	case reqStreamOff:
		if *(*bufType)(argument) != c.kind() {
			return unix.EINVAL
		}
		c.streaming = false
		for _, b := range c.buffers {
			b.queued, b.frame = 0, nil
		}
	default:
		return unix.ENOTTY
	}
	return nil
}

func (c *camera) setFormat(argument unsafe.Pointer) error {
	if len(c.buffers) > 0 {
		return unix.EBUSY
	}
	single, multi := (*format)(argument), (*formatMulti)(argument)
	if single.Type != c.kind() {
		return unix.EINVAL
	}
	pixel, width := single.Pix.PixelFormat, single.Pix.Width // at the same place in both structures
	best := -1
	for i, f := range c.formats {
		off := func(i int) int { return max(int(c.formats[i].width)-int(width), int(width)-int(c.formats[i].width)) }
		if uint32(f.pixel) == pixel && (best < 0 || off(i) < off(best)) {
			best = i
		}
	}
	if best < 0 && c.picky {
		return unix.EINVAL
	}
	f := c.formats[max(best, 0)]
	whole := capture.Format{Pixel: f.pixel, Width: int(f.width), Height: int(f.height)}.Packed()
	if f.stride == 0 && f.pixel != capture.MJPEG {
		whole.Stride = (whole.Stride + 127) &^ 127
		whole.SizeImage = whole.FrameBytes()
		f.stride = uint32(whole.Stride)
	}
	if f.sizeImage == 0 {
		f.sizeImage = uint32(whole.SizeImage) + 512
	}
	c.current = f
	if c.multi {
		planes := uint8(1)
		if c.spread {
			planes = 2
		}
		multi.Pix = pixFormatMulti{
			Width: f.width, Height: f.height, PixelFormat: uint32(f.pixel), Field: f.field, Colorspace: f.colorspace,
			NumPlanes: planes, YCbCrEnc: uint8(f.encoding), Quantization: uint8(f.quantization),
		}
		multi.Pix.Planes[0] = planeFormat{SizeImage: f.sizeImage, BytesPerLine: f.stride}
		return nil
	}
	magic := single.Pix.Priv == privMagic
	single.Pix = pixFormat{
		Width: f.width, Height: f.height, PixelFormat: uint32(f.pixel), Field: f.field, Colorspace: f.colorspace,
		BytesPerLine: f.stride, SizeImage: f.sizeImage,
	}
	if magic {
		single.Pix.Priv, single.Pix.YCbCrEnc, single.Pix.Quantization = privMagic, f.encoding, f.quantization
	}
	return nil
}

func (c *camera) parm(request uint32, p *streamParm) error {
	if c.noRates {
		return unix.ENOTTY
	}
	if p.Type != c.kind() {
		return unix.EINVAL
	}
	if request == reqSetParm && p.Denominator != 0 {
		c.interval = time.Duration(p.Numerator) * time.Second / time.Duration(p.Denominator)
	}
	c.interval = max(c.interval, c.current.fastest)
	*p = streamParm{Type: p.Type, Capability: capRate, Numerator: uint32(c.interval / time.Microsecond), Denominator: 1e6}
	return nil
}

func (c *camera) allocate(r *requestBuffers) error {
	if r.Type != c.kind() || r.Memory != memoryMap {
		return unix.EINVAL
	}
	if c.mapped > 0 || c.streaming {
		return unix.EBUSY
	}
	c.buffers = nil
	for range r.Count {
		c.buffers = append(c.buffers, &simBuffer{data: make([]byte, (c.current.sizeImage+4095)&^4095)})
	}
	return nil
}

// planes finds the structure that a multi-planar call points to.
func planes(b *buffer) *plane { return *(**plane)(unsafe.Pointer(&b.Where)) }

func (c *camera) buffer(request uint32, b *buffer) error {
	if b.Type != c.kind() || b.Memory != memoryMap || c.multi && b.Length != 1 {
		return unix.EINVAL
	}
	if request == reqDequeue {
		return c.dequeue(b)
	}
	if int(b.Index) >= len(c.buffers) {
		return unix.EINVAL
	}
	buf := c.buffers[b.Index]
	if request == reqQueue {
		if buf.queued > 0 || buf.frame != nil {
			return unix.EINVAL
		}
		buf.queued = c.calls[reqQueue]
		return nil
	}
	offset := uint64(b.Index+1) << 24
	if c.multi {
		planes(b).Length, planes(b).Where = uint32(len(buf.data)), offset
	} else {
		b.Length, b.Where = uint32(len(buf.data)), offset
	}
	return nil
}

func (c *camera) dequeue(b *buffer) error {
	if !c.streaming {
		return unix.EINVAL
	}
	index := -1
	for i, buf := range c.buffers {
		if buf.frame != nil && (index < 0 || buf.frame.sequence < c.buffers[index].frame.sequence) {
			index = i
		}
	}
	if index < 0 {
		return unix.EAGAIN
	}
	f := c.buffers[index].frame
	c.buffers[index].frame = nil
	b.Index, b.Flags, b.Sequence = uint32(index), f.flags, f.sequence
	b.Seconds, b.Micros = int64(f.stamp/time.Second), int64(f.stamp%time.Second/time.Microsecond)
	if c.multi {
		planes(b).BytesUsed, planes(b).DataOffset = f.used, f.offset
	} else {
		b.BytesUsed = f.used
	}
	return nil
}

// produce fills buffers with the frames that are due; one without a free buffer is lost, but counted.
func (c *camera) produce() {
	for c.streaming && !c.next.After(c.now()) && (c.silent == 0 || c.next.Sub(c.start) < c.silent) {
		var buf *simBuffer
		for _, b := range c.buffers {
			if b.queued > 0 && (buf == nil || b.queued < buf.queued) {
				buf = b
			}
		}
		lost := uint32(1)
		if buf == nil {
			lost += uint32(c.now().Sub(c.next) / c.interval)
		} else {
			used := c.current.sizeImage
			if c.current.pixel == capture.MJPEG {
				used = 1000 + c.sequence%100
			}
			f := &simFrame{sequence: c.sequence, flags: c.flags, used: used, stamp: c.next.Sub(c.start)}
			if c.fill != nil {
				c.fill(c.sequence, f)
			}
			copy(buf.data, bytes.Repeat([]byte{byte(c.sequence)}, len(buf.data)))
			buf.queued, buf.frame = 0, f
		}
		c.sequence += lost
		c.next = c.next.Add(time.Duration(lost) * c.interval)
	}
}

func (c *camera) mmap(offset int64, length int) ([]byte, func() error, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	index := int(offset>>24) - 1
	if index < 0 || index >= len(c.buffers) || length > len(c.buffers[index].data) {
		return nil, nil, unix.EINVAL
	}
	if c.refuse != nil {
		c.calls[0]++
		if err := c.refuse(0, c.calls[0]); err != nil {
			return nil, nil, err
		}
	}
	buf := c.buffers[index]
	c.mapped++
	buf.mapped = true
	return buf.data[:length:length], func() error {
		c.mu.Lock()
		defer c.mu.Unlock()
		if !buf.mapped {
			c.t.Error("a buffer was unmapped twice")
		}
		buf.mapped = false
		c.mapped--
		return nil
	}, nil
}

func (c *camera) poll(timeout time.Duration) (int16, error) {
	for end := time.Now().Add(timeout); ; {
		revents, next := c.events()
		left := time.Until(end)
		if revents != 0 || left <= 0 {
			return revents, nil
		}
		time.Sleep(min(left, max(time.Until(next), time.Millisecond)))
	}
}

func (c *camera) events() (revents int16, next time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.gone {
		return unix.POLLERR | unix.POLLHUP, time.Time{}
	}
	c.produce()
	for _, b := range c.buffers {
		if b.frame != nil {
			return unix.POLLIN, time.Time{}
		}
	}
	return 0, c.next
}

func (c *camera) close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mapped > 0 {
		c.t.Error("closed with buffers mapped")
	}
	c.open--
	c.streaming = false
	return nil
}

// unplug takes the device away, as video_unregister_device does.
func (c *camera) unplug() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.gone, c.streaming = true, false
}

// replug brings it back; nothing of the old stream is left.
func (c *camera) replug() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.gone, c.buffers = false, nil
}
