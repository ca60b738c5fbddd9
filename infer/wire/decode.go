package wire

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"time"

	"vedette/infer"
)

// Reason says why a message was rejected.
type Reason string

// Every reason. The last three are for whoever knows the state of the talk.
const (
	Oversized       Reason = "oversized"        // more than MaxMessage bytes
	Truncated       Reason = "truncated"        // shorter than its header, or than its header says
	Malformed       Reason = "malformed"        // not of its kind's form
	UnknownVersion  Reason = "unknown_version"  // of the protocol
	UnknownKind     Reason = "unknown_kind"     // of message
	BadFiles        Reason = "bad_files"        // descriptors where none belong, or too many
	StaleGeneration Reason = "stale_generation" // of another generation than this connection's
	Unexpected      Reason = "unexpected"       // of a kind that has no place here and now
	UnknownFrame    Reason = "unknown_frame"    // a result for a frame that is not in flight
)

// Reasons lists every reason, in a fixed order.
func Reasons() []Reason {
	return []Reason{
		Oversized, Truncated, Malformed, UnknownVersion, UnknownKind, BadFiles, StaleGeneration, Unexpected, UnknownFrame,
	}
}

// Rejected is a message that nobody can use. The connection is as good as before.
type Rejected struct {
	Reason Reason
	Detail string
}

// Error names the reason and what was found.
func (r *Rejected) Error() string { return fmt.Sprintf("message rejected: %s: %s", r.Reason, r.Detail) }

func reject(reason Reason, format string, args ...any) error {
	return &Rejected{Reason: reason, Detail: fmt.Sprintf(format, args...)}
}

// Decoder turns packets into messages. Frames, Results and Heartbeats it gives from its own memory: they are valid
// until its next message. The zero value is ready.
type Decoder struct {
	frames     Frames
	heartbeat  Heartbeat
	result     Result
	records    [MaxBatch]FrameRecord
	detections [infer.MaxDetections]infer.Detection
}

// Decode reads one packet. Every error is a *Rejected.
func (d *Decoder) Decode(packet []byte) (Message, error) {
	if len(packet) > MaxMessage {
		return nil, reject(Oversized, "%d bytes, and %d are the most", len(packet), MaxMessage)
	}
	if len(packet) < headerSize {
		return nil, reject(Truncated, "%d bytes are less than a header", len(packet))
	}
	if packet[0] != magic || packet[3] != 0 {
		return nil, reject(Malformed, "%#x is no header", packet[:4])
	}
	if packet[1] != ProtocolVersion {
		return nil, reject(UnknownVersion, "protocol version %d: this end speaks %d", packet[1], ProtocolVersion)
	}
	kind, body := Kind(packet[2]), packet[headerSize:]
	if length := binary.LittleEndian.Uint32(packet[4:]); uint64(length) > uint64(len(body)) {
		return nil, reject(Truncated, "%s has %d bytes of %d", kind, len(body), length)
	} else if uint64(length) < uint64(len(body)) {
		return nil, reject(Malformed, "%s has %d bytes instead of %d", kind, len(body), length)
	}
	return d.decodeBody(kind, binary.LittleEndian.Uint64(packet[8:]), body)
}

func (d *Decoder) decodeBody(kind Kind, generation uint64, body []byte) (Message, error) {
	switch kind {
	case KindFrames:
		return d.decodeFrames(generation, body)
	case KindHeartbeat:
		return d.decodeHeartbeat(generation, body)
	case KindResult:
		return d.decodeResult(generation, body)
	case KindLoad:
		return fromJSON(body, &Load{Generation: generation})
	case KindOpenStream:
		m := &OpenStream{Generation: generation}
		if _, err := fromJSON(body, m); err != nil {
			return nil, err
		}
		if err := errors.Join(m.Format.Validate(), m.Geometry.Validate()); err != nil {
			return nil, reject(Malformed, "%s: %v", kind, err)
		}
		return m, nil
	case KindCloseStream:
		return fromJSON(body, &CloseStream{Generation: generation})
	case KindShutdown:
		return fromJSON(body, &Shutdown{Generation: generation})
	case KindHello:
		return fromJSON(body, &Hello{Generation: generation})
	case KindFault:
		return fromJSON(body, &Fault{Generation: generation})
	case KindGoodbye:
		if len(body) > 0 {
			return nil, reject(Malformed, "%s has %d bytes instead of none", kind, len(body))
		}
		return &Goodbye{Generation: generation}, nil
	}
	return nil, reject(UnknownKind, "%s", kind)
}

// fromJSON fills in m. What a message may cost in memory is bounded by MaxMessage.
func fromJSON(body []byte, m Message) (Message, error) {
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(m); err != nil {
		return nil, reject(Malformed, "%s: %v", m.kind(), err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, reject(Malformed, "%s: something follows its JSON", m.kind())
	}
	return m, nil
}

func (d *Decoder) decodeFrames(generation uint64, body []byte) (Message, error) {
	count := len(body) / recordSize
	if len(body)%recordSize != 0 || count < 1 || count > MaxBatch {
		return nil, reject(Malformed, "frames have %d bytes, which is not 1 to %d records", len(body), MaxBatch)
	}
	le := binary.LittleEndian
	for i := range count {
		r := body[i*recordSize:]
		d.records[i] = FrameRecord{
			Stream: le.Uint32(r), Slot: le.Uint32(r[4:]), Sequence: le.Uint32(r[8:]), BytesUsed: le.Uint32(r[12:]),
			Monotonic: time.Duration(le.Uint64(r[16:])), Submitted: time.Duration(le.Uint64(r[24:])),
		}
	}
	d.frames = Frames{Generation: generation, Records: d.records[:count]}
	return &d.frames, nil
}

func (d *Decoder) decodeHeartbeat(generation uint64, body []byte) (Message, error) {
	if len(body) != heartbeatSize {
		return nil, reject(Malformed, "heartbeat has %d bytes instead of %d", len(body), heartbeatSize)
	}
	stage := Stage(body[0])
	if binary.LittleEndian.Uint64(body)>>8 != 0 || stage < StageLoading || stage > StageReady {
		return nil, reject(Malformed, "heartbeat's stage is %#x", body[:8])
	}
	d.heartbeat = Heartbeat{Generation: generation, Stage: stage, Counter: binary.LittleEndian.Uint64(body[8:])}
	return &d.heartbeat, nil
}

func (d *Decoder) decodeResult(generation uint64, body []byte) (Message, error) {
	if len(body) < resultSize {
		return nil, reject(Malformed, "result has %d bytes, and %d are the least", len(body), resultSize)
	}
	le := binary.LittleEndian
	status, count := Status(body[12]), int(le.Uint16(body[14:]))
	if status > StatusFailed || body[13] > 1 {
		return nil, reject(Malformed, "result's status is %#x", body[12:14])
	}
	if count > infer.MaxDetections || status != StatusOK && count > 0 || len(body) != resultSize+count*detectionSize {
		return nil, reject(Malformed, "result of status %d has %d detections in %d bytes", status, count, len(body))
	}
	var times [4]time.Duration
	for i := range times {
		times[i] = time.Duration(le.Uint64(body[16+8*i:]))
		if times[i] < 0 {
			return nil, reject(Malformed, "result has a negative time %s", times[i])
		}
	}
	for i := range count {
		b := body[resultSize+i*detectionSize:]
		f := func(at int) float32 { return math.Float32frombits(le.Uint32(b[at:])) }
		d.detections[i] = infer.Detection{
			Class: int(le.Uint32(b)), Score: f(4), Box: infer.Box{X1: f(8), Y1: f(12), X2: f(16), Y2: f(20)},
		}
		if !sound(d.detections[i]) {
			return nil, reject(Malformed, "result's detection %v is none", d.detections[i])
		}
	}
	d.result = Result{
		Generation: generation,
		Stream:     le.Uint32(body), Slot: le.Uint32(body[4:]), Sequence: le.Uint32(body[8:]), Status: status, First: body[13] == 1,
		Timings:    infer.Timings{Queue: times[0], Preprocess: times[1], Infer: times[2], Decode: times[3]},
		Detections: d.detections[:count],
	}
	return &d.result, nil
}
