package main

import (
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"vedette/mqtt/payload"
	"vedette/test/logtest"
)

// shop is an HTTPS server of files. Each file's first connection is cut in the middle.
type shop struct {
	*httptest.Server
	mu     sync.Mutex
	ranges map[string][]string // what was asked for, by file
}

func newShop(t *testing.T, folder string) *shop {
	s := &shop{ranges: map[string][]string{}}
	s.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name := filepath.Base(r.URL.Path)
		s.mu.Lock()
		s.ranges[name] = append(s.ranges[name], r.Header.Get("Range"))
		first := len(s.ranges[name]) == 1
		s.mu.Unlock()
		content, err := os.ReadFile(filepath.Join(folder, name))
		if err != nil {
			http.NotFound(w, r)
			return
		}
		if first {
			w.Header().Set("Content-Length", fmt.Sprint(len(content)))
			_, _ = w.Write(content[:len(content)/2])
			panic(http.ErrAbortHandler)
		}
		http.ServeFile(w, r, filepath.Join(folder, name))
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *shop) asked(name string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.ranges[name])
}

// A fleet's operator names a bundle by URL and hash; each device fetches it, through a connection that breaks, and runs it. What is not
// signed by a trusted key, or is not what the command says, changes nothing.
func TestAModelIsSwitchedToByCommand(t *testing.T) {
	w := newWorkshop(t)
	server := newShop(t, w.dir)
	certificate := filepath.Join(t.TempDir(), "ca.pem")
	write(t, certificate, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}))
	t.Setenv("SSL_CERT_FILE", certificate)

	configured := w.model(t, 64)
	port := mosquitto(t)
	s := &service{log: &logtest.Log{}, lines: listen(t, port), stateDir: t.TempDir(), more: []string{"--keys", w.keys}}
	s.config = configFile(t, fmt.Sprintf("device: test\nstate_dir: %s\nmqtt: {brokers: ['tcp://127.0.0.1:%s'], commands: [model]}\nweb: {listen: ''}\n"+
		"infer: {model: %s}\ncameras:\n%s", s.stateDir, port, configured, yard))
	s.start(t)
	defer s.stop(t)
	runs := func(path string) {
		t.Helper()
		sum := fileSum(t, path)
		s.await(t, "state", func(text string) bool {
			return strings.Contains(text, sum) && strings.Contains(text, `"state":"ready"`)
		})
	}
	runs(configured)
	n := 0
	model := func(url, hash, more string) payload.Result {
		t.Helper()
		n++
		id := fmt.Sprint("m", n)
		s.say(t, "vedette/test/command/model", fmt.Sprintf(`{"id":%q,"args":{"url":%q,"sha256":%q}%s}`, id, url, hash, more))
		var result payload.Result
		s.await(t, "command/model/result", func(text string) bool {
			if err := json.Unmarshal([]byte(text), &result); err != nil {
				t.Error(err)
			}
			return result.ID == id
		})
		return result
	}
	two := w.pack(t, 2, w.model(t, 96), "--picture", w.picture)
	url := server.URL + "/" + filepath.Base(two)
	if got := model(url, fileSum(t, two), ""); !got.OK {
		t.Fatalf("%+v\n%s", got, s.log)
	}
	runs(filepath.Join(w.dir, "tiny96.onnx"))
	asked := server.asked(filepath.Base(two))
	if len(asked) != 2 || asked[0] != "" || !strings.HasPrefix(asked[1], "bytes=") || asked[1] == "bytes=0-" {
		t.Errorf("asked for %q: it does not go on where the connection broke", asked)
	}

	// The same again is answered as it was; another id finds it in use.
	s.say(t, "vedette/test/command/model", fmt.Sprintf(`{"id":"m1","args":{"url":%q,"sha256":%q}}`, url, fileSum(t, two)))
	s.await(t, "command/model/result", func(text string) bool { return strings.Contains(text, `"id":"m1","ok":true`) })
	if now := server.asked(filepath.Base(two)); len(now) != len(asked) {
		t.Errorf("a command that was seen before is obeyed again: asked for %q", now)
	}
	generation := s.state(t).Worker.Generation
	if got := model(url, fileSum(t, two), ""); !got.OK || s.state(t).Worker.Generation != generation {
		t.Errorf("what is in use already: %+v", got)
	}

	before := s.stored(t)
	stranger := newWorkshop(t)
	foreign := stranger.pack(t, 9, stranger.model(t, 128))
	put := func(name, path string) string {
		t.Helper()
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(w.dir, name), content)
		return server.URL + "/" + name
	}
	older := w.pack(t, 1, configured)
	for _, c := range []struct{ name, url, hash, more, want string }{
		{"another file's hash", url, strings.Repeat("0", 64), "", "its SHA-256 is"},
		{"not signed by a key of ours", put("foreign.bundle", foreign), fileSum(t, foreign), "", "signed with a key that is not known here"},
		{"not signed at all", put("plain.onnx", configured), fileSum(t, configured), "", "no tar archive"},
		{"older than what was there", server.URL + "/" + filepath.Base(older), fileSum(t, older), "", "version 2 was here already"},
		{"not there", server.URL + "/none.bundle", strings.Repeat("0", 64), "", "404"},
		{"expired", url, fileSum(t, two), `,"expires_at":"2001-01-01T00:00:00Z"`, "expired"},
		{"by plain HTTP", "http" + strings.TrimPrefix(url, "https"), fileSum(t, two), "", "no https URL"},
	} {
		if got := model(c.url, c.hash, c.more); got.OK || !strings.Contains(got.Error, c.want) {
			t.Errorf("%s: %+v, want %q", c.name, got, c.want)
		}
	}
	if after := s.stored(t); !slices.Equal(after, before) {
		t.Errorf("what was refused has changed the disk:\n%q\n%q", before, after)
	}
	if state := s.state(t); state.Worker.Generation != generation {
		t.Errorf("what was refused has restarted the worker: %+v", state.Worker)
	}
}

// stored is what lies in the folder of models, and the overrides.
func (s *service) stored(t *testing.T) (all []string) {
	t.Helper()
	for _, root := range []string{"models", "overrides.yaml"} {
		err := fs.WalkDir(os.DirFS(s.stateDir), root, func(path string, entry fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			info, err := entry.Info()
			if err == nil && !entry.IsDir() && entry.Name() != "trial.json" { // which ends meanwhile
				all = append(all, fmt.Sprintf("%s %d %s", path, info.Size(), info.ModTime().Format(time.RFC3339Nano)))
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return all
}
