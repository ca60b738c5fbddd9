// Package lives keeps on disk which objects have begun and not ended, so that the next start of a service that was killed ends them.
//
// Its file has one line for each event, in order: the message as it was given to the outbox. While there are events a line with a
// dash, a mark, follows every two seconds, and one more when there are none. What is before the last mark but one has been there for
// long enough for the outbox to have it on its disk, whatever the machine's clock did meanwhile.
package lives

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"vedette/whole"
)

// Bounds: of what is read at the start, of what waits for the disk, and of the file before it is written anew.
const (
	maxFile    = 16 << 20
	maxWaiting = 4 << 20
	maxLine    = 64 << 10
	rewriteAt  = 256 << 10
)

// settles is after how long what was noted is on the outbox's disk for sure: it syncs within 1 s.
const settles = 2 * time.Second

// syncEvery is how often the file is synced at most, and only after beginnings and ends: each sync costs flash some blocks.
const syncEvery = time.Second

const mark = "-\n"

// Journal is that file. Note never waits for the disk.
type Journal struct {
	path   string
	logger *slog.Logger
	wake   chan struct{} // one is enough: everything is written

	mu      sync.Mutex // guards the rest
	open    map[string]line
	begun   uint64 // objects, ever
	waiting []byte // lines and marks that are not in the file
	recent  []byte // lines since the last mark
	lost    bool   // some did not find room there: the file is to be written anew
	weighty bool   // among what waits is a beginning or an end

	// Of Run's goroutine.
	file   *os.File
	size   int64
	least  int64 // bytes of what was open when it was last written anew
	dirty  bool  // a beginning or an end is not synced
	synced time.Time
	failed bool

	written, syncs atomic.Uint64
}

// Stats are what the journal has cost the disk since its start.
type Stats struct {
	Written uint64 // bytes
	Syncs   uint64 // of the file; where it is written anew, of its folder as well
}

// Stats may be called from any goroutine.
func (j *Journal) Stats() Stats { return Stats{Written: j.written.Load(), Syncs: j.syncs.Load()} }

// line is the last message of an object.
type line struct {
	Message
	order uint64
}

// note keeps which objects are open.
func (j *Journal) note(kind string, m Message) {
	if kind == "end" {
		delete(j.open, m.ID)
		return
	}
	l, known := j.open[m.ID]
	if !known {
		j.begun++
		l.order = j.begun
	}
	l.Message = m
	j.open[m.ID] = l
}

// inOrder are the open objects, as they began.
func (j *Journal) inOrder() []line {
	lines := make([]line, 0, len(j.open))
	for _, l := range j.open {
		lines = append(lines, l)
	}
	slices.SortFunc(lines, func(a, b line) int { return cmp.Compare(a.order, b.order) })
	return lines
}

// Note notes an event that was given to the outbox.
func (j *Journal) Note(id, kind string, message []byte) {
	j.mu.Lock()
	j.note(kind, Message{ID: id, Text: slices.Clone(message)})
	full := max(len(j.waiting), len(j.recent))+len(message) >= maxWaiting
	if !full {
		j.waiting = append(append(j.waiting, message...), '\n')
		j.recent = append(append(j.recent, message...), '\n')
		j.weighty = j.weighty || kind != "update"
	}
	said := j.lost
	j.lost = j.lost || full
	j.mu.Unlock()
	if full && !said {
		j.logger.Error("the disk does not take which objects are open: after a crash they would have no end", "path", j.path)
	}
	select {
	case j.wake <- struct{}{}:
	default:
	}
}

// Run writes what is noted until ctx ends. Then it writes the rest; where nothing is open it leaves an empty file.
func (j *Journal) Run(ctx context.Context) error {
	timer := time.NewTimer(settles)
	defer timer.Stop()
	j.mu.Lock()
	ticking := len(j.recent) > 0 // until everything is in the file, with the marks that say that it is safe
	j.mu.Unlock()
	if !ticking {
		timer.Stop()
	}
	for {
		select {
		case <-ctx.Done():
			return j.close()
		case <-j.wake:
			if j.write() && j.dirty && time.Since(j.synced) >= syncEvery {
				j.sync()
			}
			if !ticking {
				timer.Reset(settles)
				ticking = true
			}
		case <-timer.C:
			if ticking = j.tick(); ticking {
				timer.Reset(settles)
			}
		}
	}
}

// tick puts a mark, in a file that is not too long. It tells whether another has to follow.
func (j *Journal) tick() (again bool) {
	j.mu.Lock()
	anew := j.lost || j.size > max(rewriteAt, 2*j.least)
	again = len(j.recent) > 0
	if !anew && len(j.waiting) < maxWaiting {
		j.waiting, j.recent = append(j.waiting, mark...), nil
	}
	j.mu.Unlock()
	ok := false
	if anew {
		ok = j.rewrite()
	} else {
		ok = j.write() && (!j.dirty || j.sync())
	}
	if ok && j.failed {
		j.failed = false
		j.logger.Info("which objects are open is noted again")
	}
	return again || !ok
}

// write appends what waits, and tells whether it could. What the disk does not take goes on waiting, from the byte on that it did
// not take.
func (j *Journal) write() bool {
	j.mu.Lock()
	text, weighty := j.waiting, j.weighty
	j.weighty = false
	j.mu.Unlock()
	if len(text) == 0 {
		return true
	}
	n, err := j.append(text)
	j.dirty = j.dirty || weighty
	j.mu.Lock()
	if j.waiting = j.waiting[n:]; len(j.waiting) == 0 {
		j.waiting = nil
	}
	j.mu.Unlock()
	return j.succeeded(err)
}

func (j *Journal) append(text []byte) (int, error) {
	if j.file == nil {
		file, err := os.OpenFile(j.path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
		if err != nil {
			return 0, err
		}
		j.file = file
		if info, err := file.Stat(); err == nil {
			j.size = info.Size()
		}
	}
	n, err := j.file.Write(text)
	j.size += int64(n)
	j.written.Add(uint64(n))
	return n, err
}

func (j *Journal) sync() bool {
	if j.file == nil {
		return true
	}
	err := j.file.Sync()
	j.syncs.Add(1)
	j.synced, j.dirty = time.Now(), err != nil
	return j.succeeded(err)
}

// succeeded says once that the disk does not take it.
func (j *Journal) succeeded(err error) bool {
	if err != nil && !j.failed {
		j.failed = true
		j.logger.Error("cannot note which objects are open: after a crash they would have no end", "error", err)
	}
	return err == nil
}

// rewrite makes the file anew: the objects that are open, and what came since the last mark, which may have to be sent again.
func (j *Journal) rewrite() bool {
	j.mu.Lock()
	var text []byte
	for _, l := range j.inOrder() {
		text = append(append(text, l.Text...), '\n')
	}
	least := int64(len(text))
	text = append(text, mark...)
	if !j.lost { // with a gap in it, it might tell of an object that has ended meanwhile
		text = append(text, j.recent...)
	}
	text = append(text, mark...)
	held, recent := len(j.waiting), len(j.recent)
	j.mu.Unlock()
	err := j.replace(text)
	if j.file != nil {
		_ = j.file.Close() // it is another file now, also where only the folder could not be synced
		j.file = nil
	}
	if err != nil {
		return j.succeeded(err)
	}
	j.size, j.least, j.synced, j.dirty = int64(len(text)), least, time.Now(), false
	j.mu.Lock()
	j.waiting, j.recent, j.lost = slices.Clone(j.waiting[held:]), slices.Clone(j.recent[recent:]), false
	j.mu.Unlock()
	return true
}

func (j *Journal) close() error {
	j.write()
	j.mu.Lock()
	ended := len(j.open) == 0
	j.mu.Unlock()
	var err error
	if j.file != nil {
		j.syncs.Add(1)
		err = errors.Join(j.file.Sync(), j.file.Close())
	}
	if ended {
		err = j.replace(nil)
	}
	return err
}

func (j *Journal) replace(text []byte) error {
	j.written.Add(uint64(len(text)))
	j.syncs.Add(2)
	return whole.Write(j.path, 0o600, text)
}
