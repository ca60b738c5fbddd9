package command

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	"vedette/whole"
)

// entry is what is remembered of one command. Its first line is written before it is carried out: a service that dies over
// it does not do it twice.
type entry struct {
	ID   string `json:"id"`
	Sum  string `json:"sum"`
	Done bool   `json:"done"`
	OK   bool   `json:"ok,omitempty"`
	// Error is cut where it is long: it is there to be read by a person.
	Error string `json:"error,omitempty"`
}

// Bounds of a line and of the file, which is written anew beyond its own.
const (
	maxError = 512
	maxLine  = 4 << 10
	maxFile  = 4 * remembered * 256
)

// memory is which commands were seen: a file to which lines are added, of which the last one of an id counts.
type memory struct {
	path string // empty: it lasts as long as the process
	size int64  // of the file; keep's own

	mu      sync.Mutex // guards the rest; never held over the file
	entries map[string]entry
	order   []string // ids, the oldest first
}

// openMemory reads what is remembered. What cannot be read of it is passed over: a power cut may have torn the last line. The
// error says why the file as a whole could not be read; the memory is usable all the same.
func openMemory(path string) (*memory, error) {
	m := &memory{path: path, entries: map[string]entry{}}
	if path == "" {
		return m, nil
	}
	file, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return m, nil
	}
	if err != nil {
		return m, fmt.Errorf("cannot read which commands were obeyed: %w", err)
	}
	defer file.Close()
	if err := m.read(io.LimitReader(file, 2*maxFile)); err != nil {
		return m, fmt.Errorf("cannot read which commands were obeyed: %w", err)
	}
	for id, e := range m.entries {
		if !e.Done {
			m.entries[id] = entry{ID: id, Sum: e.Sum, Done: true, Error: "the service ended while it was carried out: its outcome is not known"}
		}
	}
	return m, nil
}

// lookup gives what is remembered of a command.
func (m *memory) lookup(id string) (entry, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	e, known := m.entries[id]
	return e, known
}

func (m *memory) read(from io.Reader) error {
	lines := bufio.NewReaderSize(from, maxLine)
	for {
		line, err := lines.ReadSlice('\n')
		m.size += int64(len(line))
		var e entry
		if err == nil && json.Unmarshal(line, &e) == nil && validID.MatchString(e.ID) {
			m.note(e)
		}
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil && !errors.Is(err, bufio.ErrBufferFull):
			return err
		}
	}
}

// note remembers an entry, and gives it as it is remembered.
func (m *memory) note(e entry) entry {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(e.Error) > maxError {
		e.Error = e.Error[:maxError]
	}
	if _, known := m.entries[e.ID]; !known {
		m.order = append(m.order, e.ID)
	}
	m.entries[e.ID] = e
	for len(m.order) > remembered {
		delete(m.entries, m.order[0])
		m.order = m.order[1:]
	}
	return e
}

// keep writes an entry that was noted; it is called by one goroutine. With sync it is on the disk when keep returns.
func (m *memory) keep(e entry, sync bool) error {
	if m.path == "" {
		return nil
	}
	line, err := json.Marshal(e)
	if err != nil {
		return err
	}
	if m.size > maxFile {
		return m.rewrite()
	}
	file, err := os.OpenFile(m.path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	// A torn line of before must not spoil this one.
	n, err := file.Write(append(append([]byte{'\n'}, line...), '\n'))
	m.size += int64(n)
	if err == nil && sync {
		err = file.Sync()
	}
	return errors.Join(err, file.Close())
}

// rewrite puts what is remembered into a new file, whole or not at all.
func (m *memory) rewrite() error {
	m.mu.Lock()
	all := make([]entry, 0, len(m.order))
	for _, id := range m.order {
		all = append(all, m.entries[id])
	}
	m.mu.Unlock()
	var text bytes.Buffer
	for _, e := range all {
		line, err := json.Marshal(e)
		if err != nil {
			return err
		}
		text.Write(append(line, '\n'))
	}
	if err := whole.Write(m.path, 0o600, text.Bytes()); err != nil {
		return err
	}
	m.size = int64(text.Len())
	return nil
}
