package main

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"strings"
)

// fleet runs 1,000 devices, without cameras, against three brokers of which one is killed: test/fleet, which has a module of its
// own for the brokers' sake.
func fleet(ctx context.Context, s *subject) (string, error) {
	var out bytes.Buffer
	cmd := exec.CommandContext(ctx, s.fleet, "-within", "8m")
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("the fleet: %w:\n%s", err, out.String())
	}
	return strings.Join(strings.Split(strings.TrimSpace(out.String()), "\n"), "; "), nil
}
