//go:build !faultinject

package inject

import (
	"context"
	"time"

	"vedette/mqtt/outbox"
	"vedette/supervisor"
)

// Worker does nothing in what ships.
func Worker() {}

// Service does nothing in what ships.
func Service() {}

// Wedge does nothing in what ships.
func Wedge() {}

// Environment is nothing in what ships.
func Environment() []string { return nil }

// Policy is what it is in what ships.
func Policy(policy supervisor.Policy) supervisor.Policy { return policy }

// Files are what they are in what ships.
func Files(files outbox.Files) outbox.Files { return files }

// Proven is the default in what ships.
func Proven() time.Duration { return 0 }

// Events makes none in what ships.
func Events(context.Context, func(n uint64)) {}
