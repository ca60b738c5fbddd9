package web

import (
	"fmt"
	"io"
	"net/http"
	"net/http/pprof"
	"runtime/debug"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"vedette/web/access"
	"vedette/web/page"
)

// maxScrapes is how many may be under way: one reads every part's counters.
const maxScrapes = 4

// route is one thing that is served.
type route struct {
	pattern string
	needs   access.Role // Nobody: it is there for everybody
	serve   http.HandlerFunc
}

func (s *Server) routes() []route {
	routes := []route{
		{"GET /healthz", access.Nobody, func(w http.ResponseWriter, _ *http.Request) { say(w, http.StatusOK, "alive") }},
		{"GET /readyz", access.Viewer, s.ready},
		{"GET /metrics", access.Viewer, promhttp.HandlerFor(s.opts.Metrics, promhttp.HandlerOpts{MaxRequestsInFlight: maxScrapes}).ServeHTTP},

		{"GET /api/v1/openapi.json", access.Nobody, serveOpenAPI},
		{"GET /api/v1/session", access.Nobody, s.session},
		{"POST /api/v1/session", access.Nobody, s.logIn},
		{"DELETE /api/v1/session", access.Nobody, s.logOut},
		{"GET /api/v1/state", access.Viewer, document(s.opts.Documents.State)},
		{"GET /api/v1/health", access.Viewer, document(s.opts.Documents.Health)},
		{"GET /api/v1/faults", access.Viewer, document(s.opts.Documents.Faults)},
		{"GET /api/v1/events", access.Viewer, document(s.opts.Documents.Events)},
		{"GET /api/v1/events/{id}/snapshot.jpg", access.Viewer, s.shot},
		{"GET /api/v1/history", access.Viewer, document(func() any { return s.history.Document() })},
		{"GET /api/v1/changes", access.Viewer, s.stream},
		{"GET /api/v1/cameras", access.Viewer, document(s.opts.Documents.Cameras)},
		{"GET /api/v1/cameras/{camera}/snapshot.jpg", access.Viewer, s.snapshot},
		{"GET /api/v1/cameras/{camera}/stream.mjpeg", access.Viewer, s.mjpeg},
		{"GET /api/v1/live", access.Viewer, s.live},
		{"PUT /api/v1/cameras/{camera}/regions", access.Admin, s.setRegions},
	}
	for _, file := range page.Files() {
		// The page itself is for everybody: it asks to log in.
		routes = append(routes, route{"GET " + file.Path, access.Nobody, file.ServeHTTP})
	}
	if s.opts.Config.Pprof {
		routes = append(routes,
			route{"GET /debug/pprof/", access.Viewer, pprof.Index},
			route{"GET /debug/pprof/cmdline", access.Viewer, pprof.Cmdline},
			route{"GET /debug/pprof/profile", access.Viewer, pprof.Profile},
			route{"GET /debug/pprof/trace", access.Viewer, pprof.Trace},
		)
	}
	return routes
}

// handler answers on the routes, and nothing else.
func (s *Server) handler() http.Handler {
	mux := http.NewServeMux()
	for _, route := range s.routes() {
		mux.HandleFunc(route.pattern, func(w http.ResponseWriter, r *http.Request) {
			if route.needs == access.Nobody {
				route.serve(w, r)
				return
			}
			entered, leave, err := s.guard.Enter(r, route.needs)
			if err != nil {
				refuse(w, err)
				return
			}
			defer leave()
			route.serve(w, entered)
		})
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Server", Name)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
		answered := &answering{ResponseWriter: w}
		defer s.survive(answered, r)
		mux.ServeHTTP(answered, r)
	})
}

// survive turns a handler's panic, which is a mistake of ours, into an answer and a line in the log: it must not end the service.
func (s *Server) survive(w *answering, r *http.Request) {
	p := recover()
	if p == nil {
		return
	}
	if p == http.ErrAbortHandler { //nolint:errorlint // a value of any type
		panic(p)
	}
	s.opts.Logger.Error("a request has failed: this is a mistake in Vedette, worth an issue", "method", r.Method, "path", r.URL.Path,
		"panic", fmt.Sprint(p), "stack", string(debug.Stack()))
	if w.begun {
		panic(http.ErrAbortHandler) // half an answer is not to look like a whole one
	}
	answer(w, http.StatusInternalServerError, problem{"this is a mistake in Vedette, worth an issue: its log says where it is"})
}

// answering knows whether an answer has begun.
type answering struct {
	http.ResponseWriter
	begun bool
}

func (w *answering) WriteHeader(status int) {
	w.begun = true
	w.ResponseWriter.WriteHeader(status)
}

func (w *answering) Write(p []byte) (int, error) {
	w.begun = true
	return w.ResponseWriter.Write(p)
}

// Unwrap is for http.ResponseController.
func (w *answering) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (s *Server) ready(w http.ResponseWriter, _ *http.Request) {
	if err := s.opts.Ready(); err != nil {
		say(w, http.StatusServiceUnavailable, fmt.Sprintf("not ready: %v", err))
		return
	}
	say(w, http.StatusOK, "ready")
}

// say answers in plain text that is true now and not later.
func say(w http.ResponseWriter, code int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(code)
	_, _ = io.WriteString(w, text+"\n") // a client that has gone misses nothing
}
