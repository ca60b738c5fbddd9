package capture

import "errors"

// FailureCause says why a stream ended, or could not be opened.
type FailureCause string

// Every cause of a failed stream.
const (
	FailLost      FailureCause = "lost"      // the device is gone
	FailStalled   FailureCause = "stalled"   // it is there, and no frame came in time
	FailBusy      FailureCause = "busy"      // another program uses it
	FailFormat    FailureCause = "format"    // it has nothing to offer that is asked for, or a control is out of range
	FailBandwidth FailureCause = "bandwidth" // its bus has no room for the stream
	FailBuffers   FailureCause = "buffers"   // its driver has no buffers to give
	FailStart     FailureCause = "start"     // its driver does not start the stream
	FailQueue     FailureCause = "queue"     // its driver does not take a buffer back
	FailDriver    FailureCause = "driver"    // its driver has stopped the stream
	FailOther     FailureCause = "other"
)

// FailureCauses lists every cause, in a fixed order.
func FailureCauses() []FailureCause {
	return []FailureCause{
		FailLost, FailStalled, FailBusy, FailFormat, FailBandwidth, FailBuffers, FailStart, FailQueue, FailDriver, FailOther,
	}
}

// failure is an error whose cause is known.
type failure struct {
	cause FailureCause
	error
}

func (f failure) Unwrap() error { return f.error }

// Because says why a source failed. What is lost or stalled says so by itself.
func (c FailureCause) Because(err error) error { return failure{c, err} }

// CauseOf gives the cause of a source's error.
func CauseOf(err error) FailureCause {
	switch {
	case errors.Is(err, ErrLost):
		return FailLost
	case errors.Is(err, ErrStalled):
		return FailStalled
	}
	if f, ok := errors.AsType[failure](err); ok {
		return f.cause
	}
	return FailOther
}
