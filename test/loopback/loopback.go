// Package loopback shows pictures through a v4l2loopback device, as a camera.
package loopback

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"

	"vedette/capture"
)

// Device is the side of a v4l2loopback node that is written to.
type Device struct {
	file   *os.File
	format capture.Format
}

// request is struct v4l2_format of linux/videodev2.h for an output, as 64-bit Linux lays it out.
type request struct {
	kind          uint32
	_             uint32
	width, height uint32
	pixel, field  uint32
	stride, bytes uint32
	_             [200 - 24]byte
}

const (
	setFormat = 0xc0d05605 // VIDIOC_S_FMT
	output    = 2          // V4L2_BUF_TYPE_VIDEO_OUTPUT
	fieldNone = 1
)

// Open makes the node a camera of that format, until Close.
func Open(node string, format capture.Format) (*Device, error) {
	file, err := os.OpenFile(node, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	r := request{
		kind: output, width: uint32(format.Width), height: uint32(format.Height), pixel: uint32(format.Pixel), field: fieldNone,
		stride: uint32(format.Stride), bytes: uint32(format.SizeImage),
	}
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, file.Fd(), setFormat, uintptr(unsafe.Pointer(&r))); errno != 0 {
		_ = file.Close()
		return nil, fmt.Errorf("cannot make %s show %s %dx%d: %w", node, format.Pixel, format.Width, format.Height, errno)
	}
	if r.pixel != uint32(format.Pixel) || int(r.width) != format.Width || int(r.height) != format.Height {
		_ = file.Close()
		return nil, fmt.Errorf("%s shows %s %dx%d instead", node, capture.PixelFormat(r.pixel), r.width, r.height)
	}
	return &Device{file, format}, nil
}

// Show gives the camera's next frame. One of another length arrives as a short one.
func (d *Device) Show(frame []byte) error {
	_, err := d.file.Write(frame)
	return err
}

// Close ends the camera: whoever reads it gets no more frames.
func (d *Device) Close() error { return d.file.Close() }

// Frames cuts a file of raw frames, or of JPEG pictures one after the other, into frames.
func Frames(file []byte, format capture.Format) ([][]byte, error) {
	var frames [][]byte
	if format.Pixel == capture.MJPEG {
		begin, end := []byte{0xff, 0xd8, 0xff}, []byte{0xff, 0xd9}
		for len(file) > 0 {
			length := bytes.Index(file, append(end, begin...))
			if length < 0 {
				length = len(file) - len(end)
			}
			frames, file = append(frames, file[:length+len(end)]), file[length+len(end):]
		}
	} else {
		for n := format.FrameBytes(); len(file) >= n; file = file[n:] {
			frames = append(frames, file[:n])
		}
	}
	if len(frames) == 0 {
		return nil, errors.New("there is no frame")
	}
	return frames, nil
}
