package pipeline

import (
	"context"
	"errors"

	"vedette/infer"
	"vedette/mqtt/payload"
	"vedette/supervisor/cgroup"
)

// LimitsPart is what Options.Degraded calls workers without limits.
const LimitsPart = "limits"

// OpenTree takes over the cgroup that was delegated to this process. Where there is none, or not with every controller, the
// workers run without some limits of their own, which is to be told.
func OpenTree(ctx context.Context) (*cgroup.Tree, []payload.Degradation) {
	tree, err := cgroup.Open(ctx, "/sys/fs/cgroup", "/proc")
	if err != nil {
		d := payload.Degradation{What: LimitsPart, Why: err.Error(), Remedy: "see the log"}
		if unavailable, ok := errors.AsType[*cgroup.Unavailable](err); ok {
			d.Why, d.Remedy = unavailable.Reason, unavailable.Remedy
		}
		return nil, []payload.Degradation{d}
	}
	var degraded []payload.Degradation
	for _, remark := range tree.Remarks() {
		degraded = append(degraded, payload.Degradation{What: LimitsPart, Why: remark, Remedy: "see docs/OPERATIONS.md"})
	}
	return tree, degraded
}

// buildingMemory is the share of the machine's memory that a worker may use while it builds an engine, which takes a
// multiple of what running it does.
const buildingMemory = "85%"

// limits are those of a worker's next generation. The text was validated with the configuration.
func (w *workers) limits(building bool) cgroup.Limits {
	cfg, logger := w.orders.Load().config.Infer, w.logger
	machine, err := cgroup.ReadMachine("/proc")
	if err != nil {
		logger.Warn("a share of the machine's memory cannot be told: the worker's memory is not limited", "error", err)
	}
	parse := func(text cgroup.Text) cgroup.Limits {
		return cgroup.ParseLimits(text, machine.Total, func(key, problem string) {
			logger.Error("limit is not understood", "key", "infer.limits."+key, "problem", problem)
		})
	}
	bounds := parse(cgroup.Text(cfg.Limits))
	if building && bounds.Memory > 0 {
		bounds.Memory = max(bounds.Memory, parse(cgroup.Text{Memory: buildingMemory}).Memory)
	}
	return bounds
}

// limitsState says what bounds each worker; nil where nothing does.
func (w *workers) limitsState() *payload.Limits {
	if w.tree == nil {
		return nil
	}
	bounds := w.limits(false)
	return &payload.Limits{
		Controllers: w.tree.Controllers(), Memory: bounds.Memory, CPU: bounds.CPU, CPUSet: bounds.CPUSet, PIDs: bounds.PIDs,
	}
}

// dataLimit bounds a worker's private memory where no cgroup does. An accelerator's driver reserves far more addresses than
// it uses, so there it would end a healthy worker.
func (w *workers) dataLimit(cfg infer.Config) uint64 {
	if w.tree != nil || accelerated(cfg) {
		return 0
	}
	return uint64(w.limits(false).Memory) //nolint:gosec // never negative
}
