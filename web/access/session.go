package access

import (
	"context"
	"crypto/rand"
	"net/http"
	"sync"
	"time"
)

// A session ends with the service, too: it is kept in memory only.
const (
	maxSessions = 64 // of which the one that has gone unused for longest makes room
	idleFor     = 2 * time.Hour
	lastsFor    = 24 * time.Hour
)

// session is somebody who has logged in.
type session struct {
	id, csrf     string
	role         Role
	opened, used time.Time

	streams int             // requests that last, under way: it is in use while there are any
	life    context.Context //nolint:containedctx // ends with the session; a day after its beginning at the latest
	end     context.CancelFunc
}

// sessions are those that are open, by their id.
type sessions struct {
	mu  sync.Mutex // guards open
	all map[string]*session
}

func newSessions() *sessions { return &sessions{all: map[string]*session{}} }

func (s *sessions) open(role Role) session {
	now := time.Now()
	made := &session{id: rand.Text(), csrf: rand.Text(), role: role, opened: now, used: now}
	made.life, made.end = context.WithDeadline(context.Background(), now.Add(lastsFor))
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.all) >= maxSessions {
		oldest := made
		for _, other := range s.all {
			if other.used.Before(oldest.used) || oldest == made {
				oldest = other
			}
		}
		s.drop(oldest)
	}
	s.all[made.id] = made
	return *made
}

// find gives the session with this id, and notes that it is in use.
func (s *sessions) find(id string) (session, bool) {
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	found, ok := s.all[id]
	if !ok {
		return session{}, false
	}
	if found.streams == 0 && now.Sub(found.used) > idleFor || now.Sub(found.opened) > lastsFor {
		s.drop(found)
		return session{}, false
	}
	found.used = now
	return *found, true
}

// hold gives a context that ends with the session, if there is one with this id. The session is in use until leave is called.
func (s *sessions) hold(ctx context.Context, id string) (held context.Context, leave func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	found, ok := s.all[id]
	if !ok {
		return ctx, func() {}
	}
	found.streams++
	held, cancel := context.WithCancel(ctx)
	forget := context.AfterFunc(found.life, cancel)
	return held, func() {
		forget()
		cancel()
		s.mu.Lock()
		defer s.mu.Unlock()
		found.streams--
		found.used = time.Now()
	}
}

func (s *sessions) end(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if found, ok := s.all[id]; ok {
		s.drop(found)
	}
}

// drop is for under the lock.
func (s *sessions) drop(found *session) {
	delete(s.all, found.id)
	found.end()
}

// cookieName has a prefix under TLS by which browsers hold it to this host, this path and TLS (RFC 6265bis, 4.1.3.2).
func cookieName(secure bool) string {
	if secure {
		return "__Host-vedette"
	}
	return "vedette"
}

func cookieOf(r *http.Request, secure bool) string {
	cookie, err := r.Cookie(cookieName(secure))
	if err != nil {
		return ""
	}
	return cookie.Value
}

func (s session) cookie(secure bool) *http.Cookie {
	return &http.Cookie{
		Name: cookieName(secure), Value: s.id, Path: "/", MaxAge: int(lastsFor.Seconds()),
		HttpOnly: true, Secure: secure, SameSite: http.SameSiteStrictMode,
	}
}

func noCookie(secure bool) *http.Cookie {
	return &http.Cookie{
		Name: cookieName(secure), Path: "/", MaxAge: -1, HttpOnly: true, Secure: secure, SameSite: http.SameSiteStrictMode,
	}
}
