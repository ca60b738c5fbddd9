// Package command decides which commands are obeyed that come over MQTT.
//
// Who can write to a device's command topics is the broker's matter (its ACL). What the device adds: only names that the
// configuration lists are obeyed; nothing that lay at the broker (retained), that is too long, that has expired, or that was
// seen before; and no more than a person or an automation needs. Each is answered.
package command

import (
	"time"

	"vedette/mqtt/payload"
)

// Bounds of what is taken.
const (
	// MaxSize is how long a command may be, in bytes.
	MaxSize = 4 << 10
	// A sender that needs more has gone wrong. burst commands at once, then one each interval.
	burst    = 10
	interval = 2 * time.Second
	// longestLife is how far ahead expires_at may be. Within it no more than longestLife/interval + burst commands are
	// obeyed, which is less than the memory holds: none that has not expired is ever forgotten, and so obeyed twice.
	longestLife = time.Hour
	remembered  = 2048
	// queued is how many commands wait for the one that is being carried out.
	queued = 8
)

// The commands that there are, as mqtt.commands lists them.
const (
	Snapshot      = "snapshot"
	RestartWorker = "restart-worker"
	Enable        = "enable" // of a camera: its topic is command/camera/<camera>/enable
	Threshold     = "threshold"
	Reload        = "reload"
	Model         = "model" // takes long, so that others are carried out meanwhile
)

// Names are the commands that there are.
func Names() []string { return []string{Snapshot, RestartWorker, Enable, Threshold, Reload, Model} }

// Request is a command that is to be carried out.
type Request struct {
	Name    string
	ID      string
	Camera  string  // of Enable; of Snapshot, where it says
	Enabled bool    // of Enable
	Label   string  // of Threshold
	Value   float32 // of Threshold
	URL     string  // of Model: an https one
	SHA256  string  // of Model: of what is there, 64 hexadecimal digits
}

// Clock is what is known of the time.
type Clock struct {
	Now    time.Time
	Synced bool
	Floor  time.Time // it is not before this; zero: nothing is known
}

// Topics are where commands come and answers go.
type Topics interface {
	Command(name string) string
	CommandResult(name string) string
	EnableCommand(camera string) string
	EnableResult(camera string) string
}

var _ Topics = payload.Topics{}
