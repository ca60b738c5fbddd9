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

// Events carries Event of one camera.
func (t Topics) Events(camera string) string { return t.prefix + "/" + camera + "/events" }

// Count carries how many objects of a label a camera sees now; label is a LabelPart.
func (t Topics) Count(camera, label string) string { return t.prefix + "/" + camera + "/" + label }

// ZoneCount carries how many objects of a label are in a camera's zone now; label is a LabelPart.
func (t Topics) ZoneCount(camera, zone, label string) string {
	return t.prefix + "/" + camera + "/" + zone + "/" + label
}

// Best carries the best picture of an object of a label that a camera saw last; label is a LabelPart.
func (t Topics) Best(camera, label string) string {
	return t.prefix + "/" + camera + "/" + label + "/snapshot"
}

// Snapshot carries the picture that a command asked for.
func (t Topics) Snapshot(camera string) string { return t.prefix + "/" + camera + "/snapshot" }

// Update carries what Home Assistant is to know of the installed version.
func (t Topics) Update() string { return t.prefix + "/state/update" }

// Command carries commands of one name.
func (t Topics) Command(name string) string { return t.prefix + "/command/" + name }

// CommandResult carries the answers to commands of one name.
func (t Topics) CommandResult(name string) string { return t.Command(name) + "/result" }

// EnableCommand carries the command that turns a camera on or off.
func (t Topics) EnableCommand(camera string) string { return t.Command("camera/" + camera + "/enable") }

// EnableResult carries the answer to it.
func (t Topics) EnableResult(camera string) string { return t.EnableCommand(camera) + "/result" }
