package pipeline

import (
	"context"
	"errors"
	"slices"
	"strings"

	"vedette/infer"
	"vedette/infer/onnx"
	"vedette/supervisor"
)

// standInName is the worker's that runs the model on CUDA while others build TensorRT's engine, which takes many minutes.
const standInName = "infer-worker-cuda"

var errEngineBuilt = errors.New("the engine is built") //nolint:gochecknoglobals // a constant

// wantsStandIn tells whether CUDA is there to serve while an engine is built.
func wantsStandIn(cfg infer.Config) bool {
	return slices.Contains(cfg.Providers, onnx.TensorRT) && slices.Contains(cfg.Providers, onnx.CUDA)
}

// withoutTensorRT is what the stand-in runs on.
func withoutTensorRT(providers []string) []string {
	return slices.DeleteFunc(slices.Clone(providers), func(p string) bool { return p == onnx.TensorRT })
}

// leadStandIn runs the stand-in until ctx ends: from the moment another worker begins to build, until as many others are ready as
// get frames. A building that fails, and is tried again, is bridged whole.
func (w *workers) leadStandIn(ctx context.Context, i int) error {
	for w.waitFor(ctx, i, func() bool { return w.others(i, supervisor.Building) > 0 }) {
		w.logger.Info("an engine is to be built for TensorRT: until it is, another worker runs the model without it",
			"worker", standInName, "providers", strings.Join(withoutTensorRT(w.orders.Load().config.Infer.Providers), " "))
		life, end := context.WithCancelCause(ctx)
		ended := make(chan error, 1)
		go func() { ended <- w.supervisors[i].Run(life) }()
		w.waitFor(ctx, i, func() bool { return w.others(i, supervisor.Ready) >= w.active })
		end(errEngineBuilt)
		if err := <-ended; err != nil {
			return err
		}
	}
	return nil
}

// others counts the workers but one that are in a state.
func (w *workers) others(but int, state supervisor.State) (n int) {
	for i, s := range w.supervisors {
		if i != but && s.Status().State == state {
			n++
		}
	}
	return n
}
