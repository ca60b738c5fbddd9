// Package web serves Vedette over HTTP.
//
// What it serves is handed in: it knows no camera, no worker and no broker.
package web

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/net/netutil"
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
	Listen  string              // host:port
	Metrics prometheus.Gatherer // what /metrics shows
	// Ready tells whether the service does what it is there for; its error is shown to whoever asks.
	Ready   func() error
	Changed func() // told when Status has another answer. It must not block
	Logger  *slog.Logger
}

// Status is what a Server knows of its port.
type Status struct {
	Address   string // where it listens; empty while it does not
	LastError string // why it does not
}

// Server serves HTTP on one port.
type Server struct {
	opts  Options
	retry time.Duration

	mu     sync.Mutex // guards status
	status Status
}

// New makes a server. Nothing happens before Run.
func New(opts Options) *Server { return &Server{opts: opts, retry: retryEvery} }

// Status may be called from any goroutine.
func (s *Server) Status() Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.status
}

// Run serves until ctx ends. A port that cannot be had is no reason to end: it is told once and tried again.
func (s *Server) Run(ctx context.Context) error {
	for {
		listener, err := new(net.ListenConfig).Listen(ctx, "tcp", s.opts.Listen)
		if err == nil {
			err = s.serve(ctx, listener)
		}
		if ctx.Err() != nil {
			s.change(Status{})
			return nil
		}
		if s.change(Status{LastError: err.Error()}) {
			s.opts.Logger.Warn("the web page and the metrics cannot be served; it is tried again", "listen", s.opts.Listen,
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

// change tells whether the status is another one now.
func (s *Server) change(status Status) bool {
	s.mu.Lock()
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
		Handler:           handler(s.opts),
		ReadHeaderTimeout: headerWithin,
		ReadTimeout:       requestWithin,
		WriteTimeout:      answerWithin,
		IdleTimeout:       idleWithin,
		MaxHeaderBytes:    maxHeader,
		BaseContext:       func(net.Listener) context.Context { return ctx },           // a handler that streams ends with the service
		ErrorLog:          slog.NewLogLogger(s.opts.Logger.Handler(), slog.LevelDebug), // mostly what clients did wrong
	}
	s.change(Status{Address: listener.Addr().String()})
	s.opts.Logger.Info("serving HTTP", "address", listener.Addr().String())
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(netutil.LimitListener(listener, maxConnections)) }()
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
