package pipeline

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"vedette/cmd/vedette/internal/config"
	"vedette/infer"
	"vedette/infer/client"
	"vedette/supervisor"
	"vedette/supervisor/cgroup"
	"vedette/supervisor/notify"
	"vedette/supervisor/process"
	"vedette/supervisor/sandbox"
)

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

// startedWith is the model's path that a worker's latest generation was started with; "" where there was none. What the stand-in dies
// of speaks of its provider, or of memory for two, and against no model.
func (w *workers) startedWith(name string) string {
	for i := range w.links {
		if link := w.links[i].Load(); link != nil && i != w.standIn && w.name(i) == name {
			return link.ModelPath()
		}
	}
	return ""
}
