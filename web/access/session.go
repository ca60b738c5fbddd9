package access

import (
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
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.all) >= maxSessions {
		oldest := made
		for _, other := range s.all {
			if other.used.Before(oldest.used) || oldest == made {
				oldest = other
			}
		}
		delete(s.all, oldest.id)
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
	if now.Sub(found.used) > idleFor || now.Sub(found.opened) > lastsFor {
		delete(s.all, id)
		return session{}, false
	}
	found.used = now
	return *found, true
}

func (s *sessions) end(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.all, id)
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
