// Package access decides who may ask the web server for what.
//
// There are two roles: who views sees everything and changes nothing; the administrator may change things too. A role comes with a
// session, which a password opens, or with a token in the request. Where no viewer's secret is configured, whoever is on this
// machine views: Guard knows that by the listener's being on loopback.
package access

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// Role is what somebody may do. A higher one may do all that a lower one may.
type Role int

// The roles.
const (
	Nobody Role = iota
	Viewer
	Admin
)

// String is the name that the API gives it.
func (r Role) String() string {
	switch r {
	case Viewer:
		return "viewer"
	case Admin:
		return "admin"
	}
	return "nobody"
}

// CSRFHeader carries a session's own token in each request that changes something.
const CSRFHeader = "X-Csrf-Token"

// Options are what a Guard is made of.
type Options struct {
	Secrets map[Role]Secrets
	// Loopback says that only this machine reaches the listener: whoever asks by a name of this machine views, unless a
	// viewer's secret is there.
	Loopback bool
	// Secure says that the listener speaks TLS: cookies then never travel without.
	Secure bool
}

// Guard tells who asks. Its methods may be called from any goroutine.
type Guard struct {
	opts     Options
	sessions *sessions
	limiter  *limiter
	checking chan struct{} // of passwords: one at a time, as each takes a tenth of a second of a processor
	origins  *http.CrossOriginProtection
}

// New makes a guard without sessions.
func New(o Options) *Guard {
	return &Guard{
		opts: o, sessions: newSessions(), limiter: newLimiter(),
		checking: make(chan struct{}, 1), origins: http.NewCrossOriginProtection(),
	}
}

// Identity is who asks.
type Identity struct {
	Role Role
	CSRF string // of the session; empty where there is none
}

// MayLogIn tells whether there is a password that opens anything.
func (g *Guard) MayLogIn() bool {
	for _, s := range g.opts.Secrets {
		if s.password != nil {
			return true
		}
	}
	return false
}

// Identify tells who asks: by a bearer token, by a token as the password of Basic authentication, by a session's cookie, or by being
// on this machine.
func (g *Guard) Identify(r *http.Request) Identity {
	scheme, rest, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	switch strings.ToLower(scheme) {
	case "bearer":
		return Identity{Role: g.byToken(strings.TrimSpace(rest))}
	case "basic":
		// A browser sends it unasked, so it must not change anything.
		_, password, _ := r.BasicAuth()
		return Identity{Role: min(g.byToken(password), Viewer)}
	}
	if s, ok := g.sessions.find(cookieOf(r, g.opts.Secure)); ok {
		return Identity{s.role, s.csrf}
	}
	if g.opts.Loopback && !g.opts.Secrets[Viewer].any() {
		return Identity{Role: Viewer}
	}
	return Identity{}
}

func (g *Guard) byToken(token string) Role {
	sum := sha256.Sum256([]byte(token))
	role := Nobody
	for candidate, s := range g.opts.Secrets {
		if s.token != nil && subtle.ConstantTimeCompare(sum[:], s.token[:]) == 1 {
			role = max(role, candidate)
		}
	}
	return role
}

// Refusal is why somebody is not let in.
type Refusal struct {
	Status int    // of the HTTP answer
	Why    string // with what to do
}

func (r *Refusal) Error() string { return r.Why }

// Check refuses a request that needs more than its sender may.
func (g *Guard) Check(r *http.Request, needs Role) error {
	if err := g.CheckOrigin(r); err != nil {
		return err
	}
	who := g.Identify(r)
	if who.Role < needs {
		if who.Role == Nobody {
			return &Refusal{http.StatusUnauthorized, "log in, or send a token: Authorization: Bearer …"}
		}
		return &Refusal{http.StatusForbidden, "this needs the administrator's password or token (web.admin in the configuration)"}
	}
	if who.CSRF != "" && changes(r) && subtle.ConstantTimeCompare([]byte(r.Header.Get(CSRFHeader)), []byte(who.CSRF)) != 1 {
		return &Refusal{http.StatusForbidden, "the header " + CSRFHeader + " is missing or is not this session's: GET /api/v1/session tells it"}
	}
	return nil
}

// Enter is Check for a request that may last: what it gives ends with the session that it belongs to, which is in use until leave is
// called.
func (g *Guard) Enter(r *http.Request, needs Role) (entered *http.Request, leave func(), err error) {
	// It is held first: a session that ends from here on ends the request, or fails the check.
	ctx, leave := g.sessions.hold(r.Context(), cookieOf(r, g.opts.Secure))
	if err := g.Check(r, needs); err != nil {
		leave()
		return nil, nil, err
	}
	return r.WithContext(ctx), leave, nil
}

// CheckOrigin refuses what another site's page has made a browser send, and on loopback what was sent to a name that is not this
// machine's: such a name leads here by DNS rebinding.
func (g *Guard) CheckOrigin(r *http.Request) error {
	if g.opts.Loopback && !isLocal(r.Host) {
		return &Refusal{
			http.StatusMisdirectedRequest,
			fmt.Sprintf("this machine is served as localhost or 127.0.0.1 only, not as %.100q", r.Host),
		}
	}
	if err := g.origins.Check(r); err != nil {
		return &Refusal{http.StatusForbidden, "another site's page has sent this"}
	}
	return nil
}

func changes(r *http.Request) bool {
	return r.Method != http.MethodGet && r.Method != http.MethodHead
}

// isLocal tells whether a Host header names this machine by one of the names that never leave it.
func isLocal(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	if strings.EqualFold(host, "localhost") {
		return true
	}
	addr, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return err == nil && addr.IsLoopback()
}

// Errors of LogIn, beside a *Refusal.
var errWrong = &Refusal{http.StatusUnauthorized, "the password is wrong"}

// LogIn opens a session where the password is a role's, and sets its cookie.
func (g *Guard) LogIn(w http.ResponseWriter, r *http.Request, password string) (Identity, error) {
	from := remote(r)
	if wait := g.limiter.take(from); wait > 0 {
		w.Header().Set("Retry-After", fmt.Sprint(int(wait.Seconds())+1))
		return Identity{}, &Refusal{http.StatusTooManyRequests, fmt.Sprintf("too many log-ins: try again in %d s", int(wait.Seconds())+1)}
	}
	select {
	case g.checking <- struct{}{}:
		defer func() { <-g.checking }()
	case <-r.Context().Done():
		return Identity{}, &Refusal{http.StatusServiceUnavailable, "others log in just now: try again"}
	}
	for _, role := range []Role{Admin, Viewer} {
		if g.opts.Secrets[role].opens(password) {
			g.limiter.forgive(from)
			s := g.sessions.open(role)
			http.SetCookie(w, s.cookie(g.opts.Secure))
			return Identity{role, s.csrf}, nil
		}
	}
	return Identity{}, errWrong
}

// LogOut ends the session that the request belongs to.
func (g *Guard) LogOut(w http.ResponseWriter, r *http.Request) {
	g.sessions.end(cookieOf(r, g.opts.Secure))
	http.SetCookie(w, noCookie(g.opts.Secure))
}

// remote is whom log-ins are counted for: an IPv4 address, or an IPv6 network, of which one host has many addresses.
func remote(r *http.Request) string {
	at, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	addr := at.Addr().Unmap()
	if addr.Is6() {
		if network, err := addr.WithZone("").Prefix(64); err == nil {
			return network.String()
		}
	}
	return addr.String()
}

// RefusalOf gives the refusal in an error; another error is the server's own.
func RefusalOf(err error) *Refusal {
	if refusal, ok := errors.AsType[*Refusal](err); ok {
		return refusal
	}
	return &Refusal{http.StatusInternalServerError, err.Error()}
}
