// Package process starts one child process, watches its output, ends it.
package process

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"sync"
	"syscall"
	"time"
)

// Bounds on what is kept of a child's words.
const (
	maxLine     = 4 << 10  // bytes of one line of standard error; the rest of the line is left out
	maxLines    = 20       // last lines kept for a fault report
	maxCrash    = 64 << 10 // bytes of a crash report
	pipeLinger  = time.Second
	crashFDName = "VEDETTE_CRASH_FD"
)

// Spec says what to start.
type Spec struct {
	Path  string
	Args  []string   // without the program's own name
	Env   []string   // the whole environment
	Files []*os.File // become descriptors 3, 4, …; Start does not close them
	Group Group      // the cgroup that it starts in; nil: this process's own
	// OOMScoreAdj makes the kernel take the child sooner when memory runs out, up to 1000. 0: as this process.
	OOMScoreAdj int
	Rlimits     map[int]uint64 // soft and hard, by unix.RLIMIT_…
	// Line receives each line of the child's standard error. It must not block. Nil: lines are only kept.
	Line func(line string)
}

// Exit is how a child ended.
type Exit struct {
	Code     int            // exit code; -1 when a signal ended it
	Signal   syscall.Signal // 0 when it exited by itself
	Crash    string         // what Go's runtime wrote as it crashed, if it did
	Native   string         // where in native code it crashed, as library+offset, where that is known
	LastLog  []string       // last lines of standard error
	PeakRSS  int64          // bytes
	Lifetime time.Duration
}

// String says it in words, as a log line wants it.
func (e Exit) String() string {
	if e.Signal != 0 {
		return fmt.Sprintf("killed by %s after %s", SignalName(e.Signal), e.Lifetime.Round(time.Millisecond))
	}
	return fmt.Sprintf("exited with code %d after %s", e.Code, e.Lifetime.Round(time.Millisecond))
}

// Process is a child that was started. It is reaped by itself.
type Process struct {
	pid     int
	entry   Entry
	started time.Time
	done    chan struct{}
	exit    Exit // valid once done is closed

	mu      sync.Mutex // guards the rest
	lines   []string
	modules []module
}

// Start starts a child that the kernel kills when this process dies. It dies with its creating thread, which is why
// that thread belongs to it until it has ended.
func Start(spec Spec) (*Process, error) {
	stderrR, stderrW, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("cannot make a pipe for standard error: %w", err)
	}
	crashR, crashW, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("cannot make a pipe for crash reports: %w", err), stderrR.Close(), stderrW.Close())
	}
	p := &Process{done: make(chan struct{})}
	started := make(chan error)
	go p.own(spec, outputs{stderrR, stderrW, crashR, crashW}, started)
	if err := <-started; err != nil {
		return nil, fmt.Errorf("cannot start %s: %w", spec.Path, err)
	}
	return p, nil
}

// outputs are both ends of the pipes that a child writes to.
type outputs struct {
	stderr, childStderr, crash, childCrash *os.File
}

// own holds the child's creating thread from its start to its end.
func (p *Process) own(spec Spec, out outputs, started chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	p.started = time.Now()
	cmd, entry, err := launch(spec, out.childStderr, out.childCrash)
	_ = out.childStderr.Close()
	_ = out.childCrash.Close()
	if err != nil {
		_ = out.stderr.Close()
		_ = out.crash.Close()
		started <- err
		return
	}
	p.pid, p.entry = cmd.Process.Pid, entry
	started <- nil

	var readers sync.WaitGroup
	var report []byte
	readers.Go(func() { p.readLines(out.stderr, spec.Line) })
	readers.Go(func() { report = readBounded(out.crash, maxCrash) })

	waitErr := cmd.Wait()
	// A grandchild may hold the pipes open: what it says after the child's end is not waited for.
	linger := time.AfterFunc(pipeLinger, func() {
		_ = out.stderr.SetReadDeadline(time.Now())
		_ = out.crash.SetReadDeadline(time.Now())
	})
	readers.Wait()
	linger.Stop()
	_ = out.stderr.Close()
	_ = out.crash.Close()

	p.exit = describe(cmd.ProcessState, waitErr)
	p.exit.Crash = string(report)
	p.exit.Lifetime = time.Since(p.started)
	p.mu.Lock()
	p.exit.LastLog = p.lines
	p.exit.Native = nativePlace(p.exit.Crash, p.modules)
	p.mu.Unlock()
	close(p.done)
}

func describe(state *os.ProcessState, waitErr error) Exit {
	if state == nil {
		return Exit{Code: -1, LastLog: []string{fmt.Sprint(waitErr)}}
	}
	exit := Exit{Code: state.ExitCode()}
	if status, ok := state.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		exit.Signal = status.Signal()
	}
	if usage, ok := state.SysUsage().(*syscall.Rusage); ok {
		exit.PeakRSS = usage.Maxrss << 10 // kilobytes: getrusage(2)
	}
	return exit
}

func (p *Process) readLines(r io.Reader, line func(string)) {
	lines := bufio.NewReaderSize(r, maxLine)
	for {
		text, long, err := lines.ReadLine()
		if err != nil {
			return
		}
		said := string(text)
		for long && err == nil {
			_, long, err = lines.ReadLine()
		}
		p.mu.Lock()
		p.lines = append(p.lines, said)
		if len(p.lines) > maxLines {
			p.lines = p.lines[1:]
		}
		p.mu.Unlock()
		if line != nil {
			line(said)
		}
	}
}

// readBounded keeps the first limit bytes and reads on to the end, so that the writer is never blocked.
func readBounded(r io.Reader, limit int64) []byte {
	kept, err := io.ReadAll(io.LimitReader(r, limit))
	if err == nil {
		_, _ = io.Copy(io.Discard, r)
	}
	return kept
}

// PID is the child's process id.
func (p *Process) PID() int { return p.pid }

// Entry is how the child came into its group.
func (p *Process) Entry() Entry { return p.entry }

// Done is closed when the child has been reaped and its last words have been read.
func (p *Process) Done() <-chan struct{} { return p.done }

// Exit tells how the child ended. It may be called only after Done is closed.
func (p *Process) Exit() Exit { return p.exit }

// Wait waits for the child's end until ctx is done.
func (p *Process) Wait(ctx context.Context) (Exit, error) {
	select {
	case <-p.done:
		return p.exit, nil
	case <-ctx.Done():
		return Exit{}, fmt.Errorf("process %d has not ended: %w", p.pid, ctx.Err())
	}
}

// Signal sends a signal to the child and to everything that it started, where they are still there.
func (p *Process) Signal(sig syscall.Signal) error {
	select {
	case <-p.done:
		return nil
	default:
	}
	// Between the reaping and done the number is free again. The kernel hands numbers out in a circle, so within those
	// microseconds nobody else has it.
	if err := syscall.Kill(-p.pid, sig); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("cannot send %s to process group %d: %w", SignalName(sig), p.pid, err)
	}
	return nil
}
