package v4l2

import (
	"errors"
	"fmt"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"vedette/capture"
)

// device is an open camera node: the system calls that streaming is made of. An error is a unix.Errno.
type device interface {
	// ioctl gives the kernel a request whose argument is the structure that the request's number stands for.
	ioctl(request uint32, argument unsafe.Pointer) error
	// mmap maps a buffer for reading, until unmap is called.
	mmap(offset int64, length int) (data []byte, unmap func() error, err error)
	// poll waits for a frame; no events after the timeout.
	poll(timeout time.Duration) (revents int16, err error)
	close() error
}

// node is the kernel's device.
type node struct{ fd int }

func openNode(path string) (device, error) {
	for {
		fd, err := unix.Open(path, unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
		if err == nil {
			return &node{fd}, nil
		}
		if !errors.Is(err, unix.EINTR) {
			return nil, err
		}
	}
}

func (n *node) ioctl(request uint32, argument unsafe.Pointer) error {
	for {
		_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(n.fd), uintptr(request), uintptr(argument))
		if errno == 0 {
			return nil
		}
		if errno != unix.EINTR {
			return errno
		}
	}
}

func (n *node) mmap(offset int64, length int) ([]byte, func() error, error) {
	data, err := unix.Mmap(n.fd, offset, length, unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return nil, nil, err
	}
	return data, func() error { return unix.Munmap(data) }, nil
}

func (n *node) poll(timeout time.Duration) (int16, error) {
	fds := []unix.PollFd{{Fd: int32(n.fd), Events: unix.POLLIN}}
	_, err := unix.Poll(fds, int(timeout.Milliseconds()))
	if err != nil && !errors.Is(err, unix.EINTR) {
		return 0, err
	}
	return fds[0].Revents, nil
}

func (n *node) close() error { return unix.Close(n.fd) }

// monotonic reads the clock that drivers stamp frames with.
func monotonic() time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &t); err != nil {
		panic(err) // cannot happen: the clock is always there
	}
	return time.Duration(t.Nano())
}

// ErrBandwidth says that the camera's bus has no room for the stream.
var ErrBandwidth = errors.New("the USB bus has no bandwidth left for this camera: " +
	"ask for mjpeg, a smaller size or a lower rate, or plug it into another USB controller")

// because is cannot with a cause, for what the kernel's answer does not tell one of.
func because(cause capture.FailureCause, do string, err error) error {
	err = cannot(do, err)
	if capture.CauseOf(err) == capture.FailOther {
		return cause.Because(err)
	}
	return err
}

// cannot says what failed, with what to do about it where the kernel's answer tells.
func cannot(do string, err error) error {
	switch {
	case errors.Is(err, unix.ENODEV), errors.Is(err, unix.ENXIO), errors.Is(err, unix.ENOENT):
		return fmt.Errorf("cannot %s: %w", do, capture.ErrLost)
	case errors.Is(err, unix.EBUSY):
		return capture.FailBusy.Because(fmt.Errorf("cannot %s: another program uses the camera (fuser -v names it): %w", do, err))
	case errors.Is(err, unix.EACCES), errors.Is(err, unix.EPERM):
		return fmt.Errorf("cannot %s: add the service's user to the group video: %w", do, err)
	}
	return fmt.Errorf("cannot %s: %w", do, err)
}
