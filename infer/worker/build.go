package worker

import (
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"

	"vedette/infer/onnx"
	"vedette/infer/wire"
)

// openSession opens the model on the providers that it is to run on. Where TensorRT is one, its engine is looked for among those that
// were kept, or is built, which building is told. done is for after the first run: it notes on the disk that the engine is whole.
func openSession(load wire.Load, file *onnx.File, shapes map[string][]int64, building func(), log *slog.Logger,
) (session *onnx.Session, done func() error, err error) {
	done = func() error { return nil }
	if !slices.Contains(load.Providers, onnx.TensorRT) {
		s, err := file.Open(shapes)
		return s, done, err
	}
	if load.Cache == "" {
		building()
		s, err := file.Open(shapes)
		return s, done, err
	}
	sum, err := sha256File(load.ModelPath)
	if err != nil {
		return nil, nil, err
	}
	engine, err := file.Engine(sum, shapes)
	if err != nil { // the provider says itself what is missing, and what to install
		log.Warn("the engine cannot be kept", "error", err)
		s, err := file.Open(shapes)
		return s, done, err
	}
	folder := engine.Folder(filepath.Join(load.Cache, "engines"))
	built := engine.Built(folder)
	if !built {
		building()
		log.Info("an engine is to be built", "device", engine.Device, "compute", engine.Compute, "precision", engine.Settings.Precision,
			"path", folder)
	}
	if err := engine.Prepare(folder); err != nil {
		return nil, nil, err
	}
	if err := file.KeepEngines(folder); err != nil {
		return nil, nil, err
	}
	s, err := file.Open(shapes)
	if err != nil {
		return nil, nil, fmt.Errorf("%w (the engine's folder is %s)", err, folder)
	}
	return s, func() error {
		if built || s.Provider() != onnx.TensorRT {
			return nil
		}
		return engine.Note(folder)
	}, nil
}
