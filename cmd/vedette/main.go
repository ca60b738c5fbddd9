// Command vedette watches cameras, detects objects and publishes what it sees over MQTT.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"vedette/cmd/vedette/internal/pipeline"
)

// version is stamped by the build; revision, of the source, by the one of packages, whose bytes are not to depend on whether Go
// finds the repository.
var version, revision = "dev", "" //nolint:gochecknoglobals // the linker sets them

// Exit codes.
const (
	exitOK = iota
	exitFailed
	exitUsage
)

// exitUnreapable lets a service manager tell the one failure that a reboot mends and a new start does not. (EX_TEMPFAIL of
// sysexits.h.)
const exitUnreapable = 75

// env is what a command gets of the world.
type env struct {
	stdout, stderr io.Writer
}

// usageError is a mistake in the command line itself.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

func main() { os.Exit(runUntilSignal()) }

func runUntilSignal() int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	return run(ctx, env{os.Stdout, os.Stderr}, os.Args[1:])
}

func run(ctx context.Context, env env, args []string) int {
	root := rootCommand(env)
	root.SetArgs(args)
	root.SetOut(env.stdout)
	root.SetErr(env.stderr)
	started := false
	root.PersistentPreRun = func(*cobra.Command, []string) { started = true }
	err := root.ExecuteContext(ctx)
	var usage usageError
	switch {
	case err == nil:
		return exitOK
	case errors.Is(err, errSaid):
		return exitFailed
	case !started || errors.As(err, &usage):
		fmt.Fprintf(env.stderr, "vedette: %v\nRun 'vedette --help' for the commands.\n", err)
		return exitUsage
	}
	fmt.Fprintf(env.stderr, "vedette: %v\n", err)
	if errors.Is(err, pipeline.ErrUnreapable) {
		syncDisks()
		return exitUnreapable
	}
	return exitFailed
}

// syncDisks writes out what there is, as a reboot at once would not. A file system that hangs is not waited for.
func syncDisks() {
	done := make(chan struct{})
	go func() {
		defer close(done)
		unix.Sync()
	}()
	select {
	case <-done:
	case <-time.After(3 * time.Second):
	}
}

// errSaid is a failure that the command has reported already.
var errSaid = errors.New("failed as reported")

func rootCommand(env env) *cobra.Command {
	root := &cobra.Command{
		Use:   "vedette",
		Short: "Turn a camera into an appliance that tells what it sees over MQTT",
		Long: `Vedette captures video, detects objects with ONNX Runtime in a supervised child process, and publishes what it
sees over MQTT. 'vedette demo' shows it without a camera; 'vedette doctor' tells what this machine has and lacks.`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Version:       version,
	}
	root.AddCommand(
		runCommand(env), demoCommand(env), doctorCommand(env), healthCommand(env), configCommand(env), cameraCommand(env), modelCommand(env),
		outboxCommand(env), benchCommand(env), replayCommand(env), versionCommand(env), trackCommand(env), evalCommand(env), workerCommand(env), confineCommand(), manCommand(),
		webCommand(env),
	)
	return root
}
