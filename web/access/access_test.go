package access

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"
)

func TestSessionsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSessions()
		idle, used := s.open(Viewer), s.open(Admin)
		for range 23 {
			time.Sleep(time.Hour)
			if _, ok := s.find(used.id); !ok {
				t.Fatal("a session that is in use has ended early")
			}
		}
		if _, ok := s.find(idle.id); ok {
			t.Error("a session that nobody uses goes on")
		}
		time.Sleep(time.Hour + time.Second)
		if _, ok := s.find(used.id); ok {
			t.Error("a session lasts longer than a day")
		}
	})
}

// A request that lasts keeps its session in use, and ends with it.
func TestWhatLastsEndsWithItsSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := New(Options{})
		enter := func(s session) (*http.Request, func()) {
			t.Helper()
			r := httptest.NewRequest(http.MethodGet, "/", nil)
			r.AddCookie(s.cookie(false))
			entered, leave, err := g.Enter(r, Viewer)
			if err != nil {
				t.Fatal(err)
			}
			return entered, leave
		}
		long, loggedOut := g.sessions.open(Viewer), g.sessions.open(Viewer)
		watches, leave := enter(long)
		defer leave()
		other, leaveOther := enter(loggedOut)
		defer leaveOther()
		time.Sleep(3 * idleFor)
		if _, ok := g.sessions.find(long.id); !ok || watches.Context().Err() != nil {
			t.Error("somebody who watches is logged out")
		}
		g.sessions.end(loggedOut.id)
		synctest.Wait()
		if other.Context().Err() == nil || watches.Context().Err() != nil {
			t.Error("who has logged out watches on, or another does not")
		}
		time.Sleep(lastsFor - 3*idleFor + time.Second)
		if watches.Context().Err() == nil {
			t.Error("a stream lasts longer than its session")
		}
	})
}

func TestSessionsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSessions()
		first := s.open(Viewer)
		var second session
		for i := range maxSessions {
			time.Sleep(time.Second)
			made := s.open(Viewer)
			if i == 0 {
				second = made
			}
		}
		if _, ok := s.find(first.id); ok || len(s.all) != maxSessions {
			t.Errorf("%d sessions, the oldest there: %v", len(s.all), ok)
		}
		if _, ok := s.find(second.id); !ok {
			t.Error("one more than the oldest made room")
		}
	})
}

func TestTriesComeBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter()
		for range burst {
			if wait := l.take("a"); wait != 0 {
				t.Fatalf("must wait %v", wait)
			}
		}
		wait := l.take("a")
		if wait <= 0 || wait > every {
			t.Errorf("waits %v", wait)
		}
		if other := l.take("b"); other != 0 {
			t.Errorf("another waits %v", other)
		}
		time.Sleep(wait)
		if again := l.take("a"); again != 0 {
			t.Errorf("after that it waits %v", again)
		}
	})
}

// Who knows one password and logs in with it between guesses at the other gets no more guesses by that.
func TestKnowingAPasswordGivesBackOneTry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter()
		guesses := 0
		for l.take("a") == 0 {
			guesses++
			if l.take("a") == 0 {
				l.forgive("a")
			}
			if guesses > burst {
				t.Fatal("there is no end to guesses")
			}
		}
		if guesses != burst {
			t.Errorf("%d guesses", guesses)
		}
	})
}

// Many addresses together are held up as well, and do not make the table grow.
func TestManyAddressesAreOneAttack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter()
		let := 0
		for i := range 1000 {
			if l.take(string(rune(0x4e00+i))) == 0 {
				let++
			}
		}
		if let != burstAll || len(l.remotes) > maxRemotes {
			t.Errorf("%d let through, %d remembered", let, len(l.remotes))
		}
	})
}

func TestRemoteIsAnAddressOrANetwork(t *testing.T) {
	for addr, want := range map[string]string{
		"192.0.2.7:1234":                 "192.0.2.7",
		"[::ffff:192.0.2.7]:1":           "192.0.2.7",
		"[2001:db8:1:2:3:4:5:6]:443":     "2001:db8:1:2::/64",
		"[2001:db8:1:2:ffff::1%eth0]:80": "2001:db8:1:2::/64",
		"@":                              "@",
	} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.RemoteAddr = addr
		if got := remote(r); got != want {
			t.Errorf("%s: %s, want %s", addr, got, want)
		}
	}
}

func TestSecretsAreRefused(t *testing.T) {
	write := func(text string) string {
		path := filepath.Join(t.TempDir(), "secret")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	cheap := "$2a$04$ZyPwJHpjVYsP7z1zXqXQGOw3YSY4/a7Xb0b3b0aF8o6cE5vC3y7aq"
	for name, c := range map[string]struct{ password, token, says string }{
		"plain text":       {write("secret\n"), "", "vedette web password"},
		"a cheap hash":     {write(cheap), "", "cost 4"},
		"several lines":    {write(cheap + "\nmore"), "", "several lines"},
		"a large file":     {write(strings.Repeat("x", maxFile+1)), "", "more than"},
		"no file":          {filepath.Join(t.TempDir(), "none"), "", "no such file"},
		"a short token":    {"", write("short"), "5 characters"},
		"no file of token": {"", filepath.Join(t.TempDir(), "none"), "no such file"},
	} {
		if _, err := ReadSecrets(c.password, c.token); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v does not say %q", name, err, c.says)
		}
	}
	hash, err := HashPassword("correct horse")
	if err != nil {
		t.Fatal(err)
	}
	s, err := ReadSecrets(write(hash+"\n"), "")
	if err != nil || !s.opens("correct horse") || s.opens("correct horse ") || s.opens("") {
		t.Errorf("%v", err)
	}
	for _, bad := range []string{"short", strings.Repeat("x", 73)} {
		if _, err := HashPassword(bad); err == nil {
			t.Errorf("a password of %d bytes is taken", len(bad))
		}
	}
}

// A certificate that is renewed is used without a restart, and half a renewal does no harm, but is told: once.
func TestCertificateIsRenewed(t *testing.T) {
	dir, other := t.TempDir(), t.TempDir()
	c, err := OwnCertificate(dir, []string{"localhost"})
	if err != nil {
		t.Fatal(err)
	}
	next, err := OwnCertificate(other, []string{"localhost"})
	if err != nil {
		t.Fatal(err)
	}
	var told []string
	c.Tell(func(err error) { told = append(told, fmt.Sprint(err)) })
	first := c.Fingerprint()
	if err := os.Remove(filepath.Join(dir, "cert.pem")); err != nil {
		t.Fatal(err)
	}
	look := func() string {
		c.looked = time.Time{}
		if got, err := c.Get(nil); err != nil || got == nil {
			t.Fatalf("%v %v", got, err)
		}
		return c.Fingerprint()
	}
	for range 3 {
		if look() != first {
			t.Error("half a renewal changes the certificate")
		}
	}
	if len(told) != 1 || !strings.Contains(told[0], "no such file") {
		t.Errorf("told %q", told)
	}
	for _, name := range []string{"key.pem", "cert.pem"} {
		if err := os.Rename(filepath.Join(other, name), filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		if got := look(); got == first || got != next.Fingerprint() {
			t.Errorf("the renewed one is not used: %s", got)
		}
	}
	if len(told) != 2 || told[1] != "<nil>" {
		t.Errorf("told %q", told)
	}
}

// A disk that does not answer holds up the connection that looks at the files, and no other.
func TestConnectionsDoNotWaitForTheFiles(t *testing.T) {
	dir := t.TempDir()
	c, err := OwnCertificate(dir, []string{"localhost"})
	if err != nil {
		t.Fatal(err)
	}
	cert := filepath.Join(dir, "cert.pem")
	if err := errors.Join(os.Remove(cert), unix.Mkfifo(cert, 0o600)); err != nil { // whose reader waits for a writer
		t.Fatal(err)
	}
	c.looked = time.Time{}
	looked := make(chan error, 1)
	c.Tell(func(err error) { looked <- err })
	var all sync.WaitGroup
	all.Go(func() { _, _ = c.Get(nil) })
	writer, err := os.OpenFile(cert, os.O_WRONLY, 0) // waits for the reader
	if err != nil {
		t.Fatal(err)
	}
	if got, err := c.Get(nil); got == nil || err != nil {
		t.Errorf("%v %v", got, err)
	}
	select {
	case err := <-looked:
		t.Errorf("the files were read: %v", err)
	default:
	}
	writer.Close()
	all.Wait()
	if err := <-looked; err == nil {
		t.Error("nothing is wrong with an empty file")
	}
}
