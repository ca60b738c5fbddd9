package pipeline

import (
	"context"
	"fmt"
	"sync"
	"time"

	"vedette/infer/store"
	"vedette/mqtt/payload"
	"vedette/supervisor"
)

// A model that was switched to is on trial for so long, counted from when every worker runs it. A worker that fails so often with it
// meanwhile is taken for the model's fault.
const (
	trialWindow = 2 * time.Minute
	trialFaults = 3
)

// ModelPart is how the state names what became of a switch of models.
const ModelPart = "model"

// modelFaults counts workers' faults by the model that they had been started with: while one model takes another's place, both run.
// Its methods may be called from any goroutine.
type modelFaults struct {
	mu     sync.Mutex
	byPath map[string]int
}

func (m *modelFaults) add(path string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.byPath == nil {
		m.byPath = map[string]int{}
	}
	m.byPath[path]++
}

func (m *modelFaults) of(path string) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.byPath[path]
}

// forget is for a model that gets another chance.
func (m *modelFaults) forget(path string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.byPath, path)
}

// startTrial counts this start of the service where a switch is on trial, and undoes the switch where it has had enough of them:
// before any worker is started.
func (p *Pipeline) startTrial() {
	models := Models(p.opts.Config.StateDir)
	trial, ok, err := models.Trial()
	if ok && !fromStore(p.opts.Config.Infer.Model, trial.Name) {
		return // it does not run: it takes nothing down
	}
	spent := false
	if err == nil && ok {
		trial, _, spent, err = models.Start()
	}
	switch {
	case err != nil:
		p.opts.Logger.Error("a model that takes the service down would not be undone by itself: it is not known whether one is on trial",
			"error", err)
	case spent:
		p.rollBack(trial, fmt.Sprintf("the service was started %d times with it and never ran for %v", trial.Starts-1, trialWindow))
		p.opts.Config = p.config()
	}
}

// watchTrial watches a switch until it is proved or undone.
func (p *Pipeline) watchTrial(ctx context.Context) error {
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	var seen watchedTrial
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		if !p.reloading.TryLock() {
			continue // a switch goes on: what there is to see is of two models
		}
		seen = p.lookAtTrial(ctx, seen)
		p.reloading.Unlock()
	}
}

// watchedTrial is what was seen of a switch so far.
type watchedTrial struct {
	trial store.Trial
	since time.Time // when every worker ran it first; zero: they have not
}

// lookAtTrial is called with reloading held.
func (p *Pipeline) lookAtTrial(ctx context.Context, seen watchedTrial) watchedTrial {
	models := Models(p.opts.Config.StateDir)
	trial, ok, err := models.Trial()
	if err != nil || !ok { // startTrial has said what is wrong with it
		return watchedTrial{}
	}
	path := p.workers.orders.Load().modelPath
	if on, err := models.Current(trial.Name); err == nil && (on.ID != trial.ID || on.Model() != path) || p.config().Infer.Model != trial.Name {
		return watchedTrial{} // the workers are to run another one
	}
	if trial != seen.trial {
		seen = watchedTrial{trial: trial}
	}
	runs, givenUp := onTrial(p.workers.seen(), path)
	if seen.since.IsZero() && runs {
		seen.since = time.Now()
	}
	failed := p.modelFaults.of(path)
	switch {
	case failed >= trialFaults || givenUp:
		if p.rollBack(trial, fmt.Sprintf("a worker failed %d times with it", failed)) {
			if err := p.switched(ctx, "model rolled back"); err != nil {
				p.opts.Logger.Error("the workers cannot take the model of before: switch to one that works (vedette model list, vedette model use)", "model", trial.Name, "error", err)
			}
		}
	case !seen.since.IsZero() && time.Since(seen.since) >= trialWindow:
		if err := models.EndTrial(); err != nil {
			p.opts.Logger.Warn("cannot note that the model has proved itself: the next starts count as its trial", "model", trial.Name,
				"error", err)
			return seen
		}
		p.opts.Logger.Info("the model has proved itself", "model", trial.Name, "version", trial.Version)
	}
	return seen
}

// seenWorker is what a trial looks at: each worker but the stand-in.
type seenWorker struct {
	state supervisor.State
	model string // the path that it was started with
}

func (w *workers) seen() (all []seenWorker) {
	for i, s := range w.supervisors {
		if i == w.standIn {
			continue
		}
		all = append(all, seenWorker{s.Status().State, w.startedWith(w.name(i))})
	}
	return all
}

// onTrial tells whether every worker runs the model, and whether one was given up with it. A spare that was shed counts for
// neither, and what becomes of other models is not this one's fault.
func onTrial(workers []seenWorker, model string) (runs, givenUp bool) {
	runs = true
	with := 0
	for _, w := range workers {
		switch {
		case w.state == supervisor.Stopped:
		case w.model != model:
			runs = false
		default:
			with++
			runs = runs && w.state == supervisor.Ready
			givenUp = givenUp || w.state == supervisor.Degraded
		}
	}
	return runs && with > 0, givenUp
}

// rollBack undoes a switch, and says so. Where there is nothing to go back to, the model stays, and is no longer on trial.
func (p *Pipeline) rollBack(trial store.Trial, why string) bool {
	models := Models(p.opts.Config.StateDir)
	undo := func() error { _, err := models.Undo(trial); return err }
	if trial.Model != "" {
		undo = func() error { return p.goHome(trial) }
	}
	if err := undo(); err != nil {
		p.opts.Logger.Error("a model fails on trial, and stays: the one before cannot be had. Install one that works "+
			"(vedette model add, vedette model use)", "model", trial.Name, "version", trial.Version, "why", why, "error", err)
		if err := models.EndTrial(); err != nil {
			p.opts.Logger.Warn("cannot note that the model is on trial no more: the next starts count as its trial", "model", trial.Name, "error", err)
		}
		return false
	}
	p.opts.Logger.Error("a model was rolled back", "model", trial.Name, "version", trial.Version, "why", why)
	p.modelNote.Store(&payload.Degradation{
		What: ModelPart, Why: fmt.Sprintf("%s version %d was rolled back: %s", trial.Name, trial.Version, why),
		Remedy: "see the last faults, and install a version that works; the one before it runs",
	})
	p.touch()
	return true
}
