// Package logging sends log records to where they are read: a terminal, the journal, the parent process.
package logging

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"strings"
	"time"

	"github.com/coreos/go-systemd/v22/journal"
)

// New makes the service's logger: with fields of its own in the journal where standard error is the journal, else as
// text on w.
func New(w io.Writer, level slog.Level) *slog.Logger {
	if inJournal, err := journal.StderrIsJournalStream(); err == nil && inJournal {
		return slog.New(&journalHandler{level: level})
	}
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: level}))
}

// journalKey makes a key that the journal takes: capitals, digits and underscores, in a name space of our own.
func journalKey(key string) string {
	return "VEDETTE_" + strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z':
			return r - 'a' + 'A'
		case r >= 'A' && r <= 'Z', r >= '0' && r <= '9':
			return r
		}
		return '_'
	}, key)
}

// ForChild makes a child's logger: lines that Relay reads.
func ForChild(w io.Writer) *slog.Logger {
	return slog.New(slog.NewJSONHandler(w, &slog.HandlerOptions{
		Level: slog.LevelDebug,
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Value.Kind() == slog.KindDuration { // JSON has no times with units: the parent would log nanoseconds
				a.Value = slog.StringValue(a.Value.Duration().String())
			}
			return a
		},
	}))
}

// The most fields of a child's record that are passed on.
const maxFields = 32

// Relay gives a function that logs each line of a child's standard error: its records as they were meant, anything
// else (native libraries write there, too) as a warning.
func Relay(logger *slog.Logger) func(line string) {
	return func(line string) {
		var fields map[string]any
		if !strings.HasPrefix(line, "{") || json.Unmarshal([]byte(line), &fields) != nil {
			if strings.TrimSpace(line) != "" {
				logger.Warn(line)
			}
			return
		}
		message, _ := fields[slog.MessageKey].(string)
		levelName, _ := fields[slog.LevelKey].(string)
		level := slog.LevelWarn
		_ = level.UnmarshalText([]byte(levelName)) // an unknown level stays a warning
		if !logger.Enabled(context.Background(), level) {
			return
		}
		record := slog.NewRecord(time.Now(), level, message, 0)
		for key, value := range fields {
			if key != slog.MessageKey && key != slog.LevelKey && key != slog.TimeKey && record.NumAttrs() < maxFields {
				record.Add(key, value)
			}
		}
		_ = logger.Handler().Handle(context.Background(), record)
	}
}
