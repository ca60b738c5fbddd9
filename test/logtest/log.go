// Package logtest keeps what a program says, for tests that read it while it is written.
package logtest

import (
	"bytes"
	"strings"
	"sync"
)

// Log takes what is written to it. Its methods may be called from any goroutine; the zero value is empty.
type Log struct {
	mu   sync.Mutex
	text bytes.Buffer
}

// Write is an io.Writer's. It never fails.
func (l *Log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

// String is all that was written so far.
func (l *Log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// Lines are those that contain word.
func (l *Log) Lines(word string) []string {
	var lines []string
	for line := range strings.Lines(l.String()) {
		if strings.Contains(line, word) {
			lines = append(lines, line)
		}
	}
	return lines
}
