package mqtt

import (
	"fmt"
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
	PasswordFile  string              `yaml:"password_file"`
	TLS           TLSConfig           `yaml:"tls"`
	Dialects      []string            `yaml:"dialects"` // vedette, frigate
	HomeAssistant HomeAssistantConfig `yaml:"homeassistant"`
	Detections    DetectionsConfig    `yaml:"detections"`
	Commands      []string            `yaml:"commands"` // which are obeyed
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

// DetectionsConfig is the per-frame messages.
type DetectionsConfig struct {
	Enabled bool    `yaml:"enabled"`
	Rate    float64 `yaml:"rate"` // most messages a second and camera; 0: every frame
}

// OutboxConfig bounds what is kept while the broker is away.
type OutboxConfig struct {
	Size string        `yaml:"size"` // bytes with a unit, "256MiB"
	Age  time.Duration `yaml:"age"`  // 0: no bound
}

// Bytes is the size as a number.
func (c OutboxConfig) Bytes() (int64, error) {
	for _, unit := range []struct {
		name  string
		shift uint
	}{{"KiB", 10}, {"MiB", 20}, {"GiB", 30}} {
		number, found := strings.CutSuffix(c.Size, unit.name)
		n, err := strconv.ParseUint(number, 10, 32)
		if bytes := int64(n << unit.shift); found && err == nil && bytes >= outbox.LeastSize {
			return bytes, nil
		}
	}
	return 0, fmt.Errorf("%q is no size of at least %dMiB, such as 256MiB", c.Size, outbox.LeastSize>>20)
}

// DefaultConfig is what holds where the configuration is silent.
func DefaultConfig() Config {
	return Config{
		Prefix:        "vedette/{device}",
		Dialects:      []string{"vedette"},
		HomeAssistant: HomeAssistantConfig{Enabled: true, Prefix: "homeassistant"},
		Detections:    DetectionsConfig{Enabled: true},
		Commands:      []string{"snapshot"},
		Outbox:        OutboxConfig{Size: "256MiB", Age: outbox.DefaultAge},
	}
}
