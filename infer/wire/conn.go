package wire

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// MaxFiles is the most descriptors that one message carries.
const MaxFiles = 1

// Pair makes the two ends of a connection. The child's is handed to it at its start; both close on exec.
func Pair() (parent, child *os.File, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("cannot make a socket pair: %w", err)
	}
	return os.NewFile(uintptr(fds[0]), "parent's end"), os.NewFile(uintptr(fds[1]), "child's end"), nil
}

// Conn is one end of the talk. Send may be called from several goroutines at once, Receive from one; Close from any,
// and it ends what the others wait for.
type Conn struct {
	socket  *net.UnixConn
	buffers sync.Pool // of *[]byte, in which Send encodes

	// Of Receive alone.
	packet  [MaxMessage]byte
	control []byte
	decoder Decoder
	timed   bool // whether the socket has a read deadline
}

// NewConn takes over f, the end of a SOCK_SEQPACKET pair: it is closed even where NewConn fails.
func NewConn(f *os.File) (*Conn, error) {
	conn, err := net.FileConn(f)
	if err = errors.Join(err, f.Close()); err == nil && conn.LocalAddr().Network() != "unixpacket" {
		err = errors.New("it is no SOCK_SEQPACKET socket")
	}
	socket, ok := conn.(*net.UnixConn)
	if err == nil && !ok {
		err = fmt.Errorf("it is a %T", conn)
	}
	if err != nil {
		if conn != nil {
			err = errors.Join(err, conn.Close())
		}
		return nil, fmt.Errorf("cannot talk over %s: %w", f.Name(), err)
	}
	return &Conn{
		socket:  socket,
		buffers: sync.Pool{New: func() any { return new([]byte) }},
		control: make([]byte, unix.CmsgSpace(4*MaxFiles)),
	}, nil
}

// Close ends the connection, as the other end will see.
func (c *Conn) Close() error { return c.socket.Close() }

// Send sends one message with the files that belong to it, which stay the caller's. It waits for room until the
// deadline: os.ErrDeadlineExceeded past it, os.ErrClosed where a file is closed already. The deadline is the
// connection's: where two Sends wait at once, the later call's holds for both.
func (c *Conn) Send(deadline time.Time, m Message, files ...*os.File) error {
	if len(files) > MaxFiles {
		return fmt.Errorf("cannot send %s: %d files, and %d are the most", m.kind(), len(files), MaxFiles)
	}
	buffer := c.buffers.Get().(*[]byte)
	defer c.buffers.Put(buffer)
	packet, err := Append((*buffer)[:0], m)
	if err != nil {
		return err
	}
	*buffer = packet
	if err := c.socket.SetWriteDeadline(deadline); err != nil {
		return fmt.Errorf("cannot send %s: %w", m.kind(), err)
	}
	if len(files) == 0 {
		_, _, err = c.socket.WriteMsgUnix(packet, nil, nil)
	} else {
		err = c.sendWith(files[0], packet)
	}
	if err != nil {
		return fmt.Errorf("cannot send %s: %w", m.kind(), err)
	}
	return nil
}

// sendWith holds on to the descriptor while it is sent, so that a Close meanwhile cannot let another file take its
// number.
func (c *Conn) sendWith(file *os.File, packet []byte) error {
	raw, err := file.SyscallConn()
	if err != nil {
		return err
	}
	var sent error
	if err := raw.Control(func(fd uintptr) {
		_, _, sent = c.socket.WriteMsgUnix(packet, unix.UnixRights(int(fd)), nil)
	}); err != nil {
		return os.ErrClosed // the one reason; the runtime's own error for it cannot be compared with
	}
	return sent
}

// Receive waits for the next message until the deadline, or, where it is zero, until Close. The message's memory is
// the connection's where Decoder says so; the files are the caller's to close. A *Rejected error is about one message,
// and the next may be good. io.EOF is the other end's end, whether it closed or died: all that it had sent has been
// received by then.
func (c *Conn) Receive(deadline time.Time) (Message, []*os.File, error) {
	if timed := !deadline.IsZero(); timed || c.timed {
		if err := c.socket.SetReadDeadline(deadline); err != nil {
			return nil, nil, fmt.Errorf("cannot receive: %w", err)
		}
		c.timed = timed
	}
	n, controls, flags, _, err := c.socket.ReadMsgUnix(c.packet[:], c.control)
	if errors.Is(err, unix.ECONNRESET) {
		// The other end died before it had read everything. The kernel says so once, and first; what that end had
		// sent, its fault perhaps, comes after.
		n, controls, flags, _, err = c.socket.ReadMsgUnix(c.packet[:], c.control)
	}
	if errors.Is(err, io.EOF) || err == nil && n == 0 {
		closeAll(c.files(controls))
		return nil, nil, io.EOF
	}
	if err != nil {
		return nil, nil, fmt.Errorf("cannot receive: %w", err)
	}
	files := c.files(controls)
	m, err := c.judge(c.packet[:n], flags, len(files))
	if err != nil {
		closeAll(files)
		return nil, nil, err
	}
	return m, files, nil
}

func (c *Conn) judge(packet []byte, flags, files int) (Message, error) {
	if flags&unix.MSG_TRUNC != 0 {
		return nil, reject(Oversized, "more than %d bytes", MaxMessage)
	}
	if flags&unix.MSG_CTRUNC != 0 {
		return nil, reject(BadFiles, "more than %d files", MaxFiles)
	}
	m, err := c.decoder.Decode(packet)
	if err != nil {
		return nil, err
	}
	want := 0
	if m.kind() == KindOpenStream {
		want = MaxFiles
	}
	if files != want {
		return nil, reject(BadFiles, "%s with %d files instead of %d", m.kind(), files, want)
	}
	return m, nil
}

// files turns the control messages of a packet into files; what cannot be read holds no descriptor.
func (c *Conn) files(controls int) []*os.File {
	if controls == 0 {
		return nil
	}
	var files []*os.File
	messages, err := unix.ParseSocketControlMessage(c.control[:controls])
	if err != nil {
		return nil
	}
	for _, message := range messages {
		fds, err := unix.ParseUnixRights(&message)
		if err != nil {
			continue // credentials, not descriptors
		}
		for _, fd := range fds {
			files = append(files, os.NewFile(uintptr(fd), "received"))
		}
	}
	return files
}

// closeAll gives up files that nobody has used: there is nothing that closing them could fail to save.
func closeAll(files []*os.File) {
	for _, f := range files {
		_ = f.Close()
	}
}
