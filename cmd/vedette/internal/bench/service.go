package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"vedette/capture"
	"vedette/cmd/vedette/internal/config"
	"vedette/cmd/vedette/internal/pipeline"
	"vedette/infer"
	"vedette/infer/client"
	"vedette/infer/wire"
	"vedette/supervisor"
)

const (
	cameraName = "bench"
	// patience is how long nothing may happen while something should: the run deadline would have struck long before.
	patience = 30 * time.Second
)

// service is the whole pipeline, in this process and its workers, fed by a reel.
type service struct {
	reel     *reel
	pipeline *pipeline.Pipeline
	cancel   context.CancelFunc
	done     chan error
	handled  chan struct{} // frames have been handled since: look again. One is enough

	mu    sync.Mutex // guards tally
	tally tally
}

// tally is what the pipeline's results add up to.
type tally struct {
	frames uint64
	at     time.Duration // when the last one was handled, on CLOCK_MONOTONIC
	added  time.Duration // of the last one: from its capture to at, without the session's run
	model  *infer.Model  // of the worker that made the last one in which something was seen
	taken  time.Duration // when its first such one was handled
	stages infer.Timings // sums
}

// startService starts the pipeline as it is measured, after adjust, which may be nil, has had its way.
func startService(ctx context.Context, o Options, reel *reel, adjust func(*pipeline.Options)) (*service, error) {
	cfg := config.Default()
	camera := capture.DefaultCamera()
	camera.Name, camera.Source.Scene, camera.Rate = cameraName, &o.Scene, 0
	cfg.Cameras = []capture.Camera{camera}
	cfg.Web.Listen = "" // a scrape would be measured, too
	if o.Viewers > 0 {
		cfg.Web.Listen = "127.0.0.1:0"
	}
	cfg.Infer.Model, cfg.Infer.Threads, cfg.Infer.Workers = o.Model, o.Threads, o.Workers
	s := &service{reel: reel, done: make(chan error, 1), handled: make(chan struct{}, 1)}
	options := pipeline.Options{
		Config: cfg, Version: o.Version, Executable: o.Executable, Logger: o.Logger,
		Sources: map[string]capture.Source{cameraName: reel}, Lossless: true, Handled: s.count,
	}
	if adjust != nil {
		adjust(&options)
	}
	var err error
	s.pipeline, err = pipeline.New(options)
	if err != nil {
		return nil, err
	}
	ctx, s.cancel = context.WithCancel(ctx)
	go func() { s.done <- s.pipeline.Run(ctx) }()
	return s, nil
}

func (s *service) stop() error {
	s.cancel()
	return <-s.done
}

// count is called with each result once its message has been handed over.
func (s *service) count(r *client.Result) {
	now := wire.Monotonic()
	s.mu.Lock()
	s.tally.frames++
	s.tally.at = now
	s.tally.added = now - r.Monotonic - r.Timings.Infer
	s.tally.stages.Preprocess += r.Timings.Preprocess
	s.tally.stages.Infer += r.Timings.Infer
	s.tally.stages.Decode += r.Timings.Decode
	if len(r.Detections) > 0 && r.Model != s.tally.model {
		s.tally.model, s.tally.taken = r.Model, now
	}
	s.mu.Unlock()
	select {
	case s.handled <- struct{}{}:
	default:
	}
}

func (s *service) total() tally {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.tally
}

// await waits until so many frames have been handled since the start.
func (s *service) await(ctx context.Context, frames uint64) error {
	timer := time.NewTimer(patience)
	defer timer.Stop()
	for s.total().frames < frames {
		select {
		case <-s.handled:
			timer.Reset(patience)
		case <-ctx.Done():
			return ctx.Err()
		case err := <-s.done:
			s.done <- err // for stop
			return errors.Join(errors.New("the pipeline ended before its time"), err)
		case <-timer.C:
			return s.stuck()
		}
	}
	return nil
}

// stuck says why no frame comes through, as far as the service knows.
func (s *service) stuck() error {
	worker := s.pipeline.State().Worker
	if worker.LastFault != nil {
		return fmt.Errorf("the pipeline gives no results: worker: %s: %s", worker.LastFault.Kind, worker.LastFault.Message)
	}
	return fmt.Errorf("the pipeline gave no result within %v (its worker is %s)", patience, worker.State)
}

// block is what one block of the pipeline gave. CPU times are in milliseconds for one frame.
type block struct {
	fps, parent, child float64
	stages             infer.Timings // sums
	frames             uint64
}

// block runs the pipeline for so long. The throughput is that of the middle: without the first frames, until which the pipeline
// fills, and the last ones, with which it empties. CPU time is of all frames, from the first's capture on.
func (s *service) block(ctx context.Context, d time.Duration) (block, error) {
	cpu, err := s.cpu()
	if err != nil {
		return block{}, err
	}
	before := s.total()
	stop := s.reel.run()
	err = s.await(ctx, before.frames+uint64(len(cpu)))
	first := s.total()
	if err == nil {
		select {
		case <-time.After(d):
		case <-ctx.Done():
			err = ctx.Err()
		}
	}
	if err == nil {
		err = s.await(ctx, first.frames+1)
	}
	last := s.total()
	stop()
	if err != nil {
		return block{}, err
	}
	if err := s.empty(ctx); err != nil {
		return block{}, err
	}
	after := s.total()
	end, err := s.cpu()
	if err != nil {
		return block{}, err
	}
	b := block{
		fps:    float64(last.frames-first.frames) / (last.at - first.at).Seconds(),
		frames: after.frames - before.frames,
		stages: infer.Timings{
			Preprocess: after.stages.Preprocess - before.stages.Preprocess,
			Infer:      after.stages.Infer - before.stages.Infer,
			Decode:     after.stages.Decode - before.stages.Decode,
		},
	}
	for pid, used := range end {
		if ms := milliseconds(used-cpu[pid]) / float64(b.frames); pid == os.Getpid() {
			b.parent += ms
		} else {
			b.child += ms
		}
	}
	return b, nil
}

// empty waits for the frames that are on their way.
func (s *service) empty(ctx context.Context) error {
	for {
		shown := s.pipeline.Frames()
		if err := s.await(ctx, shown); err != nil {
			return err
		}
		if s.pipeline.Frames() == shown { // else one was taken at the very end
			return nil
		}
	}
}

// paced shows single frames, at most one in each period and one at a time, for so long. It gives how much later than the
// session's run each was done, in milliseconds. The first is not counted: the bare session may have run since the pipeline's last
// frame, and all that the pipeline needs is out of the caches. A camera's frames come one soon after the other.
func (s *service) paced(ctx context.Context, period, d time.Duration) ([]float64, error) {
	var added []float64
	ticker := time.NewTicker(period)
	defer ticker.Stop()
	end := time.Now().Add(d)
	for counted := false; len(added) == 0 || time.Now().Before(end); counted = true { // one at least, however slow the machine is
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-ticker.C:
		}
		before := s.total().frames
		select {
		case s.reel.step <- struct{}{}:
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(patience):
			return nil, s.stuck()
		}
		if err := s.await(ctx, before+1); err != nil {
			return nil, err
		}
		if counted {
			added = append(added, milliseconds(s.total().added))
		}
	}
	return added, nil
}

// cpu is the CPU time of this process and of each worker, by process id.
func (s *service) cpu() (map[int]time.Duration, error) {
	all := map[int]time.Duration{}
	for _, pid := range append(s.workers(), os.Getpid()) {
		t, err := cpuTime(pid)
		if err != nil {
			return nil, err
		}
		all[pid] = t
	}
	return all, nil
}

func (s *service) workers() []int {
	var pids []int
	for _, w := range s.pipeline.State().Workers {
		if w.PID > 0 {
			pids = append(pids, w.PID)
		}
	}
	return pids
}

// memory is to be asked while the workers are there.
func (s *service) memory() (Memory, error) {
	peak, frames, err := memory(os.Getpid(), sharedName)
	if err != nil {
		return Memory{}, err
	}
	m := Memory{Parent: inMiB(peak - frames)}
	for _, pid := range s.workers() {
		peak, frames, err := memory(pid, sharedName)
		if err != nil {
			return Memory{}, err
		}
		m.Child = max(m.Child, inMiB(peak-frames))
		m.Ring = max(m.Ring, inMiB(frames))
	}
	return m, nil
}

// drops is what was lost, frames and messages.
func (s *service) drops() map[string]uint64 {
	drops := map[string]uint64{}
	for cause, n := range s.pipeline.Drops() {
		if n > 0 {
			drops[string(cause)] = n
		}
	}
	if n := s.pipeline.State().Outbox.Dropped; n > 0 {
		drops["message"] = n
	}
	return drops
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

func inMiB(bytes int64) float64 { return float64(bytes) / mib }

// warmUp waits until every worker takes frames, and gives the pipeline one block that is not counted.
func (s *service) warmUp(ctx context.Context, workers int, d time.Duration) error {
	stop := s.reel.run()
	defer stop()
	for frames := s.total().frames; ; frames++ {
		if err := s.await(ctx, frames+1); err != nil {
			return err
		}
		if s.ready() == workers {
			break
		}
	}
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *service) ready() (n int) {
	for _, w := range s.pipeline.State().Workers {
		if w.State == string(supervisor.Ready) {
			n++
		}
	}
	return n
}
