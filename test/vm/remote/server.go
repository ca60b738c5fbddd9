package remote

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"sync"
	"syscall"
	"time"
)

// Serve runs the commands that come in until the stream ends. It returns when every command has.
func Serve(stream io.ReadWriter) error {
	ctx, cancel := context.WithCancel(context.Background())
	replies := make(chan reply)
	written := make(chan error, 1)
	go func() { written <- writeAll(stream, replies) }()

	var commands sync.WaitGroup
	err := serve(ctx, stream, replies, &commands)
	cancel()
	commands.Wait()
	close(replies)
	return errors.Join(err, <-written)
}

func serve(ctx context.Context, stream io.Reader, replies chan<- reply, commands *sync.WaitGroup) error {
	cancels := map[uint64]context.CancelFunc{}
	decoder := json.NewDecoder(stream)
	for {
		var r request
		if err := decoder.Decode(&r); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("cannot read a request: %w", err)
		}
		if r.Cancel {
			if cancel := cancels[r.ID]; cancel != nil {
				cancel()
			}
			continue
		}
		commandCtx, cancel := context.WithCancel(ctx)
		cancels[r.ID] = cancel
		commands.Go(func() { replies <- run(commandCtx, r, replies) })
	}
}

// writeAll writes until the channel is closed, also past a failure: whoever sends must not be stuck.
func writeAll(w io.Writer, replies <-chan reply) error {
	encoder := json.NewEncoder(w)
	var failed error
	for r := range replies {
		if failed == nil {
			failed = encoder.Encode(r)
		}
	}
	return failed
}

// run passes the output on as it comes and gives the last reply.
func run(ctx context.Context, r request, replies chan<- reply) reply {
	last := reply{ID: r.ID, Ended: true}
	if len(r.Argv) == 0 {
		last.Failure = "no command was named"
		return last
	}
	cmd := exec.CommandContext(ctx, r.Argv[0], r.Argv[1:]...)
	cmd.Stdin = bytes.NewReader(r.Stdin)
	stdout := output{send: func(p []byte) { replies <- reply{ID: r.ID, Stdout: p} }}
	stderr := output{send: func(p []byte) { replies <- reply{ID: r.ID, Stderr: p} }}
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 2 * time.Second // for what a process left behind may still say
	err := cmd.Run()
	var exit *exec.ExitError
	switch {
	case stdout.cut || stderr.cut:
		last.Failure = fmt.Sprintf("it said more than %d MiB: have it write to a file", maxOutput>>20)
	case errors.As(err, &exit):
		last.ExitCode = exit.ExitCode()
		if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signaled() {
			last.ExitCode = 128 + int(status.Signal())
		}
	case err != nil && !errors.Is(err, exec.ErrWaitDelay):
		last.Failure = err.Error()
	}
	return last
}

// output is one of a command's streams. Past its bound writing fails, so that the command gets a SIGPIPE.
type output struct {
	send func([]byte)
	sent int
	cut  bool
}

func (o *output) Write(p []byte) (int, error) {
	if o.sent+len(p) > maxOutput {
		o.cut = true
		return 0, io.ErrShortWrite
	}
	o.sent += len(p)
	o.send(bytes.Clone(p))
	return len(p), nil
}
