package payload

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Topics builds topic names under a prefix.
type Topics struct{ prefix string }

// The most bytes of a prefix: topics have a limit of 65,535, and log lines a taste.
const maxPrefix = 200

// NewTopics puts the device's name where the prefix says {device}.
func NewTopics(prefix, device string) (Topics, error) {
	prefix = strings.ReplaceAll(prefix, "{device}", device)
	switch {
	case prefix == "" || len(prefix) > maxPrefix:
		return Topics{}, fmt.Errorf("prefix %q does not have 1 to %d bytes", prefix, maxPrefix)
	case !utf8.ValidString(prefix) || strings.ContainsFunc(prefix, unicode.IsControl):
		return Topics{}, fmt.Errorf("prefix %q has bytes that no topic may have: use plain text", prefix)
	case strings.ContainsAny(prefix, "+#"):
		return Topics{}, fmt.Errorf("prefix %q has a wildcard: + and # are for subscribers", prefix)
	case strings.HasPrefix(prefix, "/") || strings.HasSuffix(prefix, "/") || strings.HasPrefix(prefix, "$"):
		return Topics{}, fmt.Errorf("prefix %q begins or ends with a slash, or begins with $", prefix)
	case strings.Contains(prefix, "{"):
		return Topics{}, errors.New("prefix knows no other placeholder than {device}")
	}
	return Topics{prefix}, nil
}

// Prefix is what every topic begins with.
func (t Topics) Prefix() string { return t.prefix }

// Status carries online or offline.
func (t Topics) Status() string { return t.prefix + "/status" }

// State carries State.
func (t Topics) State() string { return t.prefix + "/state" }

// Faults carries Fault.
func (t Topics) Faults() string { return t.prefix + "/faults" }

// Detections carries Detections of one camera.
func (t Topics) Detections(camera string) string { return t.prefix + "/" + camera + "/detections" }
