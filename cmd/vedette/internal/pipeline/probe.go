package pipeline

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image/jpeg"
	"log/slog"
	"slices"
	"sync"
	"time"

	"vedette/capture"
	"vedette/cmd/vedette/internal/config"
	"vedette/infer"
	"vedette/infer/client"
	"vedette/infer/wire"
	"vedette/supervisor"
	"vedette/supervisor/cgroup"
	"vedette/supervisor/notify"
)

// lookingTakes is what a probe has beside the worker's own deadlines: for its end, and for pictures.
const lookingTakes = 10 * time.Second

// Probe loads the configured model in a worker of its own, as the service would, has it look at pictures, each a JPEG file, and
// ends it again. found is what it saw in each.
func Probe(ctx context.Context, cfg config.Config, executable string, tree *cgroup.Tree, pictures [][]byte, logger *slog.Logger,
) (model infer.Model, found [][]infer.Detection, err error) {
	ctx, cancel := context.WithTimeout(ctx, longestAttempt(cfg.Infer)+lookingTakes)
	defer cancel()
	cfg.Infer.Workers, cfg.Infer.Spare = 1, false
	c := client.New(client.Options{
		RunDeadline: cfg.Infer.Deadlines.Run, LoadDeadline: cfg.Infer.Deadlines.Load, BuildDeadline: cfg.Infer.Deadlines.Build,
	}, logger)
	var failure error
	fault := func(f supervisor.Fault) {
		failure = errors.New(f.Message)
		cancel()
	}
	var w *workers
	loaded := make(chan struct{})
	sayLoaded := sync.OnceFunc(func() { close(loaded) })
	changed := func(supervisor.Status) {
		if w != nil && w.model() != nil {
			sayLoaded()
		}
	}
	unwatched := notify.NewWatchdog(notify.WatchdogOptions{})
	w, err = newWorkers(workerOptions{
		config: cfg, executable: executable, tree: tree, client: c, policy: supervisor.DefaultPolicy(),
		fault: fault, changed: changed, watchdog: unwatched, logger: logger,
	})
	if err != nil {
		return infer.Model{}, nil, err
	}
	looked := make(chan error, 1) // one result
	go func() {
		defer cancel()
		select {
		case <-loaded:
			var err error
			found, err = lookAtAll(ctx, c, pictures)
			looked <- err
		case <-ctx.Done():
			looked <- nil // why is the supervisor's to say
		}
	}()
	err = w.supervisors[0].Run(ctx)
	cancel()
	if err := errors.Join(err, <-looked); err != nil && failure == nil {
		return infer.Model{}, nil, err
	}
	if model := w.model(); model != nil && failure == nil {
		return *model, found, nil
	}
	if failure == nil {
		failure = errors.New("the model was not loaded in time (infer.deadlines)")
	}
	return infer.Model{}, nil, failure
}

// lookAtAll has a worker look at pictures, one after the other.
func lookAtAll(ctx context.Context, c *client.Client, pictures [][]byte) ([][]infer.Detection, error) {
	found := make([][]infer.Detection, 0, len(pictures))
	for i, picture := range pictures {
		detections, err := lookAt(ctx, c, picture)
		if err != nil {
			return nil, fmt.Errorf("picture %d: %w", i+1, err)
		}
		found = append(found, detections)
	}
	return found, nil
}

func lookAt(ctx context.Context, c *client.Client, picture []byte) ([]infer.Detection, error) {
	size, err := jpeg.DecodeConfig(bytes.NewReader(picture))
	if err != nil {
		return nil, fmt.Errorf("it is no JPEG that can be read: %w", err)
	}
	var seen *[]infer.Detection
	stream, err := c.OpenStream(client.StreamOptions{
		Name:   "probe",
		Format: capture.Format{Pixel: capture.MJPEG, Width: size.Width, Height: size.Height, SizeImage: len(picture)},
		Region: [4]float64{0, 0, 1, 1},
		Handle: func(r *client.Result) {
			detections := slices.Clone(r.Detections)
			seen = &detections
		},
	})
	if err != nil {
		return nil, err
	}
	err = stream.Submit(ctx, capture.NewFrame(picture, 1, wire.Monotonic(), time.Now(), nil))
	if err == nil {
		err = stream.Drain(ctx)
	}
	err = errors.Join(err, stream.Close())
	switch {
	case err != nil:
		return nil, err
	case seen == nil:
		return nil, errors.New("the worker could not decode it")
	}
	return *seen, nil
}
