package pipeline

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"vedette/capture"
	"vedette/capture/command"
	"vedette/capture/scene"
	"vedette/capture/v4l2"
	"vedette/cmd/vedette/internal/bestview"
	"vedette/cmd/vedette/internal/metrics"
	"vedette/infer/client"
	"vedette/infer/motion"
	"vedette/track"
)

// camera is one configured camera: its loop, which reads, and its stream, which leads to the workers.
type camera struct {
	config   capture.Camera
	loop     *capture.Loop
	client   *client.Client
	source   capture.Source
	handle   func(*client.Result)
	bare     func(*view, *capture.Frame) // shows a frame that no model looks at
	lossless bool                        // whether every frame counts: frames wait for a place instead of being dropped

	publisher *publisher // of the stream's goroutine
	tracking  *tracking
	best      *bestview.Camera
	sightings []track.Sighting // of the stream's goroutine
	record    *metrics.Camera  // of the stream's goroutine

	// waits says that the loop waits for the workers, which have deadlines of their own, on behalf of a lossless source.
	waits atomic.Bool

	stop    context.CancelFunc
	ended   chan struct{}   // closed when the loop has returned
	stopped context.Context //nolint:containedctx // Frame has no context of its own, and waits for a place where told to

	// Of the loop's goroutine.
	stream *client.Stream
	view   *view        // made anew before each stream, and then of its goroutine, too
	gate   *motion.Gate // nil where the camera has none

	mu     sync.Mutex // guards what Drops reads while the loop writes
	open   *client.Stream
	before map[capture.DropCause]uint64 // of streams that are closed, and of the gate
}

func (p *Pipeline) newCamera(ctx context.Context, config capture.Camera, source capture.Source) *camera {
	ctx, stop := context.WithCancel(ctx)
	fromCommand := config.Source.Command
	cam := &camera{
		config: config, client: p.client, source: source, publisher: p.newPublisher(config.Name), tracking: p.newTracking(config),
		best: p.best.Camera(config.Name), record: p.records.Camera(config.Name),
		stopped: ctx, stop: stop, ended: make(chan struct{}),
		lossless: p.opts.Lossless || fromCommand != nil && fromCommand.Lossless,
		before:   map[capture.DropCause]uint64{},
	}
	cam.handle = func(r *client.Result) { p.handle(cam, r) }
	cam.bare = p.showBare
	cam.loop = capture.NewLoop(config.Name, source, cam, p.opts.Logger)
	return cam
}

// NewSource makes the source that a camera's configuration names. executable confines the programs of command sources.
func NewSource(config capture.SourceConfig, executable string, logger *slog.Logger) (capture.Source, error) {
	switch {
	case config.V4L2 != nil:
		return v4l2.New(*config.V4L2, logger)
	case config.Command != nil:
		source, err := command.New(*config.Command, logger)
		if err != nil {
			return nil, err
		}
		source.Wrap = confineSource(executable, *config.Command)
		return source, nil
	case config.Scene != nil:
		return scene.New(*config.Scene)
	}
	return nil, errors.New("a camera needs a source: v4l2, command or scene")
}

// Opened makes a ring for the stream's frames.
func (c *camera) Opened(format capture.Format) error {
	view, err := newView(c.config, format)
	if err != nil {
		return fmt.Errorf("cannot show camera %s: %w", c.config.Name, err)
	}
	c.view = view
	if c.config.Motion.Enabled {
		gate, err := motion.New(format, c.config.Turn(), c.config.Region, c.config.Masks)
		if err != nil {
			return fmt.Errorf("cannot open a stream for camera %s: %w", c.config.Name, err)
		}
		c.gate = gate
	}
	stream, err := c.client.OpenStream(client.StreamOptions{
		Name: c.config.Name, Format: format, Region: c.config.Region, Turn: c.config.Turn(),
		Masks: c.config.Masks, Rate: c.config.Rate, Handle: c.handle,
	})
	if err != nil {
		return fmt.Errorf("cannot open a stream for camera %s: %w", c.config.Name, err)
	}
	c.stream = stream
	c.mu.Lock()
	c.open = stream
	c.mu.Unlock()
	return nil
}

// Frame offers a frame to the workers. A lossless source, which is not live, waits for them instead. Where nothing moves it
// is dropped, before anything is copied.
func (c *camera) Frame(frame *capture.Frame) {
	if c.gate != nil && !c.gate.Moving(frame.Data, frame.Monotonic) {
		c.mu.Lock()
		c.before[capture.DropMotion]++
		c.mu.Unlock()
		c.bare(c.view, frame)
		return
	}
	if c.lossless {
		c.waits.Store(true)
		// The only errors are the service's end and the stream's: both end the loop as well.
		_ = c.stream.Submit(c.stopped, frame)
		c.waits.Store(false)
		return
	}
	if _, taken := c.stream.Offer(frame); !taken {
		c.bare(c.view, frame)
	}
}

// drainWithin is how long the last frames of a lossless source may take.
const drainWithin = 30 * time.Second

// Closed ends the stream, and first waits for a lossless source's last results.
func (c *camera) Closed(err error) {
	if c.stream == nil {
		return
	}
	if err == nil && c.lossless {
		ctx, cancel := context.WithTimeout(c.stopped, drainWithin)
		c.waits.Store(true)
		_ = c.stream.Drain(ctx) // what is left is counted as dropped by Close
		c.waits.Store(false)
		cancel()
	}
	_ = c.stream.Close() // its error is an unmapping that failed, which no caller can mend
	drops := c.stream.Drops()
	c.stream = nil
	c.mu.Lock()
	defer c.mu.Unlock()
	c.open = nil
	for cause, n := range drops {
		c.before[cause] += n
	}
}

// end says that the loop has returned, to all who wait for it.
func (c *camera) end(ended chan<- struct{}) {
	c.stop()
	close(c.ended)
	select {
	case ended <- struct{}{}:
	default:
	}
}

// stuck gives an error where the loop has missed its own deadline. A camera that is lost is not stuck: its loop goes on
// trying.
func (c *camera) stuck() error {
	due := c.loop.Status().Due
	if late := time.Since(due); !due.IsZero() && late > 0 && !c.waits.Load() {
		return fmt.Errorf("its capture loop is %s behind its deadline", late.Round(time.Millisecond))
	}
	return nil
}

// Drops is how many frames were not looked at, by cause: in the source and on the way to a worker.
func (c *camera) Drops() map[capture.DropCause]uint64 {
	drops := maps.Clone(c.loop.Status().Drops)
	if drops == nil {
		drops = map[capture.DropCause]uint64{}
	}
	c.mu.Lock()
	open := c.open
	for cause, n := range c.before {
		drops[cause] += n
	}
	c.mu.Unlock()
	if open != nil {
		for cause, n := range open.Drops() {
			drops[cause] += n
		}
	}
	return drops
}
