package client

import "errors"

// The kinds of failure that are found on this side of the connection. A worker's own Fault may name others.
const (
	KindHang     = "hang"     // nothing came in time
	KindExit     = "exit"     // the connection closed without Goodbye
	KindProtocol = "protocol" // the worker does not talk as package wire says
)

// Failure is why a worker's conversation ended other than in good order.
type Failure struct {
	Kind      string
	Message   string
	Traceback string // of the worker, where it sent one
}

// Error is one line; the traceback is not in it.
func (f *Failure) Error() string { return f.Kind + ": " + f.Message }

var (
	// ErrClosed is Submit's answer on a stream that is closed.
	ErrClosed = errors.New("stream is closed")

	errNotServed = errors.New("no worker is connected")
)
