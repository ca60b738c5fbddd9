package main

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// download is the most time that one fetch may take.
const download = 30 * time.Minute

// quiet runs a program without showing what it says, which comes with its failure. When ctx ends, the program dies with
// all that it started.
func quiet(ctx context.Context, dir string, argv ...string) error {
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 5 * time.Second
	cmd.Dir = dir
	return captured(cmd)
}

// patient runs a program that must not be killed half-way, as apt: it stays in the terminal's process group, where
// Ctrl-C reaches it and a password can be asked for, and it has its own deadlines for the network.
func patient(ctx context.Context, argv ...string) error {
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGINT) }
	return captured(cmd)
}

func captured(cmd *exec.Cmd) error {
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	err := cmd.Run()
	if err == nil {
		return nil
	}
	lines := strings.Split(strings.TrimSpace(said.String()), "\n")
	if most := 20; len(lines) > most {
		lines = lines[len(lines)-most:]
	}
	return fmt.Errorf("%s: %w\n%s", cmd.Args[0], err, strings.Join(lines, "\n"))
}
