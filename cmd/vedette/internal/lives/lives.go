// Package lives keeps on disk which objects have begun and not ended, so that the next start of a service that was killed ends them.
//
// Its file has one line for each event, in order: when it was noted, in nanoseconds of the wall clock, a blank, and the
// message as it was given to the outbox. A line without a message says that everything before it has been there for long
// enough for the outbox to have it on its disk.
package lives

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"time"
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

// Journal is that file. Note never waits for the disk.
type Journal struct {
	path   string
	logger *slog.Logger
	wake   chan struct{}

	mu      sync.Mutex // guards the rest
	open    map[string]line
	waiting []byte // lines that are not in the file
	lost    bool   // some did not find room there
	weighty bool   // among them is a beginning or an end

	// Of Run's goroutine.
	file   *os.File
	size   int64
	failed bool
}

type line struct {
	order   uint64
	message []byte
}

// Left is what a life that was cut off has left.
type Left struct {
	// Again are the last messages, which the outbox may have lost: they are to be sent again as they are, with their own epoch
	// and seq, so that subscribers who have them know them.
	Again []Message
	// Open are the last messages of objects that have not ended: see EndOf.
	Open []Message
}

// Message is an event as it was published.
type Message struct {
	Camera string
	ID     string
	Text   []byte
}

// head is what is read of a message.
type head struct {
	Type   string `json:"type"`
	ID     string `json:"id"`
	Camera string `json:"camera"`
}

// Open reads what was left. A file that cannot be read is said in the log, and what it had is not ended.
func Open(path string, logger *slog.Logger) (*Journal, Left) {
	j := &Journal{path: path, logger: logger, wake: make(chan struct{}, 1), open: map[string]line{}}
	text, err := readBounded(path)
	if err != nil {
		logger.Error("objects that were open when the service was last killed will have no end", "error", err)
		return j, Left{}
	}
	return j, j.recall(text)
}

func readBounded(path string) ([]byte, error) {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("cannot read the open objects: %w", err)
	case info.Size() > maxFile:
		return nil, fmt.Errorf("cannot read the open objects: %s has more than %d bytes", path, maxFile)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("cannot read the open objects: %w", err)
	}
	return text, nil
}

// recall goes through the file. Lines that are torn or damaged are passed over.
func (j *Journal) recall(text []byte) (left Left) {
	type noted struct {
		at int64
		Message
	}
	var all []noted
	latest, damaged := int64(0), 0
	for raw := range bytes.Lines(text) {
		stamp, message, _ := bytes.Cut(bytes.TrimSuffix(raw, []byte("\n")), []byte(" "))
		at, err := strconv.ParseInt(string(stamp), 10, 64)
		var h head
		if err == nil && len(message) > 0 {
			err = json.Unmarshal(message, &h)
		}
		if err != nil || len(message) > 0 && (h.ID == "" || h.Camera == "") || len(raw) > maxLine {
			damaged++
			continue
		}
		latest = max(latest, at)
		if len(message) == 0 {
			continue
		}
		j.note(h.ID, h.Type, message)
		all = append(all, noted{at, Message{h.Camera, h.ID, slices.Clone(message)}})
	}
	if damaged > 0 {
		j.logger.Warn("lines of the open objects' file are damaged", "lines", damaged, "path", j.path)
	}
	for _, n := range all {
		if n.at > latest-int64(settles) && latest > 0 && !settled(text) {
			left.Again = append(left.Again, n.Message)
		}
	}
	for _, n := range all {
		if l, ok := j.open[n.ID]; ok && bytes.Equal(l.message, n.Text) {
			left.Open = append(left.Open, n.Message)
		}
	}
	return left
}

// settled tells whether the last line says that all before it is safe.
func settled(text []byte) bool {
	text = bytes.TrimSuffix(text, []byte("\n"))
	last := text[bytes.LastIndexByte(text, '\n')+1:]
	return len(last) > 0 && !bytes.ContainsRune(last, ' ')
}

// note keeps which objects are open.
func (j *Journal) note(id, kind string, message []byte) {
	if kind == "end" {
		delete(j.open, id)
		return
	}
	order := uint64(len(j.open))
	if l, ok := j.open[id]; ok {
		order = l.order
	} else {
		for _, l := range j.open {
			order = max(order, l.order+1)
		}
	}
	j.open[id] = line{order, slices.Clone(message)}
}

// Note notes an event that was given to the outbox.
func (j *Journal) Note(id, kind string, message []byte) {
	j.mu.Lock()
	j.note(id, kind, message)
	full := len(j.waiting)+len(message) > maxWaiting
	if !full {
		j.waiting = strconv.AppendInt(j.waiting, time.Now().UnixNano(), 10)
		j.waiting = append(append(append(j.waiting, ' '), message...), '\n')
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
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	dirty, calm := false, true // whether a sync is due; whether the file says that all is safe
	synced := time.Now()
	for {
		select {
		case <-ctx.Done():
			j.write()
			if j.openObjects() == 0 {
				j.rewrite()
			}
			if j.file != nil {
				return errors.Join(j.file.Sync(), j.file.Close())
			}
			return nil
		case <-j.wake:
			dirty = j.write() || dirty
			calm = false
			if dirty && time.Since(synced) >= time.Second {
				j.sync()
				synced, dirty = time.Now(), false
			}
			timer.Reset(settles)
		case <-timer.C:
			if calm {
				timer.Reset(time.Hour)
				continue
			}
			calm = true
			if j.size > rewriteAt || j.openObjects() == 0 {
				j.rewrite()
			}
			j.append(append(strconv.AppendInt(nil, time.Now().UnixNano(), 10), '\n'))
			j.sync()
			synced, dirty = time.Now(), false
		}
	}
}

func (j *Journal) openObjects() int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return len(j.open)
}

// write appends what waits, and tells whether a beginning or an end was among it.
func (j *Journal) write() (weighty bool) {
	j.mu.Lock()
	text := j.waiting
	weighty = j.weighty
	j.waiting, j.weighty = nil, false
	j.mu.Unlock()
	if len(text) > 0 {
		j.append(text)
	}
	return weighty
}

func (j *Journal) append(text []byte) {
	if j.file == nil {
		file, err := os.OpenFile(j.path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
		if err != nil {
			j.fail(err)
			return
		}
		j.file = file
		if info, err := file.Stat(); err == nil {
			j.size = info.Size()
		}
	}
	n, err := j.file.Write(text)
	j.size += int64(n)
	j.fail(err)
}

func (j *Journal) sync() {
	if j.file != nil {
		j.fail(j.file.Sync())
	}
}

// fail says once that the disk does not take it, and once that it does again.
func (j *Journal) fail(err error) {
	switch {
	case err != nil && !j.failed:
		j.logger.Error("cannot note which objects are open: after a crash they would have no end", "error", err)
	case err == nil && j.failed:
		j.logger.Info("which objects are open is noted again")
	}
	j.failed = err != nil
}

// rewrite makes the file anew, with the objects that are open.
func (j *Journal) rewrite() {
	j.mu.Lock()
	lines := make([]line, 0, len(j.open))
	for _, l := range j.open {
		lines = append(lines, l)
	}
	j.mu.Unlock()
	slices.SortFunc(lines, func(a, b line) int { return int(a.order) - int(b.order) })
	var text []byte
	// Old enough not to be sent again: it was settled.
	at := time.Now().Add(-2 * settles).UnixNano()
	for _, l := range lines {
		text = strconv.AppendInt(text, at, 10)
		text = append(append(append(text, ' '), l.message...), '\n')
	}
	fresh := filepath.Join(filepath.Dir(j.path), "."+filepath.Base(j.path)+".new")
	err := os.WriteFile(fresh, text, 0o600)
	if err == nil {
		err = os.Rename(fresh, j.path)
	}
	j.fail(err)
	if err == nil && j.file != nil {
		_ = j.file.Close() // what it had is in the new one
		j.file = nil
	}
}

// wire is a message of docs/schema/event.schema.json.
type wire struct {
	V         json.RawMessage `json:"v"`
	Type      string          `json:"type"`
	ID        string          `json:"id"`
	Camera    string          `json:"camera"`
	Reason    string          `json:"reason"`
	Epoch     string          `json:"epoch"`
	Seq       uint64          `json:"seq"`
	Time      json.RawMessage `json:"time"`
	Clock     json.RawMessage `json:"clock"`
	BootID    json.RawMessage `json:"boot_id"`
	Monotonic json.RawMessage `json:"monotonic_ns"`
	Sequence  json.RawMessage `json:"sequence"`
	Before    json.RawMessage `json:"before"`
	After     json.RawMessage `json:"after"`
}

// EndOf makes the end of an object of its last message: as it was last told, for a reason, with a new epoch and seq. Its times are
// those of that message, in that boot.
func EndOf(message []byte, reason string) (func(dst []byte, epoch string, seq uint64) []byte, error) {
	var m wire
	if err := json.Unmarshal(message, &m); err != nil {
		return nil, fmt.Errorf("cannot end an object: %w", err)
	}
	m.Type, m.Reason, m.Before = "end", reason, m.After
	for _, part := range []json.RawMessage{m.V, m.Time, m.Clock, m.BootID, m.Monotonic, m.Sequence, m.After} {
		if len(part) == 0 {
			return nil, errors.New("cannot end an object: its last message is not whole")
		}
	}
	return func(dst []byte, epoch string, seq uint64) []byte {
		m.Epoch, m.Seq = epoch, seq
		text, err := json.Marshal(m)
		if err != nil { // parts that were read can be written
			return dst
		}
		return append(dst, text...)
	}, nil
}
