package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"vedette/cmd/vedette/internal/config"
	"vedette/cmd/vedette/internal/control"
	"vedette/cmd/vedette/internal/logging"
	"vedette/cmd/vedette/internal/pipeline"
	"vedette/infer"
	"vedette/infer/bundle"
	"vedette/infer/store"
)

// keysFolder is where an operator puts the public keys whose bundles are taken.
const keysFolder = "/etc/vedette/keys.d"

func modelCommand(env env) *cobra.Command {
	m := &models{env: env}
	cmd := &cobra.Command{
		Use:   "model",
		Short: "Install models, switch between them, go back",
		Long: `Install models, switch between them, go back. A model comes as a signed bundle: its manifest names each file by hash, and is signed
with minisign. The public keys whose bundles are taken lie in ` + keysFolder + ` (*.pub).`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			return usageError{errors.New("model needs one of add, list, use, rollback, verify, pack, inspect and build")}
		},
	}
	cmd.PersistentFlags().StringVar(&m.file, "config", "", "configuration file")
	cmd.PersistentFlags().StringVar(&m.keys, "keys", keysFolder, "folder of public keys")
	cmd.AddCommand(m.addCommand(), m.listCommand(), m.useCommand(), m.rollbackCommand(), m.verifyCommand(), packCommand(env),
		m.inspectCommand(), m.buildCommand())
	return cmd
}

// models is what the commands about models have in common.
type models struct {
	env
	file string // the configuration's
	keys string // folder
}

// open gives the configuration and the store that it leads to.
func (m *models) open() (config.Config, store.Store, error) {
	layers, err := configLayers(m.file)
	if err != nil {
		return config.Config{}, store.Store{}, err
	}
	cfg, err := config.Load(layers...)
	if err != nil {
		return config.Config{}, store.Store{}, err
	}
	return cfg, pipeline.Models(cfg.StateDir), nil
}

func (m *models) policy(cfg config.Config) (store.Policy, error) {
	floor, err := pipeline.TimeFloor(cfg.StateDir)
	if err != nil {
		fmt.Fprintf(m.stderr, "vedette: %v: what has expired counts by this machine's clock alone\n", err)
	}
	policy := pipeline.ModelPolicy(cfg, version, floor)
	policy.Bound = pipeline.MostModels
	policy.Keys, err = bundle.ReadKeys(m.keys)
	return policy, err
}

func (m *models) listCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List installed models",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			_, models, err := m.open()
			if err != nil {
				return err
			}
			all, err := models.List()
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(m.stdout, append([]store.Installed{}, all...))
			}
			table := tabwriter.NewWriter(m.stdout, 0, 0, 2, ' ', 0)
			for _, i := range all {
				fmt.Fprintf(table, "%s\t%d\t%s\t%.1f MiB\t%s\n", i.Name, i.Version, i.ID[:19], float64(i.Size)/(1<<20), role(i))
			}
			return table.Flush()
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func role(i store.Installed) string {
	var words []string
	if i.Current {
		words = append(words, "in use")
	}
	if i.Previous {
		words = append(words, "the one before")
	}
	if i.Damaged != "" {
		words = append(words, "damaged: "+i.Damaged)
	} else if !i.Signed {
		words = append(words, "not signed")
	}
	return strings.Join(words, ", ")
}

func (m *models) useCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "use NAME[@VERSION]",
		Short: "Switch to an installed model, on trial",
		Long: `Switch to an installed model: the highest version, or the one named. It is tried first, in a worker of its own and with the bundle's
own pictures. Then it is on trial for two minutes: if workers fail with it, the one before comes back by itself.

Where infer.model is another model, ` + config.OverridesFile + ` in the state directory names the new one from then on.`,
		Args: exactly("NAME[@VERSION]"),
		RunE: func(cmd *cobra.Command, args []string) error {
			name, version, err := parseChoice(args[0])
			if err != nil {
				return usageError{err}
			}
			cfg, models, err := m.open()
			if err != nil {
				return err
			}
			chosen, err := pipeline.FindModel(cfg.StateDir, name, version)
			if err != nil {
				return err
			}
			err = control.Dial(control.Path(os.Getenv)).UseModel(cmd.Context(), name, chosen.Version)
			if errors.Is(err, control.ErrNotRunning) {
				err = m.useOffline(cmd.Context(), cfg, models, chosen)
			}
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(m.stdout, "%s is in use\n", pipeline.Titled(chosen))
			return err
		},
	}
}

// useOffline switches while no service runs: it takes the model, on trial, when it starts.
func (m *models) useOffline(ctx context.Context, cfg config.Config, models store.Store, chosen store.Installed) error {
	configured := cfg.Infer.Model
	if err := m.tryOffline(ctx, cfg, models, chosen); err != nil {
		return fmt.Errorf("%s is not used: %w", pipeline.Titled(chosen), err)
	}
	fmt.Fprintf(m.stderr, "the service does not run: it takes the model when it starts\n")
	if configured == chosen.Name {
		return models.Use(chosen, store.Origin{})
	}
	from := store.Origin{Model: configured}
	_, _, err := overrideConfig(m.file, cfg.StateDir, func(o config.Overrides) error {
		from.Override = o.SetModel(chosen.Name)
		return nil
	}, func(config.Config) error { return models.Use(chosen, from) })
	return err
}

func (m *models) tryOffline(ctx context.Context, cfg config.Config, models store.Store, chosen store.Installed) error {
	cfg.Infer.Model = chosen.Name
	if chosen.ID != "" {
		policy, err := m.policy(cfg)
		if err != nil {
			return err
		}
		if err := policy.Check(chosen.Manifest); err != nil {
			return err
		}
		if err := models.Verify(chosen); err != nil {
			return err
		}
		cfg.Infer.Model = chosen.Model()
	}
	cfg = pipeline.ForSelfTest(cfg)
	_, err := pipeline.SelfTest(ctx, chosen, func(ctx context.Context, pictures [][]byte) (infer.Model, [][]infer.Detection, error) {
		return probe(ctx, cfg, pictures)
	})
	if err != nil {
		return fmt.Errorf("it was tried and does not work: %w", err)
	}
	return nil
}

func probe(ctx context.Context, cfg config.Config, pictures [][]byte) (infer.Model, [][]infer.Detection, error) {
	executable, err := os.Executable()
	if err != nil {
		return infer.Model{}, nil, fmt.Errorf("cannot find this program's own file: %w", err)
	}
	return pipeline.Probe(ctx, cfg, executable, nil, pictures, logging.New(io.Discard, slog.LevelError))
}

func (m *models) rollbackCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "rollback NAME",
		Short: "Go back to the version that was in use before",
		Long: `Go back to the version that was in use before. While a switch from another model is on trial, that model comes back, and the configuration
is as it was.`,
		Args: exactly("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, models, err := m.open()
			if err != nil {
				return err
			}
			err = control.Dial(control.Path(os.Getenv)).RollbackModel(cmd.Context(), args[0])
			if errors.Is(err, control.ErrNotRunning) {
				err = m.rollBackOffline(cfg, models, args[0])
			}
			if err != nil {
				return err
			}
			name := args[0]
			if cfg.Infer.Model == name { // it may have gone back to another name
				if cfg, _, err = m.open(); err != nil {
					return err
				}
				name = cfg.Infer.Model
			}
			now, err := models.Current(name)
			if errors.Is(err, store.ErrNoneInUse) || bundle.ValidateName(name) != nil { // no bundle: a file of the package's, or a path
				now, err = store.Installed{Name: name}, nil
			}
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(m.stdout, "%s is in use\n", pipeline.Titled(now))
			return err
		},
	}
}

// rollBackOffline goes back while no service runs: to what was configured before, where the switch from there is on trial.
func (m *models) rollBackOffline(cfg config.Config, models store.Store, name string) error {
	trial, ok, err := models.Trial()
	if err != nil {
		return err
	}
	if !ok || trial.Name != name || trial.Model == "" || cfg.Infer.Model != name {
		_, err := models.Rollback(name)
		return err
	}
	_, _, err = overrideConfig(m.file, cfg.StateDir, func(o config.Overrides) error {
		o.SetModel(trial.Override)
		return nil
	}, func(config.Config) error { return nil })
	if err != nil {
		return err
	}
	return models.Abandon(trial)
}

func (m *models) verifyCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "verify BUNDLE|NAME[@VERSION]",
		Short: "Check a bundle, or an installed model, against its manifest and signature",
		Args:  exactly("BUNDLE or NAME[@VERSION]"),
		RunE: func(_ *cobra.Command, args []string) error {
			cfg, models, err := m.open()
			if err != nil {
				return err
			}
			path := args[0]
			if name, version, err := parseChoice(path); err == nil && !strings.Contains(path, ".") {
				chosen, err := models.Find(name, version)
				if err != nil {
					return err
				}
				path = chosen.Folder
			}
			return m.verify(cfg, path)
		},
	}
}

func (m *models) verify(cfg config.Config, path string) error {
	policy, err := m.policy(cfg)
	if err != nil {
		return err
	}
	r, err := bundle.Open(path)
	if err != nil {
		return err
	}
	defer r.Close()
	signer, err := policy.Keys.Verify(r.Text, r.Signature)
	if err == nil {
		err = policy.Check(r.Manifest)
	}
	if err == nil {
		err = r.Check()
	}
	if err != nil {
		return fmt.Errorf("model %s version %d: %w", r.Manifest.Name, r.Manifest.Version, err)
	}
	_, err = fmt.Fprintf(m.stdout, "good: model %s version %d, signed by %s, %s\n", r.Manifest.Name, r.Manifest.Version, signer, r.ID())
	return err
}

// parseChoice reads NAME or NAME@VERSION; version 0 is the highest.
func parseChoice(text string) (name string, version uint64, err error) {
	name, number, given := strings.Cut(text, "@")
	if err := bundle.ValidateName(name); err != nil {
		return "", 0, err
	}
	if given {
		if version, err = strconv.ParseUint(number, 10, 64); err != nil || version == 0 {
			return "", 0, fmt.Errorf("%q is no version: they count from 1", number)
		}
	}
	return name, version, nil
}

// exactly is what a command takes that needs one argument.
func exactly(what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) != 1 {
			return usageError{fmt.Errorf("%s needs %s", cmd.CommandPath(), what)}
		}
		return nil
	}
}
