package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"sync"
)

// lives are the processes that make events, one after the other.
type lives struct {
	order order
	self  string

	cmd   *exec.Cmd
	ended chan error // of the one that runs, once it has said its last

	mu   sync.Mutex
	last []told // the last word of each life; of the one that runs as well
}

func newLives(o order) (*lives, error) {
	self, err := os.Executable()
	return &lives{order: o, self: self}, err
}

// start begins the next life, which makes what is still to be made.
func (l *lives) start(ctx context.Context) error {
	next := l.order
	next.Events = max(l.order.Events-l.made(), 0)
	text, err := json.Marshal(next)
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, l.self, "-device", string(text))
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	l.mu.Lock()
	l.last = append(l.last, told{})
	l.mu.Unlock()
	ended := make(chan error, 1)
	l.cmd, l.ended = cmd, ended
	go func() {
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			var t told
			if json.Unmarshal(lines.Bytes(), &t) == nil { // the last line may be cut short by a kill
				l.mu.Lock()
				l.last[len(l.last)-1] = t
				l.mu.Unlock()
			}
		}
		ended <- cmd.Wait()
	}()
	return nil
}

// kill ends the life that runs as a power cut ends a process, and waits until it is gone. Its last words are known then.
func (l *lives) kill() error {
	if err := l.cmd.Process.Kill(); err != nil {
		return fmt.Errorf("cannot kill the process: %w", err)
	}
	<-l.ended //nolint:errcheck // it was killed
	return nil
}

// made is how many events were made, as far as the processes had the time to say so.
func (l *lives) made() (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	epochs := map[string]uint64{}
	for _, t := range l.last {
		epochs[t.Epoch] = max(epochs[t.Epoch], t.Made)
	}
	for _, m := range epochs {
		n += int(m)
	}
	return n
}

// taken is how many events the broker has acknowledged, at least.
func (l *lives) taken() int {
	words := l.words()
	return l.made() - words[len(words)-1].Waiting
}

// words are the last of each life, in order.
func (l *lives) words() []told {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]told(nil), l.last...)
}
