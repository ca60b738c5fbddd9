package remote

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
)

// A cancelled command is killed at the other end; its last words are waited for this long.
const lastWords = 10 * time.Second

// ErrGone is in the error of a command that gets no answer because the stream has ended.
var ErrGone = errors.New("the other end is gone")

// Client has commands run at the other end. Its methods may be called from any goroutine.
type Client struct {
	stream   io.ReadWriteCloser
	requests chan request
	broken   chan struct{} // closed when the stream has ended
	both     sync.WaitGroup

	mu    sync.Mutex
	cause error // why the stream ended
	count uint64
	calls map[uint64]*call
}

// call is a command that runs. Only the reader touches the result until it closes ended.
type call struct {
	result  Result
	failure string
	ended   chan struct{}
}

// NewClient takes the stream over.
func NewClient(stream io.ReadWriteCloser) *Client {
	c := &Client{
		stream: stream, requests: make(chan request), broken: make(chan struct{}), calls: map[uint64]*call{},
	}
	c.both.Go(c.read)
	c.both.Go(c.write)
	return c
}

// Close ends the stream. Commands that run fail.
func (c *Client) Close() error {
	err := c.stream.Close()
	c.both.Wait()
	return err
}

// Run has one command run and waits for its end. The error says why there is no exit code; when the context ended the
// command, the result is what it had said by then.
func (c *Client) Run(ctx context.Context, command Command) (Result, error) {
	if err := ctx.Err(); err != nil {
		return Result{}, command.failed(err)
	}
	id, call := c.begin()
	defer c.forget(id)
	select {
	case c.requests <- request{ID: id, Argv: command.Argv, Stdin: command.Stdin}:
	case <-ctx.Done():
		return Result{}, command.failed(context.Cause(ctx))
	case <-c.broken:
		return Result{}, command.failed(c.why())
	}
	select {
	case <-call.ended:
		if call.failure != "" {
			return call.result, command.failed(errors.New(call.failure))
		}
		return call.result, nil
	case <-c.broken:
		return Result{}, command.failed(c.why())
	case <-ctx.Done():
	}
	timeout := time.NewTimer(lastWords)
	defer timeout.Stop()
	select {
	case c.requests <- request{ID: id, Cancel: true}:
	case <-c.broken:
	case <-timeout.C:
	}
	select {
	case <-call.ended:
		return call.result, command.failed(context.Cause(ctx))
	case <-c.broken:
	case <-timeout.C:
	}
	return Result{}, command.failed(fmt.Errorf("%w, and nothing was heard of its end", context.Cause(ctx)))
}

func (c Command) failed(err error) error {
	return fmt.Errorf("cannot run %q: %w", strings.Join(c.Argv, " "), err)
}

func (c *Client) begin() (uint64, *call) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.count++
	begun := &call{ended: make(chan struct{})}
	c.calls[c.count] = begun
	return c.count, begun
}

func (c *Client) find(id uint64) *call {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.calls[id]
}

func (c *Client) forget(id uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.calls, id)
}

func (c *Client) why() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.cause
}

// breakOff records the first reason.
func (c *Client) breakOff(cause error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cause == nil {
		c.cause = fmt.Errorf("%w: %w", ErrGone, cause)
		close(c.broken)
	}
}

func (c *Client) write() {
	encoder := json.NewEncoder(c.stream)
	for {
		select {
		case r := <-c.requests:
			if err := encoder.Encode(r); err != nil {
				c.breakOff(err)
				return
			}
		case <-c.broken:
			return
		}
	}
}

func (c *Client) read() {
	decoder := json.NewDecoder(c.stream)
	for {
		var r reply
		if err := decoder.Decode(&r); err != nil {
			c.breakOff(err)
			return
		}
		call := c.find(r.ID)
		if call == nil {
			continue // nobody waits for it any more
		}
		call.result.Stdout = append(call.result.Stdout, r.Stdout...)
		call.result.Stderr = append(call.result.Stderr, r.Stderr...)
		if r.Ended {
			call.result.ExitCode, call.failure = r.ExitCode, r.Failure
			c.forget(r.ID)
			close(call.ended)
		}
	}
}
