package command

import (
	"bufio"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
	"time"
)

const (
	maxLine    = 1 << 10         // bytes of a line of standard error that are logged
	stopWithin = 2 * time.Second // from SIGTERM to SIGKILL
)

// process is a program with its output on a pipe.
type process struct {
	stdout *os.File
	pid    int
	done   chan struct{} // closed when it has been reaped and its last words have been read
	err    error         // of Wait; valid once done is closed

	mu   sync.Mutex // guards last
	last string     // line of standard error
}

// start starts a program in a process group of its own, which the kernel kills with this process.
func start(argv, env []string, files []*os.File, logger *slog.Logger) (*process, error) {
	outR, outW, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	errR, errW, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(err, outR.Close(), outW.Close())
	}
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Env, cmd.Stdout, cmd.Stderr, cmd.ExtraFiles = env, outW, errW, files
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	p := &process{stdout: outR, done: make(chan struct{})}
	started := make(chan error)
	go func() {
		// The child is killed when the thread that made it ends: the thread is kept until the child has ended.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		if err := cmd.Start(); err != nil {
			started <- err
			return
		}
		p.pid = cmd.Process.Pid
		started <- nil
		var reader sync.WaitGroup
		reader.Go(func() { p.readLines(errR, logger) })
		p.err = cmd.Wait()
		// What the program started may hold the pipe open: it goes as well.
		_ = syscall.Kill(-p.pid, syscall.SIGKILL)
		reader.Wait()
		_ = errR.Close()
		close(p.done)
	}()
	err = <-started
	_ = outW.Close()
	_ = errW.Close()
	if err != nil {
		return nil, errors.Join(err, outR.Close(), errR.Close())
	}
	return p, nil
}

func (p *process) readLines(file *os.File, logger *slog.Logger) {
	lines := bufio.NewReaderSize(file, maxLine)
	for {
		text, long, err := lines.ReadLine()
		if err != nil {
			return
		}
		line := mask(string(text))
		for long && err == nil {
			_, long, err = lines.ReadLine()
		}
		if line == "" {
			continue
		}
		p.mu.Lock()
		p.last = line
		p.mu.Unlock()
		logger.Warn(line)
	}
}

// failure says how the program ended; nil for exit code 0. It may be called once done is closed.
func (p *process) failure() error {
	if p.err == nil {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.last == "" {
		return fmt.Errorf("program ended: %w", p.err)
	}
	return fmt.Errorf("program ended: %w: %s", p.err, p.last)
}

// stop ends the program and everything that it started.
func (p *process) stop() {
	defer p.stdout.Close()
	select {
	case <-p.done: // its number may be somebody else's by now
		return
	default:
	}
	_ = syscall.Kill(-p.pid, syscall.SIGTERM)
	timer := time.AfterFunc(stopWithin, func() { _ = syscall.Kill(-p.pid, syscall.SIGKILL) })
	<-p.done
	timer.Stop()
}
