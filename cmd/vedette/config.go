package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"vedette/cmd/vedette/internal/config"
	"vedette/cmd/vedette/internal/control"
)

func configCommand(env env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "config",
		Short: "Check, show and reload the configuration, print its defaults and its schema",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return usageError{errors.New("config needs one of check, show, reload, defaults and schema")}
		},
	}
	cmd.AddCommand(
		&cobra.Command{
			Use:   "check [FILE]",
			Short: "Tell each mistake in a configuration with its line",
			Args:  cobra.MaximumNArgs(1),
			RunE: func(_ *cobra.Command, args []string) error {
				loaded, err := loadConfig(strings.Join(args, ""))
				if err != nil {
					return err
				}
				_, err = fmt.Fprintf(env.stdout, "good, %d cameras\n", len(loaded.Cameras))
				return err
			},
		},
		&cobra.Command{
			Use:   "show [FILE]",
			Short: "Print the configuration that holds, and where each value comes from",
			Args:  cobra.MaximumNArgs(1),
			RunE: func(_ *cobra.Command, args []string) error {
				layers, err := configLayers(strings.Join(args, ""))
				if err != nil {
					return err
				}
				text, err := config.Origins(layers...)
				if err != nil {
					return err
				}
				_, err = env.stdout.Write(text)
				return err
			},
		},
		&cobra.Command{
			Use:   "reload",
			Short: "Make the running service read its configuration anew",
			Args:  cobra.NoArgs,
			RunE: func(cmd *cobra.Command, _ []string) error {
				return control.Dial(control.Path(os.Getenv)).Reload(cmd.Context())
			},
		},
		&cobra.Command{
			Use:   "defaults",
			Short: "Print the configuration that holds where yours is silent",
			Args:  cobra.NoArgs,
			RunE: func(*cobra.Command, []string) error {
				text, err := config.Default().Text()
				if err != nil {
					return err
				}
				_, err = env.stdout.Write(text)
				return err
			},
		},
		&cobra.Command{
			Use:   "schema",
			Short: "Print the configuration's JSON Schema, for editors",
			Args:  cobra.NoArgs,
			RunE: func(*cobra.Command, []string) error {
				return printJSON(env.stdout, config.Schema())
			},
		},
	)
	return cmd
}

// configLayers are the configuration files that are there, the later of which wins: file, or the service's own where it is
// empty, and then the overrides in the state directory that these name.
func configLayers(file string) ([]string, error) {
	layers := []string{file}
	if file == "" {
		layers = nil
		for _, path := range []string{config.ImageFile, config.OperatorFile} {
			if _, err := os.Stat(path); err == nil {
				layers = append(layers, path)
			}
		}
	}
	cfg, err := config.Load(layers...)
	if err != nil {
		return nil, err
	}
	overrides := filepath.Join(cfg.StateDir, config.OverridesFile)
	if _, err := os.Stat(overrides); err == nil {
		layers = append(layers, overrides)
	}
	return layers, nil
}

// overrideConfig changes the overrides in the state directory, over the other layers.
func overrideConfig(file, stateDir string, change func(config.Overrides) error, agree func(config.Config) error,
) (config.Config, func() error, error) {
	layers, err := configLayers(file)
	if err != nil {
		return config.Config{}, nil, err
	}
	overrides := filepath.Join(stateDir, config.OverridesFile)
	layers = slices.DeleteFunc(layers, func(path string) bool { return path == overrides })
	return config.Override(overrides, layers, change, agree)
}
