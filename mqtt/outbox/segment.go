package outbox

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// segment is a stretch of the log: in memory, in a file, or both. Its file belongs to the goroutine that writes; the rest is
// guarded by the outbox's mutex.
type segment struct {
	header header
	known  bool // the header is good: epoch and time hold

	number uint64 // of its file; 0: it has none yet
	file   File   // nil: none is open

	data    []byte // nil: it is on the disk alone
	loaded  bool   // data came from the disk: it has the messages that are not acknowledged, and nothing else
	unread  bool   // it could not be read at the start: what it has is not known
	failed  int    // how often it could not be read since
	size    int64  // bytes in the file, of one that another life wrote
	written int    // bytes of data that are in the file, of one that this life wrote
	synced  int    // bytes of data that are on the disk for sure

	messages int    // that it has, but for those that were acknowledged in another life
	acked    int    // how many of these are
	skip     uint64 // up to this sequence messages were acknowledged in another life
	next     int    // where in data the sender goes on
	gone     bool   // acknowledged as a whole, or given up
}

func newSegment(h header) *segment {
	return &segment{header: h, known: true, data: h.append(nil), next: headerSize}
}

func (s *segment) depth() int { return s.messages - s.acked }

// mine tells whether this life writes the segment.
func (s *segment) mine() bool { return s.size == 0 }

// unwritten is how many bytes are in memory alone.
func (s *segment) unwritten() int {
	if !s.mine() || s.data == nil {
		return 0
	}
	return len(s.data) - s.written
}

// bytes is what a segment counts towards the bound.
func (s *segment) bytes() int64 {
	n := max(s.size, int64(s.written))
	if s.mine() && s.data != nil {
		n = int64(len(s.data))
	}
	return max(n, block)
}

// block is what a file takes on a disk at least.
const block = 4096

func (s *segment) full() bool { return len(s.data) >= segmentSize }

// old tells whether the segment was made longer than limit before now. What the clocks do not tell is not old.
func (s *segment) old(now Stamp, limit time.Duration) bool {
	made := s.header.made
	switch {
	case !s.known:
		return false
	case made.Boot == now.Boot:
		return now.Uptime-made.Uptime > limit
	case made.Synced && now.Synced:
		return now.Wall.Sub(made.Wall) > limit
	}
	return false
}

const suffix = ".seg"

func fileName(number uint64) string { return fmt.Sprintf("%016x%s", number, suffix) }

// fileNumber reads a segment's name; ok is false for another file's.
func fileNumber(name string) (number uint64, ok bool) {
	digits, found := strings.CutSuffix(name, suffix)
	if !found || len(digits) != 16 {
		return 0, false
	}
	number, err := strconv.ParseUint(digits, 16, 64)
	return number, err == nil && number > 0
}
