package download

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

func sum(content []byte) string {
	s := sha256.Sum256(content)
	return hex.EncodeToString(s[:])
}

func TestFetch(t *testing.T) {
	content := bytes.Repeat([]byte("0123456789"), 10_000)
	ranged := func(w http.ResponseWriter, r *http.Request) {
		http.ServeContent(w, r, "m", time.Time{}, bytes.NewReader(content))
	}
	for _, c := range []struct {
		name    string
		serve   http.HandlerFunc
		part    []byte // left by an earlier try
		sha256  string
		most    int64
		want    string // in the error; "": it is fetched
		removed bool   // whether nothing of it is to be left
	}{
		{name: "whole", serve: ranged, sha256: sum(content), most: 1 << 20},
		{name: "signed by its content", serve: ranged, most: 1 << 20},
		{name: "goes on", serve: ranged, part: content[:55_555], sha256: sum(content), most: 1 << 20},
		{name: "was all there", serve: ranged, part: content, sha256: sum(content), most: 1 << 20},
		{name: "no ranges", serve: func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(content) }, part: content[:10], sha256: sum(content), most: 1 << 20},
		{name: "the part is of another file", serve: ranged, part: []byte("another"), sha256: sum(content), most: 1 << 20, want: "SHA-256", removed: true},
		{name: "another hash", serve: ranged, sha256: sum(nil), most: 1 << 20, want: "it was not kept", removed: true},
		{name: "too long, said", serve: ranged, most: 99_999, want: "100000 bytes, and 99999 may be", removed: true},
		{
			name: "too long, not said", most: 99_999, want: "more than the 99999", removed: true,
			serve: func(w http.ResponseWriter, _ *http.Request) { w.(http.Flusher).Flush(); _, _ = w.Write(content) },
		},
		{name: "not there", serve: http.NotFound, most: 1 << 20, want: "404"},
		{
			name: "cut", most: 1 << 20, want: "goes on from there",
			serve: func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Length", "100000")
				_, _ = w.Write(content[:50_000])
			},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			server := httptest.NewTLSServer(c.serve)
			defer server.Close()
			path := filepath.Join(t.TempDir(), "m.bundle")
			if c.part != nil {
				if err := os.WriteFile(path+".part", c.part, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			var last int64
			err := Fetch(t.Context(), Request{
				URL: server.URL + "/m", SHA256: c.sha256, Most: c.most, Path: path, Client: server.Client(),
				Progress: func(got, _ int64) { last = got },
			})
			if c.want == "" {
				got, readErr := os.ReadFile(path)
				if err != nil || readErr != nil || !bytes.Equal(got, content) {
					t.Errorf("%d bytes, %v, %v", len(got), err, readErr)
				}
				if c.part == nil && last != int64(len(content)) {
					t.Errorf("the progress ends at %d", last)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want %q", err, c.want)
			}
			if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("what is not whole is there: %v", err)
			}
			if _, err := os.Stat(path + ".part"); c.removed && !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("what is wrong is kept: %v", err)
			}
		})
	}
}

func TestHTTPSOnly(t *testing.T) {
	for _, text := range []string{"http://models.lan/m", "file:///etc/passwd", "models.lan/m", "", "https:///m", "ftp://x/m"} {
		if err := Fetch(t.Context(), Request{URL: text, Most: 1, Path: filepath.Join(t.TempDir(), "m")}); err == nil ||
			!strings.Contains(err.Error(), "https") {
			t.Errorf("%q: %v", text, err)
		}
	}
	if err := httpsOnly(httptest.NewRequest(http.MethodGet, "http://models.lan/m", nil), nil); err == nil {
		t.Error("a redirection to http is followed")
	}
}

func TestALinkIsNotWrittenThrough(t *testing.T) {
	content := []byte("a model")
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(content) }))
	defer server.Close()
	victim, path := filepath.Join(t.TempDir(), "victim"), filepath.Join(t.TempDir(), "m")
	if err := errors.Join(os.WriteFile(victim, nil, 0o600), os.Symlink(victim, path+".part")); err != nil {
		t.Fatal(err)
	}
	if err := Fetch(t.Context(), Request{URL: server.URL, Most: 1 << 20, Path: path, Client: server.Client()}); err == nil {
		t.Error("a link is written through")
	}
	if got, err := os.ReadFile(victim); err != nil || len(got) > 0 {
		t.Errorf("what the link leads to has %q, %v", got, err)
	}
}

func TestABrokenConnectionIsGoneOnWith(t *testing.T) {
	content := bytes.Repeat([]byte("0123456789"), 10_000)
	var mu sync.Mutex
	var asked []string
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		asked = append(asked, r.Header.Get("Range"))
		try := len(asked)
		mu.Unlock()
		switch try {
		case 1: // half of it, and the connection is gone
			w.Header().Set("Content-Length", "100000")
			_, _ = w.Write(content[:50_000])
			panic(http.ErrAbortHandler)
		case 2:
			w.WriteHeader(http.StatusBadGateway)
		default:
			http.ServeContent(w, r, "m", time.Time{}, bytes.NewReader(content))
		}
	}))
	defer server.Close()
	path := filepath.Join(t.TempDir(), "m")
	request := Request{URL: server.URL, SHA256: sum(content), Most: 1 << 20, Path: path, Client: server.Client(), Tries: 3}
	if err := Fetch(t.Context(), request); err != nil {
		t.Fatal(err)
	}
	mu.Lock()
	defer mu.Unlock()
	if len(asked) != 3 || asked[0] != "" || asked[2] == "" || asked[2] == "bytes=0-" {
		t.Errorf("asked for %q", asked)
	}
	if err := Fetch(t.Context(), Request{URL: server.URL, Most: 1, Path: path + "2", Tries: 3}); err == nil || len(asked) != 3 {
		t.Errorf("a certificate that nobody knows: %v, asked %d times", err, len(asked))
	}
}
