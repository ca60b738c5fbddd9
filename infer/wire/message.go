package wire

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"vedette/capture"
	"vedette/infer"
	"vedette/infer/ring"
)

// ProtocolVersion is raised with every change to a message. Both ends must have the same.
const ProtocolVersion = 1

// HeartbeatInterval is how often a worker gives a sign of life.
const HeartbeatInterval = time.Second

// Bounds of messages.
const (
	MaxMessage = 64 << 10 // bytes, header included: far below a socket's default buffer of 208 KiB
	MaxBatch   = 16       // records in one Frames
)

// Kind tells messages apart. The parent's are below 16.
type Kind uint8

// Every kind of message.
const (
	KindLoad        Kind = 1
	KindOpenStream  Kind = 2
	KindCloseStream Kind = 3
	KindFrames      Kind = 4
	KindShutdown    Kind = 5
	KindHello       Kind = 16
	KindHeartbeat   Kind = 17
	KindResult      Kind = 18
	KindFault       Kind = 19
	KindGoodbye     Kind = 20
)

// String names a kind for log lines.
func (k Kind) String() string {
	switch k {
	case KindLoad:
		return "load"
	case KindOpenStream:
		return "open-stream"
	case KindCloseStream:
		return "close-stream"
	case KindFrames:
		return "frames"
	case KindShutdown:
		return "shutdown"
	case KindHello:
		return "hello"
	case KindHeartbeat:
		return "heartbeat"
	case KindResult:
		return "result"
	case KindFault:
		return "fault"
	case KindGoodbye:
		return "goodbye"
	}
	return fmt.Sprintf("kind %d", uint8(k))
}

// Message is one of this package's message types. Append takes values and pointers; a Decoder gives pointers.
type Message interface {
	kind() Kind
	generation() uint64
	appendBody(dst []byte) ([]byte, error)
}

// KindOf tells a message's kind.
func KindOf(m Message) Kind { return m.kind() }

// GenerationOf tells which generation of the worker a message is from, or for.
func GenerationOf(m Message) uint64 { return m.generation() }

// Load is the parent's first message: what to load.
type Load struct {
	Generation  uint64         `json:"-"`
	Protocol    int            `json:"protocol"`
	Name        string         `json:"name"` // the model's, as configured
	ModelPath   string         `json:"model_path"`
	Runtime     string         `json:"runtime"` // path of libonnxruntime.so; empty: search
	Providers   []string       `json:"providers"`
	Fallback    string         `json:"fallback"`
	Accelerator int            `json:"accelerator"`
	CUDA        infer.CUDA     `json:"cuda"`
	TensorRT    infer.TensorRT `json:"tensorrt"`
	Cache       string         `json:"cache"`      // folder for what takes long to make; empty: none
	Preprocess  string         `json:"preprocess"` // host | graph
	Threads     int            `json:"threads"`
	Batch       infer.Batch    `json:"batch"`
	Ahead       bool           `json:"ahead"` // prepare a frame while the model runs on the one before it
	// Thresholds are the configuration's, which are laid over those of the model's manifest. Low is the least score that the parent
	// has a use for: what is between it and a label's threshold comes too.
	Thresholds infer.Thresholds `json:"thresholds"`
	Low        float32          `json:"low"`
}

// OpenStream tells of a stream and carries its ring's descriptor. Stream numbers are never used again.
type OpenStream struct {
	Generation uint64            `json:"-"`
	Stream     uint32            `json:"stream"`
	Name       string            `json:"name"`
	Format     capture.Format    `json:"format"`
	Geometry   ring.Geometry     `json:"geometry"`
	Region     [4]float64        `json:"region"` // x1, y1, x2, y2 in 0..1
	Turn       capture.Turn      `json:"turn"`
	Masks      [][]capture.Point `json:"masks"`
}

// CloseStream ends a stream: its ring can be unmapped.
type CloseStream struct {
	Generation uint64 `json:"-"`
	Stream     uint32 `json:"stream"`
}

// Shutdown asks the worker to finish what it has, to say Goodbye and to end.
type Shutdown struct {
	Generation uint64 `json:"-"`
	Reason     string `json:"reason"`
}

// FrameRecord points to one frame in a stream's ring.
type FrameRecord struct {
	Stream    uint32
	Slot      uint32
	Sequence  uint32
	BytesUsed uint32
	Monotonic time.Duration // when it was captured, on CLOCK_MONOTONIC
	Submitted time.Duration // when it was submitted, on CLOCK_MONOTONIC; see Monotonic
}

// Frames is a batch of frames to look at, in this order.
type Frames struct {
	Generation uint64
	Records    []FrameRecord // 1 to MaxBatch; a decoded one's are valid until the Decoder's next message
}

// Hello says that the model is loaded.
type Hello struct {
	Generation uint64      `json:"-"`
	Protocol   int         `json:"protocol"`
	PID        int         `json:"pid"`
	Model      infer.Model `json:"model"`
}

// Stage is what a worker is at.
type Stage uint8

// The stages of a worker's life.
const (
	StageLoading  Stage = 1
	StageBuilding Stage = 2 // builds an engine for the accelerator, which may take many minutes
	StageReady    Stage = 3
)

// String names a stage for log lines.
func (s Stage) String() string {
	switch s {
	case StageLoading:
		return "loading"
	case StageBuilding:
		return "building"
	case StageReady:
		return "ready"
	}
	return fmt.Sprintf("stage %d", uint8(s))
}

// Heartbeat is a worker's sign of life.
type Heartbeat struct {
	Generation uint64
	Stage      Stage
	Counter    uint64 // of frames done
}

// Status is how it went with a frame.
type Status uint8

// What can come of a frame.
const (
	StatusOK      Status = 0
	StatusDamaged Status = 1 // the picture's bytes were damaged
	StatusFailed  Status = 2 // the picture was good, the inference failed
)

// Result answers one FrameRecord.
type Result struct {
	Generation uint64
	Stream     uint32
	Slot       uint32
	Sequence   uint32
	Status     Status
	First      bool              // whether it is the first of the frames that the model was run on at once
	Timings    infer.Timings     // Total is not sent: it is the parent's to measure
	Detections []infer.Detection // a decoded one's are valid until the Decoder's next message
}

// Fault is a worker's last message: why it ends.
type Fault struct {
	Generation uint64 `json:"-"`
	Kind       string `json:"kind"` // panic, load, protocol, …
	Message    string `json:"message"`
	Traceback  string `json:"traceback"`
}

// Goodbye answers Shutdown: the worker has finished and ends.
type Goodbye struct {
	Generation uint64
}

// Monotonic is the time on CLOCK_MONOTONIC, which both ends share.
func Monotonic() time.Duration {
	var ts unix.Timespec
	// The clock is always there and ts is writable: the call has no way to fail.
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts)
	return time.Duration(ts.Nano())
}
