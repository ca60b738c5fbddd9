package mqtt

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"vedette/mqtt/outbox"
)

// Config is the `mqtt` section of the configuration.
type Config struct {
	Brokers       []string            `yaml:"brokers"` // tcp://, tls://, ws:// or wss:// addresses; empty: the embedded broker
	Prefix        string              `yaml:"prefix"`  // {device} stands for the device's name
	Username      string              `yaml:"username"`
	UsernameFile  string              `yaml:"username_file"` // in the place of username
	PasswordFile  string              `yaml:"password_file"` // files may be credential:NAME, as systemd hands them over
	TLS           TLSConfig           `yaml:"tls"`
	Dialects      []string            `yaml:"dialects"` // beside vedette, which is always spoken: frigate
	Frigate       FrigateConfig       `yaml:"frigate"`
	HomeAssistant HomeAssistantConfig `yaml:"homeassistant"`
	Detections    DetectionsConfig    `yaml:"detections"`
	Snapshots     SnapshotsConfig     `yaml:"snapshots"`
	Commands      []string            `yaml:"commands"` // which are obeyed: of snapshot, restart-worker, enable, threshold, reload, model
	Outbox        OutboxConfig        `yaml:"outbox"`
}

// TLSConfig names the files of a TLS connection; empty ones mean the system's CAs and no client certificate.
type TLSConfig struct {
	CAFile   string `yaml:"ca_file"`
	CertFile string `yaml:"cert_file"`
	KeyFile  string `yaml:"key_file"`
}

// HomeAssistantConfig is discovery by Home Assistant.
type HomeAssistantConfig struct {
	Enabled bool   `yaml:"enabled"`
	Prefix  string `yaml:"prefix"`
}

// FrigateConfig is Frigate's dialect.
type FrigateConfig struct {
	Prefix string `yaml:"prefix"` // {device} stands for the device's name
}

// DetectionsConfig is the per-frame messages.
type DetectionsConfig struct {
	Enabled bool    `yaml:"enabled"`
	When    string  `yaml:"when"`  // always, or change: only where other labels, or other numbers of them, are seen than in the last message
	Rate    float64 `yaml:"rate"`  // most messages a second and camera; 0: every frame
	Daily   string  `yaml:"daily"` // most of all cameras in 24 hours, bytes with a unit, "200MiB"; empty: no bound
}

// When a detections message is made.
const (
	WhenAlways = "always"
	WhenChange = "change"
)

// DailyBytes is the bound as a number; 0 is none.
func (c DetectionsConfig) DailyBytes() (int64, error) {
	if c.Daily == "" {
		return 0, nil
	}
	bytes, ok := parseSize(c.Daily)
	if !ok || bytes < 1<<20 {
		return 0, fmt.Errorf("%q is no size of at least 1MiB, such as 200MiB", c.Daily)
	}
	return bytes, nil
}

// Speaks tells whether a dialect is spoken.
func (c Config) Speaks(dialect string) bool { return slices.Contains(c.Dialects, dialect) }

// Frigate is the name of the dialect.
const Frigate = "frigate"

// parseSize reads bytes with a unit.
func parseSize(text string) (bytes int64, ok bool) {
	for _, unit := range []struct {
		name  string
		shift uint
	}{{"KiB", 10}, {"MiB", 20}, {"GiB", 30}} {
		if number, found := strings.CutSuffix(text, unit.name); found {
			n, err := strconv.ParseUint(number, 10, 32)
			return int64(n << unit.shift), err == nil
		}
	}
	return 0, false
}

// OutboxConfig bounds what is kept while the broker is away.
type OutboxConfig struct {
	Size string        `yaml:"size"` // bytes with a unit, "256MiB"
	Age  time.Duration `yaml:"age"`  // 0: no bound
}

// Bytes is the size as a number.
func (c OutboxConfig) Bytes() (int64, error) {
	if bytes, ok := parseSize(c.Size); ok && bytes >= outbox.LeastSize {
		return bytes, nil
	}
	return 0, fmt.Errorf("%q is no size of at least %dMiB, such as 256MiB", c.Size, outbox.LeastSize>>20)
}

// DefaultConfig is what holds where the configuration is silent.
func DefaultConfig() Config {
	return Config{
		Prefix:        "vedette/{device}",
		Dialects:      []string{"vedette"},
		HomeAssistant: HomeAssistantConfig{Enabled: true, Prefix: "homeassistant"},
		Detections:    DetectionsConfig{Enabled: true, When: WhenAlways},
		Frigate:       FrigateConfig{Prefix: "frigate"},
		Snapshots:     defaultSnapshots(),
		Commands:      []string{"snapshot"},
		Outbox:        OutboxConfig{Size: "256MiB", Age: outbox.DefaultAge},
	}
}
