//go:build !faultinject

package inject

import "vedette/supervisor"

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
