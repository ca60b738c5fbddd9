// Package web serves Vedette over HTTP.
//
// What it serves is handed in: it knows no camera, no worker and no broker.
package web

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/net/netutil"

	"vedette/web/access"
	"vedette/web/history"
	"vedette/web/live"
)

// Bounds on what clients may take. A handler that streams sets a deadline of its own (http.ResponseController).
const (
	maxConnections = 32       // further ones wait in the kernel's queue
	maxHeader      = 16 << 10 // bytes
	headerWithin   = 5 * time.Second
	requestWithin  = 10 * time.Second // header and body
	answerWithin   = 30 * time.Second
	idleWithin     = time.Minute
	stopWithin     = time.Second // for requests under way at the end
)

// retryEvery is how often a port that is taken is tried again: whoever has it may end.
const retryEvery = 5 * time.Second

// Name is what every answer's Server header says.
const Name = "vedette"

// Options are what a Server is made of.
type Options struct {
	Config   Config
	StateDir string              // holds the device's own certificate
	Metrics  prometheus.Gatherer // what /metrics shows, and what the history is made of
	// Ready tells whether the service does what it is there for; its error is shown to whoever asks.
	Ready     func() error
	Documents Documents
	Settings  Settings
	Live      *live.Hub
	Changed   func() // told when Status has another answer. It must not block
	Logger    *slog.Logger
}

// Documents are what the API shows as JSON. They are asked for with each request, from any goroutine.
type Documents struct {
	State   func() any
	Health  func() any
	Faults  func() any             // oldest first
	Events  func() any             // oldest first
	Shot    func(id string) []byte // an event's picture as JPEG; nil: there is none
	Cameras func() any             // as they are configured
	Names   func() []string        // of the cameras
}

// Settings is what an administrator may change.
type Settings interface {
	// SetRegions puts what is drawn on a camera's picture, as JSON, into the configuration and takes it. A Mistake is the
	// caller's to mend.
	SetRegions(ctx context.Context, camera string, regions []byte) error
	// Unchangeable says why nothing can be changed; nil where it can.
	Unchangeable() error
}

// Mistake is an error in what somebody asked for.
type Mistake struct{ Err error }

func (m Mistake) Error() string { return m.Err.Error() }

func (m Mistake) Unwrap() error { return m.Err }

// Status is what a Server knows of its port.
type Status struct {
	Address   string // where it listens; empty while it does not
	LastError string // why it does not
	// Certificate is why a renewed certificate is not used; empty where there is none such.
	Certificate string
}

// Server serves HTTP on one port.
type Server struct {
	opts    Options
	retry   time.Duration
	guard   *access.Guard
	own     *access.Certificate // nil where TLS is not spoken
	history *history.History
	changes changes

	mu     sync.Mutex // guards status
	status Status
}

// New makes a server. Nothing is served before Run.
func New(opts Options) (*Server, error) {
	s := &Server{opts: opts, retry: retryEvery, history: history.New(opts.Metrics)}
	config := opts.Config
	secrets := map[access.Role]access.Secrets{}
	for role, c := range map[access.Role]Credentials{access.Admin: config.Admin, access.Viewer: config.Viewer} {
		read, err := access.ReadSecrets(c.PasswordFile, c.TokenFile)
		if err != nil {
			return nil, fmt.Errorf("cannot use web.%s: %w", role, err)
		}
		secrets[role] = read
	}
	s.guard = access.New(access.Options{Secrets: secrets, Loopback: config.loopback(), Secure: config.Secure()})
	if !config.Secure() {
		return s, nil
	}
	var err error
	if config.TLS.CertFile != "" {
		s.own, err = access.OpenCertificate(config.TLS.CertFile, config.TLS.KeyFile)
	} else {
		s.own, err = access.OwnCertificate(filepath.Join(opts.StateDir, "web"), ownNames(config.Listen))
	}
	if err != nil {
		return nil, fmt.Errorf("cannot serve %s by TLS: %w", config.Listen, err)
	}
	s.own.Tell(s.renewed)
	return s, nil
}

// ownNames are what the device's own certificate is for.
func ownNames(listen string) []string {
	names := []string{"localhost", "127.0.0.1", "::1"}
	if name, err := os.Hostname(); err == nil {
		names = append(names, name, name+".local")
	}
	if host, _, err := net.SplitHostPort(listen); err == nil {
		if ip := net.ParseIP(host); ip == nil || !ip.IsUnspecified() {
			names = append(names, host)
		}
	}
	return names
}

// Status may be called from any goroutine.
func (s *Server) Status() Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.status
}

// StateChanged tells whoever listens that Documents.State may have another answer. It does not block.
func (s *Server) StateChanged() { s.changes.tell() }

// Run serves until ctx ends. A port that cannot be had is no reason to end: it is told once and tried again.
func (s *Server) Run(ctx context.Context) error {
	beside, stop := context.WithCancel(ctx)
	var all sync.WaitGroup
	all.Go(func() { s.history.Run(beside) })
	defer all.Wait()
	defer stop()
	for {
		listener, err := new(net.ListenConfig).Listen(ctx, "tcp", s.opts.Config.Listen)
		if err == nil {
			err = s.serve(ctx, listener)
		}
		if ctx.Err() != nil {
			s.change(Status{})
			return nil
		}
		if s.change(Status{LastError: err.Error()}) {
			s.opts.Logger.Warn("the web page and the metrics cannot be served; it is tried again", "listen", s.opts.Config.Listen,
				"error", err, "next_try", s.retry)
		}
		timer := time.NewTimer(s.retry)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
		}
	}
}

// renewed hears what has become of a renewal of the certificate.
func (s *Server) renewed(err error) {
	why := ""
	if err != nil {
		why = err.Error()
		s.opts.Logger.Warn("the renewed certificate cannot be used: the one before serves on", "error", err)
	} else {
		s.opts.Logger.Info("the certificate that the web page is served with", "sha256", s.own.Fingerprint())
	}
	s.mu.Lock()
	changed := s.status.Certificate != why
	s.status.Certificate = why
	s.mu.Unlock()
	if changed {
		s.opts.Changed()
	}
}

// change tells whether the status is another one now.
func (s *Server) change(status Status) bool {
	s.mu.Lock()
	status.Certificate = s.status.Certificate // that is renewed's
	changed := s.status != status
	s.status = status
	s.mu.Unlock()
	if changed {
		s.opts.Changed()
	}
	return changed
}

// serve closes the listener.
func (s *Server) serve(ctx context.Context, listener net.Listener) error {
	server := &http.Server{
		Handler:           s.handler(),
		ReadHeaderTimeout: headerWithin,
		ReadTimeout:       requestWithin,
		WriteTimeout:      answerWithin,
		IdleTimeout:       idleWithin,
		MaxHeaderBytes:    maxHeader,
		BaseContext:       func(net.Listener) context.Context { return ctx },           // a handler that streams ends with the service
		ErrorLog:          slog.NewLogLogger(s.opts.Logger.Handler(), slog.LevelDebug), // mostly what clients did wrong
	}
	s.change(Status{Address: listener.Addr().String()})
	scheme := "http"
	if s.own != nil {
		scheme = "https"
		server.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: s.own.Get}
		s.opts.Logger.Info("the certificate that the web page is served with", "sha256", s.own.Fingerprint())
	}
	s.opts.Logger.Info("serving HTTP", "address", listener.Addr().String(), "scheme", scheme)
	limited := netutil.LimitListener(listener, maxConnections)
	ended := make(chan error, 1)
	go func() {
		if s.own != nil {
			ended <- server.ServeTLS(limited, "", "")
			return
		}
		ended <- server.Serve(limited)
	}()
	select {
	case err := <-ended:
		return errors.Join(err, server.Close())
	case <-ctx.Done():
	}
	shutdown, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopWithin)
	defer cancel()
	if err := server.Shutdown(shutdown); err != nil {
		s.opts.Logger.Warn("HTTP requests were cut off at the end", "waited", stopWithin)
		_ = server.Close() // of sockets that are given up
	}
	if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
