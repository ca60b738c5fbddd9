package pipeline

import (
	"context"
	"encoding/hex"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"vedette/cmd/vedette/internal/config"
	"vedette/cmd/vedette/internal/identity"
	"vedette/cmd/vedette/internal/inject"
	"vedette/mqtt/outbox"
	"vedette/mqtt/payload"
)

// outboxPart may be degraded.
const outboxPart = "outbox"

// OutboxFolder is where the events of a service are.
func OutboxFolder(stateDir string) string { return filepath.Join(stateDir, "outbox") }

// OpenOutbox opens the outbox of a configuration that holds. It waits for the disk for a few seconds at most.
func OpenOutbox(cfg config.Config, logger *slog.Logger) (*outbox.Outbox, error) {
	size, err := cfg.MQTT.Outbox.Bytes()
	if err != nil {
		return nil, err
	}
	boot, err := bootBytes()
	if err != nil {
		return nil, err
	}
	return outbox.Open(outbox.Options{
		Files: inject.Files(outbox.Folder(OutboxFolder(cfg.StateDir))), Size: size, Age: cfg.MQTT.Outbox.Age,
		Clock: func() outbox.Stamp { return stamp(boot) }, Logger: logger,
	}), nil
}

func bootBytes() (boot [16]byte, err error) {
	text, err := identity.BootID("/")
	if err != nil {
		return boot, err
	}
	id, err := hex.DecodeString(strings.ReplaceAll(text, "-", ""))
	copy(boot[:], id)
	return boot, err
}

func stamp(boot [16]byte) outbox.Stamp {
	var uptime unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_BOOTTIME, &uptime) // fails only for a clock that is not there
	return outbox.Stamp{
		Boot: boot, Uptime: time.Duration(uptime.Nano()), Wall: time.Now(), Synced: identity.ClockSynced(),
	}
}

// injectEvents publishes events that nobody saw, in builds that inject faults.
func (p *Pipeline) injectEvents(ctx context.Context) error {
	inject.Events(ctx, func(n uint64) {
		p.mqtt.PublishEvent(p.topics.Prefix()+"/yard/events", func(dst []byte, epoch string, seq uint64) []byte {
			return fmt.Appendf(dst, `{"v":1,"epoch":%q,"seq":%d,"camera":"yard","injected":%d}`, epoch, seq, n)
		})
	})
	return nil
}

func outboxState(s outbox.Status, uptime time.Duration) payload.Outbox {
	return payload.Outbox{
		Depth: s.Depth, Dropped: s.Dropped + s.Oversized + s.Unreadable, Bytes: s.Bytes, Damaged: s.Damaged, Epoch: s.Epoch,
		Written: float64(s.Written) / (1 << 20) / max(uptime.Hours(), 1./60) * 24,
	}
}

func outboxDegradation(s outbox.Status) (payload.Degradation, bool) {
	if s.Failure == "" {
		return payload.Degradation{}, false
	}
	remedy := "give state_dir room and a disk that can be written; it is tried again by itself"
	if strings.Contains(s.Failure, outbox.ErrInUse.Error()) {
		remedy = "another vedette has this state_dir: end it, or give one of them another; it is tried again by itself"
	}
	return payload.Degradation{What: outboxPart, Why: "events are in memory alone: " + s.Failure, Remedy: remedy}, true
}
