package logging

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"github.com/coreos/go-systemd/v22/journal"
)

// journalHandler gives each attribute a journal field of its own, so that `journalctl VEDETTE_CAMERA=yard` works. The
// message carries them as text too: most people read that.
type journalHandler struct {
	level slog.Level
	attrs []slog.Attr
	group string
}

func (h *journalHandler) Enabled(_ context.Context, level slog.Level) bool { return level >= h.level }

func (h *journalHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	child := *h
	child.attrs = slices.Clone(h.attrs)
	for _, a := range attrs {
		child.attrs = append(child.attrs, h.named(a))
	}
	return &child
}

func (h *journalHandler) WithGroup(name string) slog.Handler {
	child := *h
	child.group = h.group + name + "."
	return &child
}

func (h *journalHandler) named(a slog.Attr) slog.Attr {
	return slog.Attr{Key: h.group + a.Key, Value: a.Value}
}

func (h *journalHandler) Handle(_ context.Context, record slog.Record) error {
	attrs := slices.Clone(h.attrs)
	record.Attrs(func(a slog.Attr) bool {
		attrs = append(attrs, h.named(a))
		return true
	})
	message, fields := record.Message, make(map[string]string, len(attrs))
	for _, a := range attrs {
		value := a.Value.Resolve().String()
		fields[journalKey(a.Key)] = value
		message += fmt.Sprintf(" %s=%s", a.Key, quoted(value))
	}
	return journal.Send(message, priority(record.Level), fields)
}

func quoted(value string) string {
	if value == "" || strings.ContainsAny(value, " \"\n\t=") {
		return fmt.Sprintf("%q", value)
	}
	return value
}

func priority(level slog.Level) journal.Priority {
	switch {
	case level >= slog.LevelError:
		return journal.PriErr
	case level >= slog.LevelWarn:
		return journal.PriWarning
	case level >= slog.LevelInfo:
		return journal.PriInfo
	}
	return journal.PriDebug
}
