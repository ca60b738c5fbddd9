package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"vedette/test/logtest"
)

// board is what an update engine's hooks find on a device: the command line in the path, and a service's socket.
type board struct {
	dir string
	env []string
}

// newBoard is one on which no service answers.
func newBoard(t *testing.T) board {
	t.Helper()
	b := board{dir: t.TempDir()}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(self, filepath.Join(b.dir, "vedette")); err != nil {
		t.Fatal(err)
	}
	b.env = append(os.Environ(), "PATH="+b.dir+":"+os.Getenv("PATH"), "VEDETTE_CONTROL="+filepath.Join(b.dir, "nobody.sock"),
		"VEDETTE_HEALTH_WAIT=1s")
	return b
}

// of is the board on which that service runs.
func (b board) of(t *testing.T, s *service) board {
	t.Helper()
	for _, pair := range s.cmd.Env {
		if strings.HasPrefix(pair, "VEDETTE_CONTROL=") {
			b.env = append(b.env[:len(b.env):len(b.env)], pair, "VEDETTE_HEALTH_WAIT=60s")
		}
	}
	return b
}

func (b board) run(t *testing.T, name string, args ...string) (said string, code int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = b.env
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

// A state script's exit code is all that Mender's client goes by: 0 commits, 21 is asked again, another rolls back.
func TestMendersScriptAnswersAsTheClientWantsIt(t *testing.T) {
	script := "../../packaging/ota/mender/ArtifactCommit_Enter_50_vedette"
	b := newBoard(t)
	if said, code := b.run(t, "/bin/sh", script); code != 1 || !strings.Contains(said, "does not run") {
		t.Errorf("with no service: exit code %d, %s", code, said)
	}
	s := startService(t, yard)
	if said, code := b.of(t, s).run(t, "/bin/sh", script); code != 0 {
		t.Errorf("with a service that is well: exit code %d, %s", code, said)
	}
	alone := &service{log: &logtest.Log{}, config: configFile(t, fmt.Sprintf(
		"state_dir: %s\nmqtt: {brokers: ['tcp://%s']}\nweb: {listen: ''}\ncameras:\n%s", t.TempDir(), freeAddress(t), yard))}
	alone.start(t)
	defer alone.stop(t)
	waits := b.of(t, alone)
	waits.env = append(waits.env, "VEDETTE_HEALTH_WAIT=0s")
	var said string
	code := 1
	for deadline := time.Now().Add(3 * time.Minute); code == 1 && time.Now().Before(deadline); { // 1 is that its socket is not there yet
		said, code = waits.run(t, "/bin/sh", script)
	}
	if code != 21 || !strings.Contains(said, "no broker is connected") {
		t.Errorf("with a service that has no broker yet: exit code %d, %s", code, said)
	}
}

// The bootloader's variable is a file here; the tools that read and set it are its own.
func TestSWUpdatesHookConfirmsWhatWorks(t *testing.T) {
	b := newBoard(t)
	ustate := filepath.Join(b.dir, "ustate")
	tool := func(variable, text string) {
		path := filepath.Join(b.dir, strings.ToLower(variable))
		if err := os.WriteFile(path, []byte("#!/bin/sh\n"+text+"\n"), 0o700); err != nil {
			t.Fatal(err)
		}
		b.env = append(b.env, variable+"="+path)
	}
	tool("FW_PRINTENV", `[ "$*" = "-n ustate" ] && cat `+ustate)
	tool("FW_SETENV", `[ "$1" = ustate ] && echo "$2" >`+ustate)
	confirm := func(b board, before, want string, code int) {
		t.Helper()
		if before != "" {
			write(t, ustate, []byte(before+"\n"))
		}
		said, got := b.run(t, "/bin/sh", "../../packaging/ota/swupdate/vedette-confirm")
		if now, _ := os.ReadFile(ustate); strings.TrimSpace(string(now)) != want || got != code {
			t.Errorf("ustate is %q, want %q; exit code %d, want %d: %s", now, want, got, code, said)
		}
	}
	confirm(b, "", "", 0) // no such variable: nothing is on trial
	confirm(b, "0", "0", 0)
	confirm(b, "1", "1", 1)
	s := startService(t, yard)
	confirm(b.of(t, s), "1", "0", 0)
	confirm(b.of(t, s), "2", "2", 0) // SWUpdate's word for an update that failed
}
