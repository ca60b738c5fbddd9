package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"slices"
	"sync"
	"syscall"

	"github.com/spf13/cobra"

	"vedette/cmd/vedette/internal/config"
	"vedette/cmd/vedette/internal/control"
	"vedette/cmd/vedette/internal/faultlog"
	"vedette/cmd/vedette/internal/inject"
	"vedette/cmd/vedette/internal/logging"
	"vedette/cmd/vedette/internal/pipeline"
	"vedette/mqtt/payload"
	"vedette/supervisor/notify"
)

func runCommand(env env) *cobra.Command {
	var file, keys string
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Run the service",
		Long: `Run the service until SIGTERM or SIGINT. SIGHUP, like 'vedette config reload', makes it read its configuration anew.

Without --config it reads ` + config.ImageFile + ` and then ` + config.OperatorFile + `; the later wins. Either way
` + config.OverridesFile + ` in state_dir wins over both.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			notifier, err := notify.Take(os.LookupEnv, os.Unsetenv)
			if err != nil {
				return err
			}
			cfg, err := loadConfig(file)
			if err != nil {
				return err
			}
			level, err := cfg.Log.SlogLevel()
			if err != nil {
				return err
			}
			logger := logging.New(env.stderr, level)
			executable, err := os.Executable()
			if err != nil {
				return fmt.Errorf("cannot find this program's own file: %w", err)
			}
			faults := faultlog.New(cfg.StateDir)
			tree, degraded := pipeline.OpenTree(cmd.Context())
			listener, unreachable := listenForControl()
			kept, err := pipeline.OpenOutbox(cfg, logger)
			if err != nil {
				return err
			}
			s := &running{file: file, stateDir: cfg.StateDir, notifier: notifier}
			service, err := pipeline.New(pipeline.Options{
				Configuration: s, Config: cfg, Keys: keys, Version: version, Executable: executable, Logger: logger,
				FaultLog: &faults, Outbox: kept, Notifier: notifier, Tree: tree,
				Degraded: slices.Concat(degraded, unreachable),
			})
			if err != nil {
				return err
			}
			for _, d := range slices.Concat(degraded, unreachable) {
				logger.Warn("degraded from the start", "what", d.What, "why", d.Why, "remedy", d.Remedy)
			}
			s.Pipeline = service
			inject.Service()
			return s.run(cmd.Context(), listener, logger)
		},
	}
	cmd.Flags().StringVar(&file, "config", "", "configuration file")
	cmd.Flags().StringVar(&keys, "keys", keysFolder, "folder of the public keys whose model bundles are taken by command")
	_ = cmd.MarkFlagFilename("config", "yaml", "yml") // fails only for a flag that is not there
	return cmd
}

// loadConfig reads the layers, of which there has to be one.
func loadConfig(file string) (config.Config, error) {
	layers, err := configLayers(file)
	if err == nil && len(layers) == 0 {
		err = fmt.Errorf("there is no configuration: neither %s nor %s; name one with --config, or try 'vedette demo'",
			config.OperatorFile, config.ImageFile)
	}
	if err != nil {
		return config.Config{}, err
	}
	return config.Load(layers...)
}

// listenForControl makes the control socket. The service does its work without, and says so.
func listenForControl() (*control.Listener, []payload.Degradation) {
	listener, err := control.Listen(control.Path(os.Getenv))
	if err == nil {
		return listener, nil
	}
	return nil, []payload.Degradation{{
		What: pipeline.ControlPart, Why: err.Error(),
		Remedy: "run it as the systemd service, or name another place in " + control.Env,
	}}
}

// running is the service as the control socket knows it.
type running struct {
	*pipeline.Pipeline
	file     string
	stateDir string
	notifier *notify.Notifier
}

// Read reads the configuration.
func (r *running) Read() (config.Config, error) { return loadConfig(r.file) }

// Override changes what overrides.yaml says.
func (r *running) Override(change func(config.Overrides) error, agree func(config.Config) error) (config.Config, func() error, error) {
	return overrideConfig(r.file, r.stateDir, change, agree)
}

// run runs the service with its control socket, and reloads at SIGHUP.
func (r *running) run(ctx context.Context, listener *control.Listener, logger *slog.Logger) error {
	beside, stop := context.WithCancel(ctx)
	var all sync.WaitGroup
	all.Go(func() { r.reloadAtHangup(beside, logger) })
	if listener != nil {
		all.Go(func() {
			if err := control.Serve(beside, listener, r, r.LongestChange(), logger); err != nil {
				logger.Error("the control socket is gone", "error", err)
			}
		})
	}
	err := r.Run(ctx)
	stop()
	all.Wait()
	return err
}

func (r *running) reloadAtHangup(ctx context.Context, logger *slog.Logger) {
	hangup := make(chan os.Signal, 1) // one is enough: the newest configuration is read
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)
	for {
		select {
		case <-ctx.Done():
			return
		case <-hangup:
		}
		select { // a reload's end is READY to systemd, which is not to come before the start's
		case <-ctx.Done():
			return
		case <-r.Started():
		}
		tell := func(err error) {
			if err != nil {
				logger.Warn("systemd cannot be told of the reload", "error", err)
			}
		}
		tell(r.notifier.Reloading())
		status := "configuration reloaded"
		if err := r.Reload(ctx); err != nil {
			logger.Error("the new configuration is refused, the old one stays", "error", err)
			status = "the new configuration is refused: see the log"
		}
		tell(r.notifier.Ready(status))
	}
}
