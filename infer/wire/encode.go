package wire

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"time"

	"vedette/infer"
)

const (
	magic         = 'V'
	headerSize    = 16
	recordSize    = 32
	heartbeatSize = 16
	resultSize    = 48
	detectionSize = 24
)

// Append appends a message's packet to dst. It fails on what the other end would reject.
func Append(dst []byte, m Message) ([]byte, error) {
	start := len(dst)
	dst = append(dst, magic, ProtocolVersion, byte(m.kind()), 0, 0, 0, 0, 0)
	dst = binary.LittleEndian.AppendUint64(dst, m.generation())
	dst, err := m.appendBody(dst)
	if err != nil {
		return nil, fmt.Errorf("cannot encode %s: %w", m.kind(), err)
	}
	size := len(dst) - start
	if size > MaxMessage {
		return nil, fmt.Errorf("cannot encode %s: it has %d bytes, and %d are the most", m.kind(), size, MaxMessage)
	}
	binary.LittleEndian.PutUint32(dst[start+4:], uint32(size-headerSize))
	return dst, nil
}

func appendJSON(dst []byte, v any) ([]byte, error) {
	body, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	return append(dst, body...), nil
}

func (m Load) appendBody(dst []byte) ([]byte, error)        { return appendJSON(dst, m) }
func (m OpenStream) appendBody(dst []byte) ([]byte, error)  { return appendJSON(dst, m) }
func (m CloseStream) appendBody(dst []byte) ([]byte, error) { return appendJSON(dst, m) }
func (m Shutdown) appendBody(dst []byte) ([]byte, error)    { return appendJSON(dst, m) }
func (m Hello) appendBody(dst []byte) ([]byte, error)       { return appendJSON(dst, m) }
func (m Goodbye) appendBody(dst []byte) ([]byte, error)     { return dst, nil }

// appendBody cuts texts that would not fit: half a traceback is better than no fault at all.
func (m Fault) appendBody(dst []byte) ([]byte, error) {
	const maxText = 4 << 10
	m.Kind = m.Kind[:min(len(m.Kind), maxText)]
	m.Message = m.Message[:min(len(m.Message), maxText)]
	for {
		body, err := json.Marshal(m)
		if err != nil || len(body) <= MaxMessage-headerSize {
			return append(dst, body...), err
		}
		m.Traceback = m.Traceback[:len(m.Traceback)/2]
	}
}

func (m Frames) appendBody(dst []byte) ([]byte, error) {
	if len(m.Records) < 1 || len(m.Records) > MaxBatch {
		return nil, fmt.Errorf("%d records are not 1 to %d", len(m.Records), MaxBatch)
	}
	le := binary.LittleEndian
	for _, r := range m.Records {
		dst = le.AppendUint32(dst, r.Stream)
		dst = le.AppendUint32(dst, r.Slot)
		dst = le.AppendUint32(dst, r.Sequence)
		dst = le.AppendUint32(dst, r.BytesUsed)
		dst = le.AppendUint64(dst, uint64(r.Monotonic))
		dst = le.AppendUint64(dst, uint64(r.Submitted))
	}
	return dst, nil
}

func (m Heartbeat) appendBody(dst []byte) ([]byte, error) {
	if m.Stage < StageLoading || m.Stage > StageReady {
		return nil, fmt.Errorf("unknown %s", m.Stage)
	}
	dst = append(dst, byte(m.Stage), 0, 0, 0, 0, 0, 0, 0)
	return binary.LittleEndian.AppendUint64(dst, m.Counter), nil
}

func (m Result) appendBody(dst []byte) ([]byte, error) {
	if m.Status > StatusFailed {
		return nil, fmt.Errorf("unknown status %d", m.Status)
	}
	if len(m.Detections) > infer.MaxDetections || m.Status != StatusOK && len(m.Detections) > 0 {
		return nil, fmt.Errorf("%d detections do not go with status %d; %d are the most",
			len(m.Detections), m.Status, infer.MaxDetections)
	}
	le := binary.LittleEndian
	dst = le.AppendUint32(dst, m.Stream)
	dst = le.AppendUint32(dst, m.Slot)
	dst = le.AppendUint32(dst, m.Sequence)
	first := byte(0)
	if m.First {
		first = 1
	}
	dst = append(dst, byte(m.Status), first)
	dst = le.AppendUint16(dst, uint16(len(m.Detections)))
	for _, d := range [4]time.Duration{m.Timings.Queue, m.Timings.Preprocess, m.Timings.Infer, m.Timings.Decode} {
		if d < 0 {
			return nil, fmt.Errorf("negative time %s", d)
		}
		dst = le.AppendUint64(dst, uint64(d))
	}
	for _, d := range m.Detections {
		if !sound(d) {
			return nil, fmt.Errorf("detection %v is none", d)
		}
		dst = le.AppendUint32(dst, uint32(d.Class))
		for _, v := range [5]float32{d.Score, d.Box.X1, d.Box.Y1, d.Box.X2, d.Box.Y2} {
			dst = le.AppendUint32(dst, math.Float32bits(v))
		}
	}
	return dst, nil
}

// sound is what both ends hold a detection to: numbers that are numbers. A NaN would poison every track and every JSON
// document that it comes to.
func sound(d infer.Detection) bool {
	score := float64(d.Score)
	return d.Class >= 0 && d.Class <= math.MaxInt32 && d.Box.Finite() && !math.IsNaN(score) && !math.IsInf(score, 0)
}

func (m Load) kind() Kind        { return KindLoad }
func (m OpenStream) kind() Kind  { return KindOpenStream }
func (m CloseStream) kind() Kind { return KindCloseStream }
func (m Frames) kind() Kind      { return KindFrames }
func (m Shutdown) kind() Kind    { return KindShutdown }
func (m Hello) kind() Kind       { return KindHello }
func (m Heartbeat) kind() Kind   { return KindHeartbeat }
func (m Result) kind() Kind      { return KindResult }
func (m Fault) kind() Kind       { return KindFault }
func (m Goodbye) kind() Kind     { return KindGoodbye }

func (m Load) generation() uint64        { return m.Generation }
func (m OpenStream) generation() uint64  { return m.Generation }
func (m CloseStream) generation() uint64 { return m.Generation }
func (m Frames) generation() uint64      { return m.Generation }
func (m Shutdown) generation() uint64    { return m.Generation }
func (m Hello) generation() uint64       { return m.Generation }
func (m Heartbeat) generation() uint64   { return m.Generation }
func (m Result) generation() uint64      { return m.Generation }
func (m Fault) generation() uint64       { return m.Generation }
func (m Goodbye) generation() uint64     { return m.Generation }
