package capture

import "errors"

// DropCause says why a frame was not looked at.
type DropCause string

// Every cause of a dropped frame.
const (
	DropDriver     DropCause = "driver"      // a gap in the driver's sequence
	DropBadBuffer  DropCause = "bad_buffer"  // flagged as erroneous by the driver, or too short
	DropSuperseded DropCause = "superseded"  // a newer frame won
	DropRate       DropCause = "rate"        // over the camera's configured rate
	DropMotion     DropCause = "motion"      // nothing moved
	DropNoSlot     DropCause = "no_slot"     // every slot of the ring was taken
	DropWorkerDown DropCause = "worker_down" // no worker was ready
	DropDeadline   DropCause = "deadline"    // the result did not come in time
	DropDecode     DropCause = "decode"      // the picture's bytes were damaged
)

// DropCauses lists every cause, in a fixed order.
func DropCauses() []DropCause {
	return []DropCause{
		DropDriver, DropBadBuffer, DropSuperseded, DropRate, DropMotion,
		DropNoSlot, DropWorkerDown, DropDeadline, DropDecode,
	}
}

// State is what a camera is doing.
type State string

// A camera's states.
const (
	Opening   State = "opening"
	Streaming State = "streaming"
	Stalled   State = "stalled"
	Lost      State = "lost"
	Disabled  State = "disabled"
)

// States lists every state, in a fixed order.
func States() []State { return []State{Opening, Streaming, Stalled, Lost, Disabled} }

// How a stream ends, where callers act on it.
var (
	ErrStalled = errors.New("no frame came in time")
	ErrLost    = errors.New("device is gone")
)
