// Package replay runs pictures and videos through a pool of workers and writes down what they see.
//
// The same input gives the same bytes, whatever the number of workers: what is found is written in the order of the
// input, and nothing that depends on time is. Only the number of threads of one session may make a difference, in a
// score's last digit.
package replay

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	"vedette/cmd/vedette/internal/config"
	"vedette/cmd/vedette/internal/pipeline"
	"vedette/infer/client"
)

// Options are what is replayed, and where to.
type Options struct {
	Config     config.Config // of its infer section
	Executable string        // the program to start as worker
	Inputs     []string      // files and folders
	Threshold  float32       // the least score of any label; negative: the thresholds of the configuration and of the model
	Out        string        // file for JSON Lines, which keeps what it has until the first one comes
	Output     io.Writer     // of JSON Lines where Out names no file
	Pictures   string        // folder for annotated JPEG files; empty: none
	Video      string        // file for an annotated video; empty: none
	Progress   io.Writer     // a terminal; nil: none
	Logger     *slog.Logger
}

// Summary is what was done.
type Summary struct {
	Frames     uint64
	Detections uint64
	Failed     uint64 // frames that could not be looked at
	Took       time.Duration
}

// FPS is the frames in a second, the loading of the model left out.
func (s Summary) FPS() float64 { return float64(s.Frames) / s.Took.Seconds() }

// ErrInput says that what would be written is read.
var ErrInput = errors.New("is an input, and would be lost: name another")

// Run replays all inputs. The summary is of what was done until an error.
func Run(ctx context.Context, o Options) (summary Summary, err error) {
	items, err := list(o.Inputs)
	if err != nil {
		return Summary{}, err
	}
	if err := o.spare(items); err != nil {
		return Summary{}, err
	}
	if o.Out != "" {
		file, openErr := os.OpenFile(o.Out, os.O_WRONLY|os.O_CREATE, 0o666)
		if openErr != nil {
			return Summary{}, fmt.Errorf("cannot write: %w", openErr)
		}
		defer func() { err = errors.Join(err, file.Close()) }()
		o.Output = &overwriting{file: file}
	}
	o.Config.Track.Low = 1 // nothing is tracked: what does not count is of no use
	if o.Threshold >= 0 {
		o.Config.Track.Low = o.Threshold
	}
	err = pipeline.RunPool(ctx, o.Config, o.Executable, o.Logger, func(ctx context.Context, c *client.Client) error {
		r := &run{ctx: ctx, options: o, client: c, streams: map[shape]*stream{}, out: newWriter(o)}
		if o.Progress != nil {
			r.bar = newBar(o.Progress, items)
		}
		err := r.all(items)
		summary = r.out.summary()
		r.bar.end()
		return err
	})
	return summary, err
}

// run is one replay. It belongs to one goroutine; results come on the streams' own.
type run struct {
	ctx     context.Context //nolint:containedctx // the replay's own, for all that it waits for
	options Options
	client  *client.Client
	streams map[shape]*stream // open, by what their frames look like
	next    uint64            // the next frame's place in the output
	out     *writer
	bar     *bar
}

func (r *run) all(items []item) error {
	err := func() error {
		for _, it := range items {
			if err := r.item(it); err != nil {
				return fmt.Errorf("%s: %w", it.path, err)
			}
		}
		return nil
	}()
	for _, s := range r.streams {
		err = errors.Join(err, s.close(r.ctx))
	}
	if errors.Is(err, errUnwritten) {
		err = nil // close says why
	}
	return errors.Join(err, r.out.close())
}

func (r *run) item(it item) error {
	if it.kind == picture {
		return r.picture(it)
	}
	return r.video(it)
}

// mostWaiting bounds the results that wait for an earlier one: a frame that has failed shows by the next of its stream, which may
// be far.
const mostWaiting = 256

var errUnwritten = errors.New("answers cannot be written")

// submit gives a frame to the workers, and waits for room.
func (r *run) submit(s *stream, f frame) error {
	f.place = r.next
	if r.out.broken() {
		return errUnwritten
	}
	if r.out.waiting() > mostWaiting {
		for _, s := range r.streams {
			if err := s.settle(r.ctx); err != nil {
				return err
			}
		}
	}
	if err := s.submit(r.ctx, f); err != nil {
		return err
	}
	r.next++
	r.bar.add()
	return nil
}
