package main

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"vedette/cmd/vedette/internal/logging"
	"vedette/cmd/vedette/internal/pipeline"
	"vedette/infer/onnx"
)

func (m *models) buildCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "build [MODEL]",
		Short: "Build TensorRT's engine for a model ahead of time",
		Long: `Build TensorRT's engine for a model ahead of time, as the service would at its start, which takes minutes: with the configured
precision, on this device, in a worker. The engine is kept under state_dir, for this model, its shapes, these settings, this ONNX Runtime,
TensorRT and L4T, and this device; the service then starts at once. MODEL is the path of an .onnx file or the name of an installed model;
without it, the configured one. infer.deadlines.build bounds it. Not run on a GPU.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, _, err := m.open()
			if err != nil {
				return err
			}
			if !slices.Contains(cfg.Infer.Providers, onnx.TensorRT) {
				return fmt.Errorf("there is nothing to build: infer.providers is [%s], and engines are tensorrt's",
					strings.Join(cfg.Infer.Providers, ", "))
			}
			if err := nameModel(&cfg, args); err != nil {
				return err
			}
			executable, err := os.Executable()
			if err != nil {
				return fmt.Errorf("cannot find this program's own file: %w", err)
			}
			cfg.Infer.Fallback = onnx.FallbackFail // what cannot be built is an error here
			began := time.Now()
			model, _, err := pipeline.Probe(cmd.Context(), cfg, executable, nil, nil, logging.New(m.stderr, slog.LevelInfo))
			if err != nil {
				return err
			}
			if model.Provider != onnx.TensorRT {
				return errors.New("the model runs on " + model.Provider + ", not on tensorrt: " + model.Degraded)
			}
			_, err = fmt.Fprintf(m.stdout, "%s: the engine (%s) is there after %s; %s\n",
				model.Name, cfg.Infer.TensorRT.Precision, time.Since(began).Round(time.Second), model.Placement())
			return err
		},
	}
}
