// Package control is the running service's Unix socket: HTTP that the command line and update hooks talk to.
package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"vedette/mqtt/payload"
)

// Env names the socket where it is not the usual one.
const Env = "VEDETTE_CONTROL"

// Path is where the socket is: what Env names, else in the folder that systemd made for the service, else
// /run/vedette/control.sock.
func Path(getenv func(string) string) string {
	if path := getenv(Env); path != "" {
		return path
	}
	if dir := getenv("RUNTIME_DIRECTORY"); dir != "" {
		return filepath.Join(dir, "control.sock")
	}
	return "/run/vedette/control.sock"
}

// Service is what the socket's requests ask. Its methods are called from any goroutine.
type Service interface {
	State() payload.State
	Health() payload.Health
	// Reload reads the configuration anew; an error means that nothing has changed.
	Reload(ctx context.Context) error
	// UseModel switches to an installed version of a model, 0 for the highest; an error means that nothing has changed.
	UseModel(ctx context.Context, name string, version uint64) error
	// RollbackModel goes back to the version before.
	RollbackModel(ctx context.Context, name string) error
}

// ModelChoice is the body of a request about models.
type ModelChoice struct {
	Name    string `json:"name"`
	Version uint64 `json:"version"` // 0: the highest
}

// Problem is the body of an answer that is not good.
type Problem struct {
	Error string `json:"error"`
}

// Bounds on what a client may take or send. There is one board with a few clients, all local.
const (
	requestWithin = 5 * time.Second
	goodbyeWithin = 500 * time.Millisecond
	maxHeader     = 8 << 10
	maxBody       = 4 << 10
)

// Listener is a socket that Listen made.
type Listener struct{ net.Listener }

// Listen makes the socket, for its owner and group alone. One that a dead service left is replaced; one that answers is
// another service's and is left alone.
func Listen(path string) (*Listener, error) {
	if conn, err := net.Dial("unix", path); err == nil {
		_ = conn.Close()
		return nil, fmt.Errorf("cannot listen on %s: another service answers there", path)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("cannot replace the control socket: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, fmt.Errorf("cannot make the control socket's folder: %w", err)
	}
	// Until the mode is set the usual mask lets the owner alone connect.
	listener, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("cannot make the control socket: %w", err)
	}
	if err := unix.Chmod(path, 0o660); err != nil {
		return nil, errors.Join(fmt.Errorf("cannot set the control socket's mode: %w", err), listener.Close())
	}
	return &Listener{listener}, nil
}

// Serve answers until ctx ends; it closes the listener. A change of the service may take up to longest: a new model is tried.
func Serve(ctx context.Context, listener *Listener, service Service, longest time.Duration, logger *slog.Logger) error {
	server := &http.Server{
		Handler: handler(service, longest), ReadTimeout: requestWithin, WriteTimeout: longest + requestWithin, MaxHeaderBytes: maxHeader,
		ErrorLog:    slog.NewLogLogger(logger.Handler(), slog.LevelDebug),
		BaseContext: func(net.Listener) context.Context { return ctx },
	}
	ended := make(chan error, 1) // one Serve, one result
	go func() { ended <- server.Serve(listener) }()
	select {
	case err := <-ended:
		return fmt.Errorf("the control socket has failed: %w", err)
	case <-ctx.Done():
	}
	goodbye, cancel := context.WithTimeout(context.WithoutCancel(ctx), goodbyeWithin)
	defer cancel()
	if err := server.Shutdown(goodbye); err != nil {
		_ = server.Close() // what does not let go is cut off
	}
	if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("the control socket has failed: %w", err)
	}
	return nil
}

func handler(service Service, longest time.Duration) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/state", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, http.StatusOK, service.State())
	})
	mux.HandleFunc("GET /v1/health", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, http.StatusOK, service.Health())
	})
	change := func(path string, carryOut func(context.Context, *http.Request) error) {
		mux.HandleFunc("POST "+path, func(w http.ResponseWriter, r *http.Request) {
			ctx, cancel := context.WithTimeout(r.Context(), longest)
			defer cancel()
			if err := carryOut(ctx, r); err != nil {
				answer(w, http.StatusUnprocessableEntity, Problem{err.Error()})
				return
			}
			answer(w, http.StatusOK, service.Health())
		})
	}
	change("/v1/reload", func(ctx context.Context, _ *http.Request) error { return service.Reload(ctx) })
	change("/v1/model/use", func(ctx context.Context, r *http.Request) error {
		choice, err := modelChoice(r)
		if err != nil {
			return err
		}
		return service.UseModel(ctx, choice.Name, choice.Version)
	})
	change("/v1/model/rollback", func(ctx context.Context, r *http.Request) error {
		choice, err := modelChoice(r)
		if err != nil {
			return err
		}
		return service.RollbackModel(ctx, choice.Name)
	})
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		answer(w, http.StatusNotFound, Problem{"nothing is at " + r.Method + " " + r.URL.Path})
	})
	return mux
}

func modelChoice(r *http.Request) (choice ModelChoice, err error) {
	body := json.NewDecoder(io.LimitReader(r.Body, maxBody))
	body.DisallowUnknownFields()
	if err := body.Decode(&choice); err != nil {
		return choice, fmt.Errorf("cannot read which model: %w", err)
	}
	return choice, nil
}

func answer(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // fails where the client has gone
}
