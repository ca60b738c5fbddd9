package main

import (
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"vedette/cmd/vedette/internal/config"
	"vedette/cmd/vedette/internal/logging"
	"vedette/cmd/vedette/internal/pipeline"
	"vedette/infer"
)

func (m *models) inspectCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "inspect [MODEL]",
		Short: "Tell what a model is: its family with the evidence, its input, outputs and labels",
		Long: `Tell what a model is, as a worker that loads it finds: its family with the evidence, how it is fed, its inputs, outputs
and labels, and the provider that runs it. MODEL is the path of an .onnx file or the name of an installed model; without it, the
configured one. What cannot be told is said with the setting that tells it, in MODEL.onnx.yaml beside the file.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, _, err := m.open()
			if err != nil {
				return err
			}
			if err := nameModel(&cfg, args); err != nil {
				return err
			}
			executable, err := os.Executable()
			if err != nil {
				return fmt.Errorf("cannot find this program's own file: %w", err)
			}
			model, _, err := pipeline.Probe(cmd.Context(), cfg, executable, nil, nil, logging.New(io.Discard, slog.LevelError))
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(m.stdout, model)
			}
			return printModel(m.stdout, model)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// nameModel sets the model that a command line names, if it does. A file's name without a folder is no name of a model.
func nameModel(cfg *config.Config, args []string) error {
	if len(args) == 0 {
		return nil
	}
	cfg.Infer.Model = args[0]
	if _, err := os.Stat(args[0]); err != nil {
		return nil // what it is not is said by whoever loads it
	}
	path, err := filepath.Abs(args[0])
	if err != nil {
		return fmt.Errorf("cannot find the model: %w", err)
	}
	cfg.Infer.Model = path
	return nil
}

func printModel(w io.Writer, model infer.Model) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "model\t%s\n", model.Name)
	fmt.Fprintf(t, "sha256\t%s\n", model.SHA256)
	fmt.Fprintf(t, "family\t%s\n", model.Family)
	for _, e := range model.Evidence {
		fmt.Fprintf(t, "\t- %s\n", e)
	}
	fmt.Fprintf(t, "fed\t%s\n", model.Fed)
	for _, in := range model.Inputs {
		fmt.Fprintf(t, "input\t%s %s%v\n", in.Name, in.Type, in.Shape)
	}
	for _, out := range model.Outputs {
		fmt.Fprintf(t, "output\t%s %s%v\n", out.Name, out.Type, out.Shape)
	}
	const most = 12
	labels := strings.Join(model.Labels[:min(len(model.Labels), most)], ", ")
	if len(model.Labels) > most {
		labels += ", …"
	}
	fmt.Fprintf(t, "labels\t%d: %s\n", len(model.Labels), labels)
	for _, label := range slices.Sorted(maps.Keys(model.Thresholds)) {
		fmt.Fprintf(t, "threshold\t%s %g (manifest)\n", label, model.Thresholds[label])
	}
	fmt.Fprintf(t, "provider\t%s, ONNX Runtime %s\n", model.Provider, model.Runtime)
	if placement := model.Placement(); placement != "" {
		fmt.Fprintf(t, "\t%s\n", placement)
	}
	if model.Degraded != "" {
		fmt.Fprintf(t, "degraded\t%s\n", model.Degraded)
	}
	return t.Flush()
}
