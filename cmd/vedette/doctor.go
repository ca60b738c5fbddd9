package main

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"vedette/cmd/vedette/internal/config"
	"vedette/cmd/vedette/internal/control"
	"vedette/cmd/vedette/internal/doctor"
	"vedette/cmd/vedette/internal/logging"
)

func doctorCommand(env env) *cobra.Command {
	var (
		file   string
		asJSON bool
	)
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Tell what this machine has and lacks, with the remedy",
		Long: `Tell what this machine has and lacks for the service, with the remedy: cameras, ONNX Runtime, the model and the
provider that runs it, brokers, cgroup delegation. What is merely absent is a warning; the exit code is 1 only
where something that is there does not work.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			layers, err := configLayers(file)
			if err != nil {
				return err
			}
			cfg, err := config.Load(layers...)
			if err != nil {
				return err
			}
			executable, err := os.Executable()
			if err != nil {
				return fmt.Errorf("cannot find this program's own file: %w", err)
			}
			report := doctor.Examine(cmd.Context(), doctor.Options{
				Config: cfg, Version: version, Executable: executable, Service: control.Dial(control.Path(os.Getenv)),
				Logger: logging.New(io.Discard, slog.LevelError), // each failure is a line of the report
			})
			if asJSON {
				err = printJSON(env.stdout, report)
			} else {
				err = printReport(env.stdout, report)
			}
			if err == nil && report.Bad() {
				return errSaid
			}
			return err
		},
	}
	cmd.Flags().StringVar(&file, "config", "", "configuration file")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func printReport(w io.Writer, report doctor.Report) error {
	var text strings.Builder
	fmt.Fprintf(&text, "vedette %s\n", report.Version)
	for _, c := range report.Checks {
		fmt.Fprintf(&text, "%-8s %s: %s\n", c.Verdict, c.Name, c.Found)
		if c.Remedy != "" {
			fmt.Fprintf(&text, "         → %s\n", c.Remedy)
		}
	}
	_, err := io.WriteString(w, text.String())
	return err
}
