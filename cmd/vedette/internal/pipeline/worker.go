package pipeline

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"vedette/cmd/vedette/internal/config"
	"vedette/cmd/vedette/internal/inject"
	"vedette/cmd/vedette/internal/logging"
	"vedette/infer"
	"vedette/infer/client"
	"vedette/infer/wire"
	"vedette/supervisor"
	"vedette/supervisor/cgroup"
	"vedette/supervisor/notify"
	"vedette/supervisor/process"
	"vedette/supervisor/sandbox"
)

// stopWithin is what the worker's shutdown message, SIGTERM and SIGKILL share. The whole service has to stop inside
// systemd's TimeoutStopSec, and a person waits for Ctrl-C.
const stopWithin = 1500 * time.Millisecond

// ControlFD is the worker's descriptor of its control socket: the first that process.Start hands over.
const ControlFD = 3

// workers is the pool and its spare: one supervisor for each worker, all serving one client. Which of them is the spare
// changes: the client has as many active as the configuration says, whichever they are.
type workers struct {
	workerOptions
	sandbox sandbox.Status // what holds the workers

	active      int // how many are to get frames at a time
	standIn     int // which is for the time of a building alone; -1: none
	supervisors []*supervisor.Supervisor
	progress    []*notify.Progress                        // of each supervisor
	links       []atomic.Pointer[client.Link]             // of each supervisor: to its latest generation
	models      []atomic.Pointer[infer.Model]             // as the latest generation of each that loaded it said
	orders      atomic.Pointer[orders]                    // for the next generation of each
	ends        []atomic.Pointer[context.CancelCauseFunc] // of each supervisor: ends its Run
	shed        atomic.Bool                               // whether there is no memory for a spare
}

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

// restartInTurn restarts one worker after the other, so that a pool or a spare has no gap. A worker that does not come up
// is its supervisor's to deal with: the next is restarted when its time to load is over.
func (w *workers) restartInTurn(ctx context.Context, reason string) {
	for _, s := range w.supervisors {
		if s.Status().State == supervisor.Stopped { // a spare that was shed: it takes the new orders when it comes back
			continue
		}
		before := s.Status().Generation
		s.Restart(reason)
		ctx, cancel := context.WithTimeout(ctx, longestAttempt(w.orders.Load().config.Infer))
		for ctx.Err() == nil {
			if now := s.Status(); now.Generation > before && now.State == supervisor.Ready {
				break
			}
			select {
			case <-ctx.Done():
			case <-time.After(20 * time.Millisecond):
			}
		}
		cancel()
	}
}

// supervisorLimit is well above what a supervisor may take over one worker's launch or end: stopWithin, and 3.5 s that it
// grants to last words, exit and SIGKILL.
const supervisorLimit = 15 * time.Second

// workerOptions are what workers are made of.
type workerOptions struct {
	config     config.Config
	executable string
	tree       *cgroup.Tree // nil where there are no cgroups to be had
	client     *client.Client
	policy     supervisor.Policy
	fault      func(supervisor.Fault)
	changed    func(supervisor.Status)
	watchdog   *notify.Watchdog
	standIn    bool // whether there is to be one, see wantsStandIn
	logger     *slog.Logger
}

func newWorkers(o workerOptions) (*workers, error) {
	w := &workers{workerOptions: o, sandbox: sandbox.Supported()}
	cfg := o.config
	first, err := newOrders(cfg)
	if err != nil {
		return nil, err
	}
	w.orders.Store(first)
	if missing := w.sandbox.Missing; len(missing) > 0 {
		o.logger.Warn("workers cannot be confined as they should be: privacy masks are advisory",
			"why", strings.Join(missing, "; "))
	}
	w.active, w.standIn = cfg.Infer.Workers, -1
	all := cfg.Infer.Workers
	if cfg.Infer.Spare {
		all++
	}
	if o.standIn {
		w.standIn = all
		all++
	}
	w.models = make([]atomic.Pointer[infer.Model], all)
	w.links = make([]atomic.Pointer[client.Link], all)
	w.ends = make([]atomic.Pointer[context.CancelCauseFunc], all)
	for i := range all {
		name := w.name(i)
		progress := o.watchdog.Watch("supervisor of "+name, supervisorLimit)
		w.progress = append(w.progress, progress)
		w.supervisors = append(w.supervisors, supervisor.New(supervisor.Options{
			Name: name,
			Launch: func(generation uint64) (process.Spec, supervisor.Conversation, error) {
				return w.launch(i, name, generation)
			},
			Policy:     o.policy,
			Tree:       o.tree,
			Limits:     w.limits,
			StopWithin: stopWithin,
			Fault:      o.fault,
			Changed:    o.changed,
			Progress:   progress.Made,
			Logger:     o.logger,
		}))
	}
	return w, nil
}

// name is a worker's in logs, faults and metrics.
func (w *workers) name(i int) string {
	switch cfg := w.config.Infer; {
	case i == w.standIn:
		return standInName
	case cfg.Workers == 1 && !cfg.Spare:
		return "infer-worker"
	}
	return fmt.Sprintf("infer-worker-%d", i+1)
}

// model is that of a worker that gets frames; before and between, what was loaded last; nil: none was.
func (w *workers) model() (model *infer.Model) {
	for i := range w.models {
		m := w.models[i].Load()
		if m != nil && w.activeLink(i) != nil {
			return m
		}
		model = cmp.Or(model, m)
	}
	return model
}

// run returns when every worker has ended. A spare starts once the first worker's start has come to something: what that
// takes, such as the building of an engine, is not done twice at a time, and is there for the spare.
func (w *workers) run(ctx context.Context) error {
	errs := make([]error, len(w.supervisors))
	var all sync.WaitGroup
	for i := range w.supervisors {
		all.Go(func() {
			defer w.progress[i].Ended()
			switch {
			case i == w.standIn:
				errs[i] = w.leadStandIn(ctx, i)
			case i < w.active || w.waitFor(ctx, i, w.firstOutcome):
				errs[i] = w.lead(ctx, i)
			}
		})
	}
	all.Wait()
	return errors.Join(errs...)
}

// firstOutcome tells whether the first start of a worker that is to get frames has come to something.
func (w *workers) firstOutcome() bool {
	return slices.ContainsFunc(w.supervisors[:w.active], func(s *supervisor.Supervisor) bool {
		switch s.Status().State {
		case supervisor.Ready, supervisor.Degraded, supervisor.Unreapable:
			return true
		}
		return false
	})
}

// waitEvery is how often waitFor looks.
const waitEvery = 100 * time.Millisecond

// waitFor has worker i wait, and gives false when ctx ends first.
func (w *workers) waitFor(ctx context.Context, i int, there func() bool) bool {
	ticker := time.NewTicker(waitEvery)
	defer ticker.Stop()
	for !there() {
		select {
		case <-ctx.Done():
			return false
		case <-ticker.C:
			w.progress[i].Made()
		}
	}
	return ctx.Err() == nil
}

// roles says of each worker whether it gets frames, or stands by to take the place of one that does. While active ones
// are missing none stands by: each is wanted.
func (w *workers) roles() []client.Role {
	roles := make([]client.Role, len(w.links))
	active := 0
	for i := range w.links {
		if w.activeLink(i) != nil {
			roles[i] = client.RoleActive
			active++
		}
	}
	for i := range roles {
		switch {
		case roles[i] == client.RoleActive:
		case active < w.active:
			roles[i] = client.RoleActive
		default:
			roles[i] = client.RoleStandby
		}
	}
	return roles
}

// activeLink is nil where a worker gets no frames.
func (w *workers) activeLink(i int) *client.Link {
	if link := w.links[i].Load(); link != nil && link.Role() == client.RoleActive {
		return link
	}
	return nil
}

// startedWith is the model's path that a worker's latest generation was started with; "" where there was none.
func (w *workers) startedWith(name string) string {
	for i := range w.links {
		if link := w.links[i].Load(); link != nil && w.name(i) == name {
			return link.ModelPath()
		}
	}
	return ""
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
