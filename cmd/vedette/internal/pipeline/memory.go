package pipeline

import (
	"context"
	"errors"
	"fmt"
	"time"

	"vedette/infer/client"
	"vedette/mqtt/payload"
	"vedette/supervisor/cgroup"
)

// On boards whose GPU shares the machine's memory, what the GPU uses may be charged to no cgroup: the limit of the worker's
// does not hold it, and the kernel may end what the board cannot spare. So the machine's own figure has a floor.
const (
	memoryFloor    = 0.04            // of the machine's memory, available
	memoryEvery    = 2 * time.Second // between two looks
	memoryPatience = 3               // looks below the floor before something is done
	memoryRest     = 15              // looks well above it before a spare comes back, and below it before a worker goes again
	memoryPart     = "memory"        // as the state document names it
	wellAbove      = 2 * memoryFloor // a spare that comes back takes some itself
)

// memoryStep is what is done about the machine's memory.
type memoryStep string

const (
	memoryNothing memoryStep = ""
	memoryShed    memoryStep = "end the spare"
	memoryRestart memoryStep = "restart a worker"
	memoryRestore memoryStep = "start the spare again"
)

// memoryGuard decides what to do by what it has seen. It knows no clock: a look is one every memoryEvery.
type memoryGuard struct {
	spare bool // whether there is one to shed
	shed  bool
	below int // looks below the floor, in a row
	above int // looks well above it, in a row
	rest  int // looks until a worker may be restarted again
}

// look takes the share of memory that is available.
func (g *memoryGuard) look(available float64) memoryStep {
	g.rest = max(0, g.rest-1)
	switch {
	case available < memoryFloor:
		g.below, g.above = g.below+1, 0
	case available > wellAbove:
		g.below, g.above = 0, g.above+1
	default:
		g.below, g.above = 0, 0
	}
	switch {
	case g.below >= memoryPatience && g.spare && !g.shed:
		g.below, g.shed = 0, true
		return memoryShed
	case g.below >= memoryPatience && g.rest == 0:
		g.below, g.rest = 0, memoryRest
		return memoryRestart
	case g.above >= memoryRest && g.shed:
		g.above, g.shed = 0, false
		return memoryRestore
	}
	return memoryNothing
}

// watchMemory sheds the spare and then restarts workers while the machine runs out of memory.
func (p *Pipeline) watchMemory(ctx context.Context) error {
	guard := memoryGuard{spare: p.opts.Config.Infer.Spare}
	ticker := time.NewTicker(memoryEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		machine, err := cgroup.ReadMachine("/proc")
		if err != nil {
			p.opts.Logger.Warn("the machine's memory is not watched", "error", err)
			return nil
		}
		available := float64(machine.Available) / float64(machine.Total)
		step := guard.look(available)
		if guard.below > 0 || guard.shed {
			why := fmt.Sprintf("%d MiB of %d MiB are available", machine.Available>>20, machine.Total>>20)
			p.memory.Store(&payload.Degradation{
				What: memoryPart, Why: why,
				Remedy: "see what else takes memory; fewer workers, a smaller model, or infer.spare: false take less",
			})
		} else {
			p.memory.Store(nil)
		}
		if step == memoryNothing {
			continue
		}
		p.opts.Logger.Warn("the machine's memory", "available_mib", machine.Available>>20, "total_mib", machine.Total>>20,
			"step", string(step))
		p.touch()
		p.workers.relieve(step)
	}
}

var errNoMemory = errors.New("the machine runs out of memory") //nolint:gochecknoglobals // a constant

// relieve carries a step out.
func (w *workers) relieve(step memoryStep) {
	switch step {
	case memoryShed:
		w.shed.Store(true)
		for i, role := range w.roles() {
			if end := w.ends[i].Load(); end != nil && role == client.RoleStandby {
				(*end)(errNoMemory)
				return
			}
		}
	case memoryRestore:
		w.shed.Store(false)
	case memoryRestart:
		for i, role := range w.roles() {
			if role == client.RoleActive {
				w.supervisors[i].Restart(errNoMemory.Error())
				return
			}
		}
	}
}

// lead runs one worker's supervisor until ctx ends. One that was shed waits until there is memory again.
func (w *workers) lead(ctx context.Context, i int) error {
	for {
		life, end := context.WithCancelCause(ctx)
		w.ends[i].Store(&end)
		err := w.supervisors[i].Run(life)
		end(nil)
		if err != nil || ctx.Err() != nil {
			return err
		}
		if !w.waitFor(ctx, i, func() bool { return !w.shed.Load() }) {
			return nil
		}
	}
}
