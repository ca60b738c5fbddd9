// Package worker is the child's end of inference: it loads a model and answers frames with what they show.
package worker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/bits"
	"net"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"vedette/infer/wire"
)

const (
	// loadWait bounds how long the parent may take to say what to load: it does so at once.
	loadWait = 30 * time.Second
	// sendWait bounds a message's wait for room in the socket, which holds far more than a parent leaves unread.
	sendWait = 5 * time.Second
	// stuckWait is how long the end of Run waits for native code, which nothing can interrupt.
	stuckWait = 500 * time.Millisecond
	// maxJobs is room for the frames in flight and for many streams to be announced at once. A full queue makes the
	// socket wait.
	maxJobs = 64
)

// The kinds of fault that a worker finds in itself.
const (
	faultLoad     = "load"
	faultExit     = "exit"
	faultProtocol = "protocol"
)

// Env is what a worker is given.
type Env struct {
	Control *os.File // the child's end of wire.Pair; Run closes it
	Logger  *slog.Logger
}

// Run talks with the parent as package wire draws it, until Shutdown, until the parent's end closes or until ctx ends:
// these are no errors. An error is one that the parent has been told in a Fault, if it could be.
//
// Run returns when its goroutines have, with one exception: where ONNX Runtime is in the middle of a load or a run that
// does not end in half a second, Run returns without it, and the process must exit.
func Run(ctx context.Context, env Env) error {
	conn, err := wire.NewConn(env.Control)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(ctx, func() { conn.Close() })() // what waits in Receive or Send ends
	defer conn.Close()

	w := &worker{conn: conn, log: env.Logger, jobs: make(chan job, maxJobs), started: wire.Monotonic()}
	load, err := w.awaitLoad()
	if load == nil {
		return verdict(ctx, err)
	}

	var beats sync.WaitGroup
	beats.Go(func() { w.beat(ctx, cancel) })
	worked := make(chan error, 1)
	go func() {
		defer cancel() // ends the loop below
		worked <- w.work(ctx, *load)
	}()

	received := w.receive(ctx)
	cancel()
	beats.Wait()
	select {
	case err = <-worked:
		w.dropJobs()
	case <-time.After(stuckWait):
		w.log.Warn("leaving ONNX Runtime in the middle of its work", "stage", w.atStage().String())
		go func() { // should it end before the process does
			w.log.Info("ONNX Runtime has ended its work after all", "error", <-worked)
			w.dropJobs()
		}()
	}
	return verdict(ctx, err, received)
}

// worker is shared by three goroutines: one receives, one works on the jobs, one tells that the process lives.
type worker struct {
	conn       *wire.Conn
	log        *slog.Logger
	generation uint64 // set before the goroutines start
	started    time.Duration
	jobs       chan job
	stage      atomic.Uint32 // a wire.Stage
	done       atomic.Uint64 // frames that were answered
	rejected   uint64        // messages; of the goroutine that receives
}

// job is something to do in the order of arrival: one of its parts is set.
type job struct {
	open     *wire.OpenStream
	ring     *os.File // open's
	close    *wire.CloseStream
	frame    wire.FrameRecord // where nothing else is set
	shutdown *wire.Shutdown
}

// building says that an engine is built from now on, which takes minutes.
func (w *worker) building() { w.stage.Store(uint32(wire.StageBuilding)) }

func (w *worker) atStage() wire.Stage { return wire.Stage(w.stage.Load()) }

// verdict is what went wrong, without the errors that only say that the talk is over.
func verdict(ctx context.Context, all ...error) error {
	return errors.Join(slices.DeleteFunc(all, func(err error) bool {
		return gone(err) || errors.Is(err, io.EOF) || ctx.Err() != nil && errors.Is(err, net.ErrClosed)
	})...)
}

// gone tells whether a message could not be sent because there is no parent any more.
func gone(err error) bool { return errors.Is(err, unix.EPIPE) || errors.Is(err, unix.ECONNRESET) }

func (w *worker) awaitLoad() (*wire.Load, error) {
	deadline := time.Now().Add(loadWait)
	for {
		m, files, err := w.conn.Receive(deadline)
		closeAll(files)
		if rejected := (*wire.Rejected)(nil); errors.As(err, &rejected) {
			w.reject(rejected.Error())
			continue
		}
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return nil, fmt.Errorf("cannot start: nobody said within %s what to load", loadWait)
		}
		if err != nil {
			return nil, err
		}
		if _, early := m.(*wire.Shutdown); early {
			return nil, w.send(&wire.Goodbye{Generation: wire.GenerationOf(m)})
		}
		load, ok := m.(*wire.Load)
		if !ok {
			w.reject(fmt.Sprintf("%s came before load", wire.KindOf(m)))
			continue
		}
		w.generation = load.Generation
		w.stage.Store(uint32(wire.StageLoading))
		if load.Protocol != wire.ProtocolVersion {
			return nil, w.fault(faultProtocol, fmt.Errorf("cannot talk: the service speaks protocol %d, this worker %d",
				load.Protocol, wire.ProtocolVersion))
		}
		return load, nil
	}
}

// receive turns messages into jobs until the talk is over.
func (w *worker) receive(ctx context.Context) error {
	for {
		m, files, err := w.conn.Receive(time.Time{})
		if rejected := (*wire.Rejected)(nil); errors.As(err, &rejected) {
			w.reject(rejected.Error())
			continue
		}
		if err != nil {
			return err
		}
		if g := wire.GenerationOf(m); g != w.generation {
			closeAll(files)
			w.reject(fmt.Sprintf("%s is for generation %d, this is %d", wire.KindOf(m), g, w.generation))
			continue
		}
		switch m := m.(type) {
		case *wire.OpenStream:
			w.enqueue(ctx, job{open: m, ring: files[0]}) // Receive has seen to it that there is one
		case *wire.CloseStream:
			w.enqueue(ctx, job{close: m})
		case *wire.Frames:
			for _, r := range m.Records {
				w.enqueue(ctx, job{frame: r})
			}
		case *wire.Shutdown:
			if w.atStage() != wire.StageReady {
				w.log.Info("shutting down before the model is loaded", "reason", m.Reason)
				return w.send(&wire.Goodbye{Generation: w.generation})
			}
			w.enqueue(ctx, job{shutdown: m})
		default:
			w.reject(fmt.Sprintf("%s has no place here", wire.KindOf(m)))
		}
	}
}

func (w *worker) enqueue(ctx context.Context, j job) {
	select {
	case w.jobs <- j:
	case <-ctx.Done():
		j.drop()
	}
}

func (w *worker) dropJobs() {
	for {
		select {
		case j := <-w.jobs:
			j.drop()
		default:
			return
		}
	}
}

func (j job) drop() {
	if j.ring != nil {
		closeAll([]*os.File{j.ring})
	}
}

// reject counts a message that is not obeyed. Every power of two is logged: a flood must not become one of log lines.
func (w *worker) reject(why string) {
	w.rejected++
	if bits.OnesCount64(w.rejected) == 1 {
		w.log.Warn("message is not obeyed", "why", why, "rejected", w.rejected)
	}
}

// beat tells every second that the process lives, what it is at, and how many frames it has answered. A parent that is
// gone ends everything.
func (w *worker) beat(ctx context.Context, end func()) {
	tick := time.NewTicker(wire.HeartbeatInterval)
	defer tick.Stop()
	for {
		err := w.send(&wire.Heartbeat{Generation: w.generation, Stage: w.atStage(), Counter: w.done.Load()})
		if gone(err) {
			end()
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

func (w *worker) send(m wire.Message) error { return w.conn.Send(time.Now().Add(sendWait), m) }

// fault tells the parent of err and gives it back.
func (w *worker) fault(kind string, err error) error {
	if sent := w.send(&wire.Fault{Generation: w.generation, Kind: kind, Message: err.Error()}); sent != nil {
		w.log.Warn("the service could not be told", "kind", kind, "error", sent)
	}
	return err
}

// closeAll gives up descriptors that were read from nowhere: closing them can fail to save nothing.
func closeAll(files []*os.File) {
	for _, f := range files {
		_ = f.Close()
	}
}
