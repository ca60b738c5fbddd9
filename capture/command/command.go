// Package command takes frames from the standard output of a program, such as ffmpeg or gst-launch-1.0.
package command

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"vedette/capture"
)

// defaultTimeout is how long a program may be silent: a network camera takes seconds to answer.
const defaultTimeout = 10 * time.Second

// Wrap turns a command line into one that confines itself first, with the files that become its descriptors 3, 4, …
// They are closed when it has been started.
type Wrap func(argv []string) (wrapped []string, files []*os.File, err error)

// Source is a capture.Source over a program that Open starts.
type Source struct {
	Wrap Wrap // nil: the program is started as it is. Set before the first Open

	config capture.CommandConfig
	raw    capture.Format // of raw frames; its Pixel is 0 where the stream is Y4M
	log    *slog.Logger
}

// New checks a configuration; nothing is started.
func New(config capture.CommandConfig, logger *slog.Logger) (*Source, error) {
	if len(config.Argv) == 0 || config.Argv[0] == "" {
		return nil, errors.New("cannot make a command source: argv names no program")
	}
	s := &Source{config: config, log: logger}
	if s.config.Timeout == 0 {
		s.config.Timeout = defaultTimeout
	}
	if config.Format == "y4m" {
		return s, nil
	}
	pixel, err := capture.ParsePixelFormat(config.Format)
	if err != nil {
		return nil, fmt.Errorf("cannot make a command source: format %q is neither y4m nor a raw pixel format", config.Format)
	}
	if pixel == capture.MJPEG {
		return nil, errors.New("cannot make a command source: mjpeg has no fixed frame size on a pipe; " +
			"let the program decode it, to y4m for instance")
	}
	s.raw = capture.Format{Pixel: pixel, Width: config.Size.Width, Height: config.Size.Height}.Packed()
	if config.Rate > 0 {
		s.raw.Interval = time.Duration(float64(time.Second) / config.Rate)
	}
	if err := s.raw.Validate(); err != nil {
		return nil, fmt.Errorf("cannot make a command source: %w", err)
	}
	return s, nil
}

// userinfo finds the password of an address.
var userinfo = regexp.MustCompile(`(://[^\s/:@]*:)[^\s/@]*@`)

// mask hides the passwords of addresses.
func mask(text string) string { return userinfo.ReplaceAllString(text, "${1}***@") }

// String is the command line without its passwords.
func (s *Source) String() string { return mask("command " + strings.Join(s.config.Argv, " ")) }

// Open starts the program and reads the stream's header.
func (s *Source) Open(ctx context.Context) (capture.Stream, error) {
	env, err := s.environment()
	if err != nil {
		return nil, err
	}
	p, err := s.start(env)
	if err != nil {
		return nil, fmt.Errorf("cannot start %s: %w", filepath.Base(s.config.Argv[0]), err)
	}
	st := &stream{
		process: p, lossless: s.config.Lossless, timeout: s.config.Timeout,
		ready: make(chan picture, 1), free: make(chan []byte, buffers), ended: make(chan struct{}),
	}
	if err := st.open(ctx, s.raw); err != nil {
		return nil, errors.Join(err, st.Close())
	}
	return st, nil
}

func (s *Source) start(env []string) (*process, error) {
	argv, log := s.config.Argv, s.log.With("program", s.config.Argv[0])
	if s.Wrap == nil {
		return start(argv, env, nil, log)
	}
	if _, err := exec.LookPath(argv[0]); err != nil {
		return nil, err // the wrapper itself would be there
	}
	argv, files, err := s.Wrap(argv)
	if err != nil {
		return nil, err
	}
	defer func() {
		for _, file := range files {
			_ = file.Close()
		}
	}()
	return start(argv, env, files, log)
}

// environment is small, so that the service's own secrets stay its own.
func (s *Source) environment() ([]string, error) {
	env := []string{"PATH=" + os.Getenv("PATH"), "LANG=C.UTF-8", "HOME=" + os.Getenv("HOME")}
	for name, value := range s.config.Env {
		env = append(env, name+"="+value)
	}
	for name, file := range s.config.EnvFile {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("cannot read env_file %s: %w", name, err)
		}
		env = append(env, name+"="+strings.TrimRight(string(text), "\r\n"))
	}
	return env, nil
}
