package pipeline

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"

	"vedette/cmd/vedette/internal/config"
	"vedette/cmd/vedette/internal/inject"
	"vedette/cmd/vedette/internal/logging"
	"vedette/infer"
	"vedette/infer/client"
	"vedette/infer/wire"
	"vedette/supervisor"
	"vedette/supervisor/process"
)

// stopWithin is what the worker's shutdown message, SIGTERM and SIGKILL share. The whole service has to stop inside
// systemd's TimeoutStopSec, and a person waits for Ctrl-C.
const stopWithin = 1500 * time.Millisecond

// ControlFD is the worker's descriptor of its control socket: the first that process.Start hands over.
const ControlFD = 3

// orders are what a worker is started by.
type orders struct {
	config    config.Config
	modelPath string
}

func newOrders(cfg config.Config) (*orders, error) {
	path, err := ModelPath(cfg.Infer.Model, cfg.StateDir)
	if err != nil {
		return nil, err
	}
	return &orders{cfg, path}, nil
}

// yieldWithin is above what a frame takes to come and to be looked at, and no time that a board would miss its spare.
const yieldWithin = 300 * time.Millisecond

// yield leaves the processors to a worker that has just taken over, until it has given its first result: the start of
// another, which is to stand by, would slow it down. Where active workers are missing nothing waits.
func (w *workers) yield() {
	var active []*client.Link
	for i := range w.links {
		if link := w.activeLink(i); link != nil {
			active = append(active, link)
		}
	}
	if len(active) < w.active {
		return
	}
	timeout := time.NewTimer(yieldWithin)
	defer timeout.Stop()
	for _, link := range active {
		select {
		case <-link.FirstResult():
		case <-timeout.C:
			return
		}
	}
}

func (w *workers) launch(i int, name string, generation uint64) (process.Spec, supervisor.Conversation, error) {
	w.yield()
	o := w.orders.Load()
	cfg := o.config.Infer
	if i == w.standIn {
		cfg.Providers = withoutTensorRT(cfg.Providers)
	}
	if accelerated(cfg) {
		if err := os.MkdirAll(cacheFolder(o.config), 0o700); err != nil {
			return process.Spec{}, nil, fmt.Errorf("cannot make the worker's cache: %w", err)
		}
	}
	bounded := workerPolicy(o.config, o.modelPath)
	bounded.Data = w.dataLimit(cfg)
	policy, err := bounded.File()
	if err != nil {
		return process.Spec{}, nil, err
	}
	parent, child, err := wire.Pair()
	if err != nil {
		return process.Spec{}, nil, errors.Join(err, policy.Close())
	}
	conn, err := wire.NewConn(parent)
	if err != nil {
		return process.Spec{}, nil, errors.Join(err, child.Close(), policy.Close())
	}
	link := w.client.Link(conn, wire.Load{
		Generation:  generation,
		Protocol:    wire.ProtocolVersion,
		Name:        cfg.Model,
		ModelPath:   o.modelPath,
		Runtime:     cfg.Runtime,
		Providers:   cfg.Providers,
		Fallback:    cfg.Fallback,
		Accelerator: 0, // childEnvironment leaves the worker but one device, which is number 0 to it
		CUDA:        cfg.CUDA,
		TensorRT:    cfg.TensorRT,
		Cache:       workerCache(o.config),
		Preprocess:  cfg.Preprocess,
		Threads:     cfg.Threads,
		Batch:       cfg.Batch,
		Ahead:       ahead(cfg, runtime.GOMAXPROCS(0)),
		Thresholds:  cfg.Thresholds,
		Low:         o.config.Track.Low, // what may continue an object
	})
	w.links[i].Store(link)
	spec := process.Spec{
		Path:  w.executable,
		Args:  confined(policyFD, w.executable, "infer-worker"),
		Env:   childEnvironment(o.config),
		Files: []*os.File{child, policy}, // ControlFD, policyFD
		Line:  logging.Relay(w.logger.With("worker", name, "generation", generation)),
	}
	return spec, conversation{link, func(m infer.Model) { w.models[i].Store(&m) }}, nil
}

// conversation is one generation's talk, in the supervisor's words.
type conversation struct {
	*client.Link
	loaded func(infer.Model)
}

// Serve says the client's failures as the supervisor's.
func (c conversation) Serve(ctx context.Context, building, ready func()) error {
	err := c.Link.Serve(ctx, building, func(model infer.Model) {
		c.loaded(model)
		ready()
	})
	var failure *client.Failure
	if errors.As(err, &failure) {
		return &supervisor.Failure{
			Kind: supervisor.Kind(failure.Kind), Message: failure.Message, Traceback: failure.Traceback,
		}
	}
	return err
}

// childEnvironment is what a worker may know: nothing of the service's own sockets and secrets.
func childEnvironment(cfg config.Config) []string {
	allowed := append(inject.Environment(),
		"PATH", "HOME", "LANG", "LD_LIBRARY_PATH", "TMPDIR", "VEDETTE_ONNXRUNTIME", "GORACE", "GOCOVERDIR")
	var env []string
	for _, pair := range os.Environ() {
		if name, _, _ := strings.Cut(pair, "="); slices.Contains(allowed, name) {
			env = append(env, pair)
		}
	}
	if accelerated(cfg.Infer) {
		env = append(env, "CUDA_DEVICE_ORDER=PCI_BUS_ID", fmt.Sprintf("CUDA_VISIBLE_DEVICES=%d", cfg.Infer.Accelerator),
			"CUDA_CACHE_PATH="+cacheFolder(cfg))
	}
	return env
}
