package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"vedette/cmd/vedette/internal/inject"
	"vedette/cmd/vedette/internal/logging"
	"vedette/cmd/vedette/internal/pipeline"
	"vedette/infer/worker"
	"vedette/supervisor/process"
	"vedette/supervisor/sandbox"
)

// workerCommand is the child: the service starts it, nobody else has a use for it.
func workerCommand(env env) *cobra.Command {
	return &cobra.Command{
		Use:    "infer-worker",
		Short:  "Run a model for the service that started this process",
		Hidden: true,
		Args:   cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := process.ReportCrashes(); err != nil {
				return err
			}
			logger := logging.ForChild(env.stderr)
			switch status, ok, err := sandbox.Inherited(); {
			case err != nil:
				return err
			case !ok:
				logger.Warn("worker is not confined: vedette itself starts it otherwise")
			default:
				logger.Debug("worker is confined", "landlock", status.Landlock, "seccomp", status.Seccomp)
			}
			control := os.NewFile(pipeline.ControlFD, "control")
			if info, err := control.Stat(); err != nil || info.Mode()&os.ModeSocket == 0 {
				return fmt.Errorf("infer-worker is started by vedette itself: descriptor %d is no socket", pipeline.ControlFD)
			}
			inject.Worker()
			return worker.Run(cmd.Context(), worker.Env{Control: control, Logger: logger})
		},
	}
}
