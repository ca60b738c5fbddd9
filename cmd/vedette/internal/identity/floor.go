package identity

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"vedette/whole"
)

// raiseEvery is how often the floor is written at most: it costs a block of flash.
const raiseEvery = time.Hour

// Floor is a time that it is not before: the last one that a clock that was set has shown, kept over restarts. It stands in
// where a board without a battery does not know the time. Its methods may be called from any goroutine.
type Floor struct {
	path string // empty: it is not kept

	mu      sync.Mutex
	at      time.Time // the floor
	since   time.Time // when it was learnt, for the monotonic clock: the floor rises with time
	written time.Time
}

// OpenFloor reads the floor. One that cannot be read is none: the error says so, and the floor is usable.
func OpenFloor(path string) (*Floor, error) {
	f := &Floor{path: path}
	if path == "" {
		return f, nil
	}
	file, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return f, nil
	}
	if err != nil {
		return f, fmt.Errorf("cannot read the time floor: %w", err)
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, 64))
	if err != nil {
		return f, fmt.Errorf("cannot read the time floor: %w", err)
	}
	at, err := time.Parse(time.RFC3339, strings.TrimSpace(string(text)))
	if err != nil {
		return f, fmt.Errorf("cannot read the time floor %s: %w", path, err)
	}
	f.at, f.since, f.written = at, time.Now(), at
	return f, nil
}

// Now is the earliest that it may be; zero where nothing is known.
func (f *Floor) Now() time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.at.IsZero() {
		return f.at
	}
	return f.at.Add(time.Since(f.since))
}

// Raise notes what a clock that is set shows, and writes it where the last time that was done is an hour ago, or at once with
// last. Time never goes back.
func (f *Floor) Raise(now time.Time, last bool) error {
	f.mu.Lock()
	if now.After(f.at) {
		f.at, f.since = now, time.Now()
	}
	at, due := f.at, f.path != "" && (last || f.at.Sub(f.written) >= raiseEvery)
	f.mu.Unlock()
	if !due {
		return nil
	}
	if err := whole.Write(f.path, 0o600, at.UTC().AppendFormat(nil, time.RFC3339+"\n")); err != nil {
		return fmt.Errorf("cannot keep the time floor: %w", err)
	}
	f.mu.Lock()
	f.written = at
	f.mu.Unlock()
	return nil
}
