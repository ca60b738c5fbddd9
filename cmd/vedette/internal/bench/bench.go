// Package bench measures the whole pipeline beside the bare model: throughput, CPU time, latency, memory.
//
// Both loops have the same model, threads and workers, and run in turn, block by block, in one process tree: what else
// the machine does meets both alike, and each ratio is of neighbours in time. While one runs the other waits and costs
// nothing. This process never loads ONNX Runtime.
package bench

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"runtime/debug"
	"slices"
	"time"

	"vedette/capture"
	"vedette/capture/scene"
	"vedette/infer"
	"vedette/web/live"
)

// Options are what is measured, and for how long.
type Options struct {
	Model      string // path of the .onnx file
	Threads    int    // of one session; 0: as many as the process may use
	Workers    int
	Scene      capture.SceneConfig // its rate does not count
	Camera     capture.Source      // whose frames are shown instead of the scene's; nil: none
	Draw       bool                // whether each of the scene's frames is drawn when it is taken, as a camera of that source's are
	Blocks     int
	Block      time.Duration
	Viewers    int    // of the live view, in blocks of their own; 0: none
	Kills      int    // how often workers are killed, without a spare and with one; 0: not at all
	Executable string // this program, which is started as worker, as bare session and as demonstration
	Version    string
	Logger     *slog.Logger
}

func (o Options) validate() error {
	switch {
	case o.Blocks < 1 || o.Blocks > 10000:
		return fmt.Errorf("blocks: %d is outside 1 to 10000", o.Blocks)
	case o.Block < 10*time.Millisecond || o.Block > time.Hour:
		return fmt.Errorf("block: %v is outside 10ms to 1h", o.Block)
	case o.Kills < 0 || o.Kills > 10000:
		return fmt.Errorf("kill: %d is outside 0 to 10000", o.Kills)
	case o.Viewers < 0 || o.Viewers > live.MaxViewers:
		return fmt.Errorf("viewers: %d is outside 0 to %d", o.Viewers, live.MaxViewers)
	case o.Threads < 0 || o.Threads > 256:
		return fmt.Errorf("threads: %d is outside 0 to 256", o.Threads)
	case o.Workers < 1 || o.Workers > 16:
		return fmt.Errorf("workers: %d is outside 1 to 16", o.Workers)
	case o.Draw && o.Camera != nil:
		return errors.New("draw: a camera's frames are not drawn")
	}
	return nil
}

func (o Options) reel(ctx context.Context) (*reel, error) {
	if o.Camera != nil {
		return newReel(ctx, o.Camera)
	}
	r, err := sceneReel(ctx, o.Scene)
	if err == nil && o.Draw {
		endless := o.Scene
		endless.Rate = 0
		r.drawn, err = scene.New(endless)
	}
	return r, err
}

// Run measures.
func Run(ctx context.Context, o Options) (Report, error) {
	if err := o.validate(); err != nil {
		return Report{}, err
	}
	if o.Threads == 0 {
		o.Threads = runtime.GOMAXPROCS(0)
	}
	reel, err := o.reel(ctx)
	if err != nil {
		return Report{}, err
	}
	// A camera gives what it has. The bare session, which cannot have the camera too, is fed a scene in that form.
	o.Scene.Size = capture.Size{Width: reel.format.Width, Height: reel.format.Height}
	o.Scene.Format = reel.format.Pixel
	report := Report{
		Model: o.Model, Threads: o.Threads, Workers: o.Workers,
		Size: o.Scene.Size.String(), Format: o.Scene.Format.String(),
		Blocks: o.Blocks, Block: o.Block.Seconds(), Machine: machine(),
	}
	if report.FirstDetection, err = firstDetection(ctx, o.Executable, o.Model); err != nil {
		return Report{}, err
	}
	debug.FreeOSMemory() // the photographs, which are not the service's
	if err := forgetPeak(); err != nil {
		o.Logger.Warn("memory use includes the preparations", "error", err)
	}

	raw, err := startRawLoop(ctx, o.Executable, o.Workers, RawOptions{o.Model, o.Threads, o.Scene})
	if err != nil {
		return Report{}, err
	}
	m, err := measure(ctx, o, raw, reel, &report)
	if err = errors.Join(err, raw.stop()); err != nil {
		return Report{}, err
	}
	m.conclude(&report)
	if o.Viewers > 0 {
		report.Watched = m.concludeWatched(o.Viewers)
	}
	if o.Kills > 0 {
		if report.Recovery, err = recovery(ctx, o, reel); err != nil {
			return Report{}, err
		}
	}
	return report, nil
}

// measurements are one value for each block; of the latency one for each frame.
type measurements struct {
	raw, rawCPU               []float64
	pipeline, parent, child   []float64
	ratio, outside            []float64
	preprocess, infer, decode []float64
	added                     []float64
	watched                   watched
}

// measure runs the blocks, and fills in what only the running pipeline knows.
func measure(ctx context.Context, o Options, raw rawLoop, reel *reel, report *Report) (*measurements, error) {
	// The first block of each loads the model and is not counted.
	if _, _, err := raw.block(o.Block); err != nil {
		return nil, err
	}
	s, err := startService(ctx, o, reel, nil)
	if err != nil {
		return nil, err
	}
	m := &measurements{}
	err = m.blocks(ctx, o, raw, s)
	if err == nil {
		report.Memory, err = s.memory()
	}
	report.Restarts = s.pipeline.Restarts()
	err = errors.Join(err, s.stop())
	report.Drops, report.Frames = s.drops(), s.total().frames
	return m, err
}

func (m *measurements) blocks(ctx context.Context, o Options, raw rawLoop, s *service) error {
	if err := s.warmUp(ctx, o.Workers, o.Block); err != nil {
		return err
	}
	for i := range o.Blocks {
		loops := []func() error{
			func() error { return m.addRaw(raw, o.Block) },
			func() error { return m.addPipeline(ctx, s, o.Block) },
		}
		if o.Viewers > 0 {
			loops = append(loops, func() error { return m.addWatched(ctx, o, s) })
		}
		if i%2 == 1 { // who goes first changes, so that a machine that gets warm favours none
			slices.Reverse(loops)
		}
		for _, loop := range loops {
			if err := loop(); err != nil {
				return err
			}
		}
		m.ratio = append(m.ratio, m.pipeline[i]/m.raw[i])
		m.outside = append(m.outside, m.parent[i]+m.child[i]-m.rawCPU[i])

		// A session's own rate is that of all over the workers.
		period := time.Duration(2 * float64(o.Workers) / median(m.raw) * float64(time.Second))
		added, err := s.paced(ctx, period, o.Block)
		if err != nil {
			return err
		}
		m.added = append(m.added, added...)
	}
	return nil
}

func (m *measurements) addRaw(raw rawLoop, d time.Duration) error {
	fps, cpu, err := raw.block(d)
	m.raw, m.rawCPU = append(m.raw, fps), append(m.rawCPU, cpu)
	return err
}

func (m *measurements) addPipeline(ctx context.Context, s *service, d time.Duration) error {
	b, err := s.block(ctx, d)
	if err != nil {
		return err
	}
	perFrame := func(sum time.Duration) float64 { return milliseconds(sum) / float64(b.frames) }
	m.pipeline = append(m.pipeline, b.fps)
	m.parent = append(m.parent, b.parent)
	m.child = append(m.child, b.child)
	m.preprocess = append(m.preprocess, perFrame(b.stages.Preprocess))
	m.infer = append(m.infer, perFrame(b.stages.Infer))
	m.decode = append(m.decode, perFrame(b.stages.Decode))
	return nil
}

// conclude fills in what the blocks give.
func (m *measurements) conclude(r *Report) {
	r.Raw.FPS, r.Pipeline.FPS = round(median(m.raw), 2), round(median(m.pipeline), 2)
	r.Ratio = round(median(m.ratio), 3)
	s := spread(m.ratio)
	r.RatioSpread = Spread{round(s.Min, 3), round(s.P25, 3), round(s.P75, 3), round(s.Max, 3)}
	r.CPU = CPU{
		Parent: round(median(m.parent), 3), Child: round(median(m.child), 3), Raw: round(median(m.rawCPU), 3),
		Preprocess: round(median(m.preprocess), 3), Infer: round(median(m.infer), 3), Decode: round(median(m.decode), 3),
		OutsideSession: round(median(m.outside), 3),
	}
	r.Latency = Latency{
		P50: round(median(m.added), 3), P99: round(quantile(m.added, 0.99), 3), Samples: len(m.added),
	}
	r.Memory.Parent, r.Memory.Child = round(r.Memory.Parent, 1), round(r.Memory.Child, 1)
	r.Memory.Ring = round(r.Memory.Ring, 1)
}

// DefaultOptions are the service's own settings, and ten blocks of two seconds.
func DefaultOptions() Options {
	defaults, scene := infer.DefaultConfig(), capture.DefaultScene()
	return Options{Threads: defaults.Threads, Workers: defaults.Workers, Scene: scene, Blocks: 10, Block: 2 * time.Second}
}
