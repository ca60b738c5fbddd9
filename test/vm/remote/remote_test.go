package remote_test

import (
	"bytes"
	"context"
	"errors"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"vedette/test/vm/remote"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// connected gives a client whose commands run here.
func connected(t *testing.T) (client *remote.Client, hangUp func()) {
	t.Helper()
	near, far := net.Pipe()
	client = remote.NewClient(near)
	served := make(chan error)
	go func() { served <- remote.Serve(far) }()
	hangUp = sync.OnceFunc(func() {
		_ = far.Close()
		<-served
	})
	t.Cleanup(func() {
		if err := client.Close(); err != nil {
			t.Error(err)
		}
		hangUp()
	})
	return client, hangUp
}

func TestRunTellsHowACommandEnded(t *testing.T) {
	client, _ := connected(t)
	for _, c := range []struct {
		name   string
		script string
		stdin  string
		want   remote.Result
	}{
		{"nothing said", "true", "", remote.Result{}},
		{"both streams", "echo a; echo b >&2; exit 7", "", remote.Result{Stdout: []byte("a\n"), Stderr: []byte("b\n"), ExitCode: 7}},
		{"standard input", "cat", "\x00\xff\n", remote.Result{Stdout: []byte("\x00\xff\n")}},
		{"input that nobody reads", "true", strings.Repeat("x", 1<<20), remote.Result{}},
		{"a signal", "kill -TERM $$", "", remote.Result{ExitCode: 143}},
		{"much output", "head -c 5000000 /dev/zero", "", remote.Result{Stdout: make([]byte, 5000000)}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := client.Run(t.Context(), remote.Command{Argv: []string{"sh", "-c", c.script}, Stdin: []byte(c.stdin)})
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got.Stdout, c.want.Stdout) || !bytes.Equal(got.Stderr, c.want.Stderr) || got.ExitCode != c.want.ExitCode {
				t.Errorf("got %d bytes, %q, exit code %d; want %d bytes, %q, exit code %d",
					len(got.Stdout), got.Stderr, got.ExitCode, len(c.want.Stdout), c.want.Stderr, c.want.ExitCode)
			}
		})
	}
}

func TestRunSaysWhyThereIsNoExitCode(t *testing.T) {
	client, _ := connected(t)
	for name, c := range map[string]struct {
		argv []string
		want string
	}{
		"not there":   {[]string{"/none"}, "no such file"},
		"no command":  {nil, "no command"},
		"says no end": {[]string{"cat", "/dev/zero"}, "16 MiB"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := client.Run(t.Context(), remote.Command{Argv: c.argv})
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want something with %q", err, c.want)
			}
		})
	}
}

func TestRunEndsWithItsContext(t *testing.T) {
	client, _ := connected(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	// The grandchild holds the output open: only ending the whole group ends the command.
	_, err := client.Run(ctx, remote.Command{Argv: []string{"sh", "-c", "sleep 1000; true"}})
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want the deadline", err)
	}
	if strings.Contains(err.Error(), "nothing was heard") {
		t.Errorf("the command was not ended: %v", err)
	}
}

func TestCommandsRunSideBySide(t *testing.T) {
	client, _ := connected(t)
	fifo := t.TempDir() + "/fifo"
	if _, err := client.Run(t.Context(), remote.Command{Argv: []string{"mkfifo", fifo}}); err != nil {
		t.Fatal(err)
	}
	heard := make(chan string)
	go func() { // a fifo's reader waits for its writer
		result, err := client.Run(t.Context(), remote.Command{Argv: []string{"cat", fifo}})
		if err != nil {
			t.Error(err)
		}
		heard <- string(result.Stdout)
	}()
	if _, err := client.Run(t.Context(), remote.Command{Argv: []string{"sh", "-c", "echo hello >" + fifo}}); err != nil {
		t.Error(err)
	}
	if got := <-heard; got != "hello\n" {
		t.Errorf("the one heard %q of the other", got)
	}
}

func TestRunFailsWhenTheOtherEndHangsUp(t *testing.T) {
	client, hangUp := connected(t)
	ran := make(chan error)
	path := t.TempDir() + "/fifo"
	if _, err := client.Run(t.Context(), remote.Command{Argv: []string{"mkfifo", path}}); err != nil {
		t.Fatal(err)
	}
	go func() {
		_, err := client.Run(t.Context(), remote.Command{Argv: []string{"sh", "-c", "echo >" + path + "; sleep 1000"}})
		ran <- err
	}()
	if _, err := client.Run(t.Context(), remote.Command{Argv: []string{"cat", path}}); err != nil {
		t.Fatal(err) // has read: the other command runs
	}
	hangUp()
	if err := <-ran; !errors.Is(err, remote.ErrGone) {
		t.Errorf("a command under way: %v", err)
	}
	if _, err := client.Run(t.Context(), remote.Command{Argv: []string{"true"}}); !errors.Is(err, remote.ErrGone) {
		t.Errorf("a command at an end that is gone: %v", err)
	}
}
