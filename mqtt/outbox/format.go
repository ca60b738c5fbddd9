package outbox

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"hash/crc32"
	"time"
)

// Sizes of the format, in bytes. docs/OUTBOX.md has the offsets.
const (
	headerSize   = 64
	recordHead   = 16
	topicHead    = 2
	segmentSize  = 256 << 10 // a segment that has reached it is full
	maxMessage   = 1 << 20   // topic and payload: a message of more is no message
	maxSegment   = headerSize + segmentSize + recordHead + topicHead + maxMessage
	maxTopic     = 1<<16 - 1
	version      = 1
	wallIsSynced = 1 // flag of a header: the clock was right when the segment was made
)

const magic = "VEDOUTBX"

// kind says what a record is.
type kind byte

const (
	message      kind = 1 // body: length of the topic, topic, payload
	acknowledged kind = 2 // all up to the record's sequence is with the broker; body: the epoch, where it is another's
	closed       kind = 3 // the outbox was closed in good order; the record's sequence was the last to be given
)

// Epoch is what sequence numbers count up in.
type Epoch [8]byte

func newEpoch() (e Epoch) {
	_, _ = rand.Read(e[:]) // crypto/rand.Read never fails
	return e
}

// String is the form that messages carry.
func (e Epoch) String() string { return hex.EncodeToString(e[:]) }

// Stamp is a moment on the machine's clocks.
type Stamp struct {
	Boot   [16]byte      // the kernel's id of the boot
	Uptime time.Duration // since then, suspension included
	Wall   time.Time
	Synced bool // whether the wall clock is to be trusted
}

// header begins a segment.
type header struct {
	epoch Epoch
	made  Stamp
}

// castagnoli is CRC32C. The table is the standard library's, made once.
func castagnoli(crc uint32, data []byte) uint32 {
	return crc32.Update(crc, crc32.MakeTable(crc32.Castagnoli), data)
}

func (h header) append(dst []byte) []byte {
	var b [headerSize]byte
	copy(b[:], magic)
	binary.LittleEndian.PutUint16(b[8:], version)
	if h.made.Synced {
		binary.LittleEndian.PutUint16(b[10:], wallIsSynced)
	}
	copy(b[16:], h.epoch[:])
	copy(b[24:], h.made.Boot[:])
	binary.LittleEndian.PutUint64(b[40:], uint64(h.made.Uptime))
	binary.LittleEndian.PutUint64(b[48:], uint64(h.made.Wall.UnixNano()))
	binary.LittleEndian.PutUint32(b[12:], castagnoli(0, b[:]))
	return append(dst, b[:]...)
}

// readHeader gives false for what is no whole header of this version.
func readHeader(data []byte) (h header, ok bool) {
	if len(data) < headerSize || string(data[:8]) != magic || binary.LittleEndian.Uint16(data[8:]) != version {
		return h, false
	}
	b := [headerSize]byte(data)
	clear(b[12:16])
	if castagnoli(0, b[:]) != binary.LittleEndian.Uint32(data[12:]) {
		return h, false
	}
	copy(h.epoch[:], b[16:])
	copy(h.made.Boot[:], b[24:])
	h.made.Uptime = time.Duration(binary.LittleEndian.Uint64(b[40:]))
	h.made.Wall = time.Unix(0, int64(binary.LittleEndian.Uint64(b[48:])))
	h.made.Synced = binary.LittleEndian.Uint16(b[10:])&wallIsSynced != 0
	return h, true
}

// record is one entry of a segment.
type record struct {
	kind kind
	seq  uint64
	body []byte
}

// beginRecord leaves room for what endRecord fills in.
func beginRecord(dst []byte) []byte { return append(dst, make([]byte, recordHead)...) }

// endRecord completes the record that begins at start and has its body behind its head.
func endRecord(data []byte, start int, k kind, seq uint64) {
	head := data[start : start+recordHead]
	body := data[start+recordHead:]
	binary.LittleEndian.PutUint32(head, uint32(k)<<24|uint32(len(body)))
	binary.LittleEndian.PutUint64(head[4:], seq)
	binary.LittleEndian.PutUint32(head[12:], castagnoli(castagnoli(0, head[:12]), body))
}

func appendRecord(dst []byte, k kind, seq uint64, body []byte) []byte {
	start := len(dst)
	dst = append(beginRecord(dst), body...)
	endRecord(dst, start, k, seq)
	return dst
}

// beginMessage begins a message's record; the payload follows, then endRecord.
func beginMessage(dst []byte, topic string) []byte {
	dst = beginRecord(dst)
	dst = binary.LittleEndian.AppendUint16(dst, uint16(len(topic)))
	return append(dst, topic...)
}

// splitMessage takes a message's body apart.
func splitMessage(body []byte) (topic, payload []byte, ok bool) {
	if len(body) < topicHead {
		return nil, nil, false
	}
	n := int(binary.LittleEndian.Uint16(body))
	if len(body) < topicHead+n {
		return nil, nil, false
	}
	return body[topicHead : topicHead+n], body[topicHead+n:], true
}

// readRecord reads the record at the beginning of data; ok is false where there is no good one. size is what it takes.
func readRecord(data []byte) (r record, size int, ok bool) {
	if r, size, ok = readHead(data); !ok {
		return r, 0, false
	}
	r.body = data[recordHead:size]
	if castagnoli(castagnoli(0, data[:12]), r.body) != binary.LittleEndian.Uint32(data[12:]) {
		return r, 0, false
	}
	if r.kind == message {
		_, _, ok = splitMessage(r.body)
	}
	return r, size, ok
}

// readHead tells cheaply whether there may be a record at the beginning of data.
func readHead(data []byte) (r record, size int, ok bool) {
	if len(data) < recordHead {
		return r, 0, false
	}
	word := binary.LittleEndian.Uint32(data)
	n := int(word & (1<<24 - 1))
	r.kind, r.seq = kind(word>>24), binary.LittleEndian.Uint64(data[4:])
	size = recordHead + n
	switch r.kind {
	case message:
		ok = n >= topicHead && n <= topicHead+maxMessage
	case acknowledged:
		ok = n == 0 || n == len(Epoch{})
	case closed:
		ok = n == 0
	}
	return r, size, ok && size <= len(data) && r.seq > 0
}
