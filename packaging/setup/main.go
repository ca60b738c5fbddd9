// Command setup fetches what a build on a fresh machine lacks: Debian packages, ONNX Runtime, the default model.
//
// It uses the standard library alone, so that it runs before there is a C compiler. Every file appears under its name
// only when it is whole and its hash is right; a set-up that was interrupted is simply run again.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintf(os.Stderr, "setup: %v\n", err)
		os.Exit(1)
	}
}

// run takes the steps that args names, or all of them.
func run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("setup", flag.ContinueOnError)
	flags.Usage = func() {
		fmt.Fprintln(flags.Output(), "usage: setup [flags] [packages] [sysroot] [runtime] [model]")
		flags.PrintDefaults()
	}
	arch := flags.String("arch", runtime.GOARCH, "architecture to set up for: amd64 or arm64")
	build := flags.String("build", "build", "folder for what is fetched")
	if err := flags.Parse(args); err != nil {
		return err
	}
	folder, err := filepath.Abs(*build)
	if err != nil {
		return err
	}
	s := setup{
		out: out, build: folder, arch: *arch, host: runtime.GOARCH, root: "/", superuser: os.Geteuid() == 0,
		getenv: os.Getenv, pins: pinned(), converter: []string{"go", "run", "./packaging/tfjs2onnx"},
	}
	return s.run(ctx, flags.Args())
}

// setup is one run.
type setup struct {
	out        io.Writer
	build      string // absolute
	arch, host string
	root       string // of the file system that Debian's packages install into
	superuser  bool
	getenv     func(string) string
	pins       pins
	converter  []string // takes two more arguments: the weights' folder and the model to write
}

func (s setup) run(ctx context.Context, names []string) (err error) {
	steps := s.steps()
	for _, name := range names {
		if !slices.ContainsFunc(steps, func(s step) bool { return s.name == name }) {
			return fmt.Errorf("there is no step %q: use packages, sysroot, runtime or model", name)
		}
	}
	if _, ok := s.pins.libraries[s.arch]; !ok {
		return fmt.Errorf("there is no ONNX Runtime for %q here: use amd64 or arm64", s.arch)
	}
	if s.arch != s.host && s.arch != "arm64" {
		return fmt.Errorf("a build for %s is made on %s alone, and this is %s", s.arch, s.arch, s.host)
	}
	unlock, err := s.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	// What an interrupted run left; and what this one leaves.
	if err := os.RemoveAll(s.scratch()); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(s.scratch())) }()
	for _, step := range steps {
		if len(names) > 0 && !slices.Contains(names, step.name) {
			continue
		}
		if err := step.take(ctx); err != nil {
			if ctx.Err() != nil {
				return errors.New("interrupted; run it again to start over")
			}
			return err
		}
	}
	return nil
}

type step struct {
	name string
	take func(context.Context) error
}

func (s setup) steps() []step {
	return []step{{"packages", s.packages}, {"sysroot", s.sysroot}, {"runtime", s.runtime}, {"model", s.model}}
}

// scratch is the folder for what is not whole yet. It lies beside what it becomes, so that a rename is enough.
func (s setup) scratch() string { return filepath.Join(s.build, ".setup") }

// lock makes the set-ups of one build folder take turns.
func (s setup) lock(ctx context.Context) (unlock func(), err error) {
	if err := os.MkdirAll(s.build, 0o755); err != nil {
		return nil, fmt.Errorf("cannot make the build folder: %w", err)
	}
	file, err := os.OpenFile(filepath.Join(s.build, ".setup.lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("cannot lock the build folder: %w", err)
	}
	again := time.NewTicker(200 * time.Millisecond)
	defer again.Stop()
	for said := false; ; said = true {
		err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return func() { file.Close() }, nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR) {
			file.Close()
			return nil, fmt.Errorf("cannot lock the build folder: %w", err)
		}
		if !said {
			s.say("waiting for another set-up in %s", s.build)
		}
		select {
		case <-ctx.Done():
			file.Close()
			return nil, errors.New("interrupted; run it again to start over")
		case <-again.C:
		}
	}
}

func (s setup) say(format string, args ...any) { fmt.Fprintf(s.out, "setup: "+format+"\n", args...) }

// long takes a step that takes a while: one line says what it does, then how long that was and what came of it.
func (s setup) long(what string, step func() (result string, err error)) error {
	fmt.Fprintf(s.out, "setup: %s ... ", what)
	began := time.Now()
	result, err := step()
	if err != nil {
		fmt.Fprintln(s.out, "failed")
		return err
	}
	fmt.Fprintln(s.out, strings.TrimSuffix(fmt.Sprintf("%.1f s, %s", time.Since(began).Seconds(), result), ", "))
	return nil
}
