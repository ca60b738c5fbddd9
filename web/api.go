package web

import (
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"

	"vedette/web/access"
)

// What a body may have: a password, or what is drawn on a picture.
const (
	maxPassword = 1 << 10
	maxRegions  = 64 << 10
)

//go:embed openapi.json
var openAPI []byte

// serveOpenAPI tells a program what is served.
func serveOpenAPI(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-cache")
	_, _ = w.Write(openAPI) // fails where the client has gone
}

// problem is the body of every answer that is not good.
type problem struct {
	Error string `json:"error"`
}

func answer(w http.ResponseWriter, status int, body any) {
	text, err := json.Marshal(body)
	if err != nil {
		status, text = http.StatusInternalServerError, []byte(`{"error":"the answer cannot be written as JSON"}`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(append(text, '\n')) // fails where the client has gone
}

// refuse tells a client why it is not let in.
func refuse(w http.ResponseWriter, err error) {
	refusal := access.RefusalOf(err)
	if refusal.Status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", `Bearer realm="vedette"`) // not Basic: a browser would ask for a password by itself
	}
	answer(w, refusal.Status, problem{refusal.Why})
}

func document(ask func() any) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { answer(w, http.StatusOK, ask()) }
}

// sessionDocument says who asks and what they may.
type sessionDocument struct {
	Role     string `json:"role"`
	CSRF     string `json:"csrf,omitempty"` // for the header X-Csrf-Token
	MayLogIn bool   `json:"may_log_in"`     // whether there is a password
	// Unchangeable is why the configuration cannot be changed, whoever asks.
	Unchangeable string `json:"unchangeable,omitempty"`
}

func (s *Server) describe(who access.Identity) sessionDocument {
	d := sessionDocument{Role: who.Role.String(), CSRF: who.CSRF, MayLogIn: s.guard.MayLogIn()}
	if err := s.opts.Settings.Unchangeable(); err != nil && who.Role >= access.Viewer {
		d.Unchangeable = err.Error()
	}
	return d
}

func (s *Server) session(w http.ResponseWriter, r *http.Request) {
	if err := s.guard.CheckOrigin(r); err != nil {
		refuse(w, err)
		return
	}
	answer(w, http.StatusOK, s.describe(s.guard.Identify(r)))
}

func (s *Server) logIn(w http.ResponseWriter, r *http.Request) {
	if err := s.guard.CheckOrigin(r); err != nil {
		refuse(w, err)
		return
	}
	var body struct {
		Password string `json:"password"`
	}
	text, err := readJSON(r, maxPassword)
	if err == nil && (json.Unmarshal(text, &body) != nil || body.Password == "") {
		err = &access.Refusal{Status: http.StatusBadRequest, Why: `the body is not {"password": "…"}`}
	}
	if err != nil {
		refuse(w, err)
		return
	}
	who, err := s.guard.LogIn(w, r, body.Password)
	if err != nil {
		// At most as many lines as the guard lets somebody try.
		if refusal := access.RefusalOf(err); refusal.Status == http.StatusUnauthorized {
			s.opts.Logger.Warn("log-in refused", "remote", r.RemoteAddr)
		}
		refuse(w, err)
		return
	}
	s.opts.Logger.Info("logged in", "role", who.Role, "remote", r.RemoteAddr)
	answer(w, http.StatusOK, s.describe(who))
}

func (s *Server) logOut(w http.ResponseWriter, r *http.Request) {
	if err := s.guard.Check(r, access.Nobody); err != nil {
		refuse(w, err)
		return
	}
	s.guard.LogOut(w, r)
	w.WriteHeader(http.StatusNoContent)
}

func (s *Server) setRegions(w http.ResponseWriter, r *http.Request) {
	text, err := readJSON(r, maxRegions)
	if err != nil {
		refuse(w, err)
		return
	}
	if err := s.opts.Settings.Unchangeable(); err != nil {
		answer(w, http.StatusConflict, problem{err.Error()})
		return
	}
	camera := r.PathValue("camera")
	if err := s.opts.Settings.SetRegions(r.Context(), camera, text); err != nil {
		if _, ok := errors.AsType[Mistake](err); ok {
			answer(w, http.StatusUnprocessableEntity, problem{err.Error()})
			return
		}
		s.opts.Logger.Error("the configuration cannot be changed", "camera", camera, "error", err)
		answer(w, http.StatusInternalServerError, problem{err.Error()})
		return
	}
	s.opts.Logger.Info("the regions of a camera were changed", "camera", camera, "remote", r.RemoteAddr)
	w.WriteHeader(http.StatusNoContent)
}

// readJSON reads a body of at most so many bytes. Only a body that says that it is JSON is taken: what a form on another site can
// send does not.
func readJSON(r *http.Request, most int) ([]byte, error) {
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || kind != "application/json" {
		return nil, &access.Refusal{Status: http.StatusUnsupportedMediaType, Why: "send Content-Type: application/json"}
	}
	text, err := io.ReadAll(io.LimitReader(r.Body, int64(most)+1))
	if err != nil {
		return nil, &access.Refusal{Status: http.StatusBadRequest, Why: "the body cannot be read: " + err.Error()}
	}
	if len(text) > most {
		return nil, &access.Refusal{Status: http.StatusRequestEntityTooLarge, Why: fmt.Sprintf("the body has more than %d bytes", most)}
	}
	return text, nil
}
