package web

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"golang.org/x/crypto/bcrypt"

	"vedette/test/logtest"
	"vedette/web/live"
)

const (
	adminPassword  = "a password for the administrator"
	viewerPassword = "a password for looking"
	adminToken     = "0123456789abcdef0123456789abcdef"
	viewerToken    = "fedcba9876543210fedcba9876543210"
)

func documents() Documents {
	return Documents{
		State: func() any {
			return map[string]any{
				"v": 1, "device": "porch", "workers": []any{}, "cameras": map[string]any{}, "outbox": map[string]any{}, "resources": map[string]any{},
				"degraded": []any{},
			}
		},
		Health: func() any {
			return map[string]any{"v": 1, "health": "good", "reasons": []string{}, "broker": map[string]any{"connected": true}}
		},
		Faults:  func() any { return map[string]any{"v": 1, "faults": []any{}} },
		Events:  func() any { return map[string]any{"v": 1, "events": []any{}} },
		Shot:    func(string) []byte { return nil },
		Cameras: func() any { return map[string]any{"v": 1, "cameras": []any{}} },
		Names:   func() []string { return []string{"yard"} },
	}
}

// settings keeps what it is told.
type settings struct {
	mu     sync.Mutex
	camera string
	text   string
	fails  error
}

func (s *settings) Unchangeable() error { return nil }

func (s *settings) SetRegions(_ context.Context, camera string, regions []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.camera, s.text = camera, string(regions)
	return s.fails
}

// secrets writes the files of both roles.
func secrets(t *testing.T) Config {
	t.Helper()
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	hash := func(password string) string {
		text, err := bcrypt.GenerateFromPassword([]byte(password), 10)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	return Config{
		Listen: "127.0.0.1:0",
		Admin:  Credentials{write("admin", hash(adminPassword)), write("admin-token", adminToken)},
		Viewer: Credentials{write("viewer", hash(viewerPassword)), write("viewer-token", viewerToken)},
	}
}

// call sends a request with headers, given as name, value, …
func call(t *testing.T, c *http.Client, method, url, body string, headers ...string) (*http.Response, string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
	}
	response, err := c.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response, string(text)
}

const jsonType = "application/json"

func logIn(t *testing.T, c *http.Client, base, password string) (cookie, csrf string) {
	t.Helper()
	response, text := call(t, c, "POST", base+"/api/v1/session", fmt.Sprintf(`{"password":%q}`, password), "Content-Type", jsonType)
	if response.StatusCode != 200 {
		t.Fatalf("%s: %s", response.Status, text)
	}
	var session sessionDocument
	if err := json.Unmarshal([]byte(text), &session); err != nil {
		t.Fatal(err)
	}
	if len(response.Cookies()) != 1 {
		t.Fatalf("cookies %v", response.Cookies())
	}
	got := response.Cookies()[0]
	if !got.HttpOnly || got.SameSite != http.SameSiteStrictMode || got.Path != "/" {
		t.Errorf("cookie %v", got)
	}
	return got.Name + "=" + got.Value, session.CSRF
}

func TestRoles(t *testing.T) {
	kept := &settings{}
	s := start(t, Options{Config: secrets(t), Settings: kept}, retryEvery)
	c := client(t)
	viewer, viewerCSRF := logIn(t, c, s.base, viewerPassword)
	admin, adminCSRF := logIn(t, c, s.base, adminPassword)
	regions := "/api/v1/cameras/yard/regions"
	for _, c2 := range []struct {
		name, method, path string
		headers            []string
		code               int
	}{
		{"nobody looks", "GET", "/api/v1/state", nil, 401},
		{"nobody reads metrics", "GET", "/metrics", nil, 401},
		{"nobody asks whether it lives", "GET", "/healthz", nil, 200},
		{"nobody sees the page", "GET", "/", nil, 200},
		{"nobody asks who they are", "GET", "/api/v1/session", nil, 200},
		{"a wrong token", "GET", "/api/v1/state", []string{"Authorization", "Bearer " + viewerToken[1:]}, 401},
		{"an empty token", "GET", "/api/v1/state", []string{"Authorization", "Bearer "}, 401},
		{"a viewer's token", "GET", "/api/v1/state", []string{"Authorization", "Bearer " + viewerToken}, 200},
		{"a viewer's token on metrics", "GET", "/metrics", []string{"Authorization", "Bearer " + viewerToken}, 200},
		{"a viewer's token in Basic", "GET", "/api/v1/state", []string{"Authorization", "Basic eDpmZWRjYmE5ODc2NTQzMjEwZmVkY2JhOTg3NjU0MzIxMA=="}, 200},
		{"a viewer's session", "GET", "/api/v1/state", []string{"Cookie", viewer}, 200},
		{"a made-up session", "GET", "/api/v1/state", []string{"Cookie", "vedette=AAAA"}, 401},
		{"a viewer changes", "PUT", regions, []string{"Cookie", viewer, "X-Csrf-Token", viewerCSRF, "Content-Type", jsonType}, 403},
		{"a viewer's token changes", "PUT", regions, []string{"Authorization", "Bearer " + viewerToken, "Content-Type", jsonType}, 403},
		{"an administrator changes", "PUT", regions, []string{"Cookie", admin, "X-Csrf-Token", adminCSRF, "Content-Type", jsonType}, 204},
		{"an administrator's token changes", "PUT", regions, []string{"Authorization", "Bearer " + adminToken, "Content-Type", jsonType}, 204},
		{"an administrator's token in Basic changes", "PUT", regions, []string{"Authorization", "Basic eDowMTIzNDU2Nzg5YWJjZGVmMDEyMzQ1Njc4OWFiY2RlZg==", "Content-Type", jsonType}, 403},
		{"no CSRF token", "PUT", regions, []string{"Cookie", admin, "Content-Type", jsonType}, 403},
		{"another session's CSRF token", "PUT", regions, []string{"Cookie", admin, "X-Csrf-Token", viewerCSRF, "Content-Type", jsonType}, 403},
		{"a foreign origin", "PUT", regions, []string{"Cookie", admin, "X-Csrf-Token", adminCSRF, "Content-Type", jsonType, "Origin", "https://evil.example"}, 403},
		{"a foreign site", "PUT", regions, []string{"Cookie", admin, "X-Csrf-Token", adminCSRF, "Content-Type", jsonType, "Sec-Fetch-Site", "cross-site"}, 403},
		{"the own origin", "PUT", regions, []string{"Cookie", admin, "X-Csrf-Token", adminCSRF, "Content-Type", jsonType, "Origin", s.base}, 204},
		{"a form's type", "PUT", regions, []string{"Cookie", admin, "X-Csrf-Token", adminCSRF, "Content-Type", "text/plain"}, 415},
		{"no such profile", "GET", "/debug/pprof/", []string{"Cookie", admin}, 404},
		{"log out without a CSRF token", "DELETE", "/api/v1/session", []string{"Cookie", admin}, 403},
		{"log out", "DELETE", "/api/v1/session", []string{"Cookie", admin, "X-Csrf-Token", adminCSRF}, 204},
		{"after logging out", "GET", "/api/v1/state", []string{"Cookie", admin}, 401},
	} {
		t.Run(c2.name, func(t *testing.T) {
			response, text := call(t, c, c2.method, s.base+c2.path, `{"masks":[]}`, c2.headers...)
			if response.StatusCode != c2.code {
				t.Errorf("%s, want %d: %s", response.Status, c2.code, text)
			}
		})
	}
	if kept.camera != "yard" || kept.text != `{"masks":[]}` {
		t.Errorf("set %q of %q", kept.text, kept.camera)
	}
}

func TestWrongPasswordsAreFewAndSaid(t *testing.T) {
	s := start(t, Options{Config: secrets(t)}, retryEvery)
	c := client(t)
	try := func(password string) int {
		response, err := c.Post(s.base+"/api/v1/session", jsonType, strings.NewReader(fmt.Sprintf(`{"password":%q}`, password)))
		if err != nil {
			t.Error(err)
			return 0
		}
		defer response.Body.Close()
		if response.StatusCode == 429 && response.Header.Get("Retry-After") == "" {
			t.Error("no Retry-After")
		}
		return response.StatusCode
	}
	const tries = 12
	codes := make(chan int, tries)
	for range tries { // at once: on a busy machine to look at a password takes seconds, and every 20 there is one more try
		go func() { codes <- try("wrong") }()
	}
	seen := map[int]int{}
	for n := 0; n < tries; n++ {
		code := <-codes
		if seen[code]++; code == 429 && seen[code] == 1 { // even the right one waits
			if code := try(adminPassword); code != 429 {
				t.Errorf("the right password gets %d", code)
			}
		}
	}
	if seen[401] != 5 || seen[429] != 7 {
		t.Errorf("%v", seen)
	}
	if n := strings.Count(s.log.String(), "log-in refused"); n != 5 {
		t.Errorf("%d lines in the log:\n%s", n, s.log)
	}
}

func TestLogInNeedsItsOwnPage(t *testing.T) {
	s := start(t, Options{Config: secrets(t)}, retryEvery)
	for _, c := range []struct {
		body string
		code int
		more []string
	}{
		{`{"password":"x"}`, 403, []string{"Content-Type", jsonType, "Origin", "https://evil.example"}},
		{`{"password":"x"}`, 415, []string{"Content-Type", "application/x-www-form-urlencoded"}},
		{`{"password":7}`, 400, []string{"Content-Type", jsonType}},
		{`{}`, 400, []string{"Content-Type", jsonType}},
		{`{"password":"` + strings.Repeat("x", maxPassword) + `"}`, 413, []string{"Content-Type", jsonType}},
	} {
		if response, text := call(t, client(t), "POST", s.base+"/api/v1/session", c.body, c.more...); response.StatusCode != c.code {
			t.Errorf("%.60s %v: %s, want %d: %s", c.body, c.more, response.Status, c.code, text)
		}
	}
}

// On loopback whoever is there views, without a viewer's secret; but a name that leads here from elsewhere is refused, and nothing changes.
func TestLoopback(t *testing.T) {
	s := start(t, Options{}, retryEvery)
	for _, c := range []struct {
		method, path, host string
		code               int
	}{
		{"GET", "/api/v1/state", "localhost:8642", 200},
		{"GET", "/api/v1/state", "127.0.0.1", 200},
		{"GET", "/api/v1/state", "[::1]:80", 200},
		{"GET", "/api/v1/state", "rebound.example", 421},
		{"GET", "/api/v1/session", "rebound.example", 421},
		{"GET", "/api/v1/live?camera=yard", "192.0.2.1", 421},
		{"PUT", "/api/v1/cameras/yard/regions", "localhost", 403},
	} {
		request, err := http.NewRequestWithContext(t.Context(), c.method, s.base+c.path, strings.NewReader("{}"))
		if err != nil {
			t.Fatal(err)
		}
		request.Host = c.host
		request.Header.Set("Content-Type", jsonType)
		response, err := client(t).Do(request)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode != c.code {
			t.Errorf("%s %s of %s: %s, want %d", c.method, c.path, c.host, response.Status, c.code)
		}
	}
}

// Beyond loopback there is TLS with the device's own certificate, which stays the same, and nobody gets in without a secret.
func TestBeyondLoopback(t *testing.T) {
	config := secrets(t)
	config.Listen = "0.0.0.0:0"
	state := t.TempDir()
	s := start(t, Options{Config: config, StateDir: state}, retryEvery)
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, ForceAttemptHTTP2: true} //nolint:gosec // its own certificate
	t.Cleanup(transport.CloseIdleConnections)
	c := &http.Client{Transport: transport, Timeout: patience}
	base := strings.Replace(s.base, "[::]", "127.0.0.1", 1)
	base = strings.Replace(base, "0.0.0.0", "127.0.0.1", 1)
	response, _ := call(t, c, "GET", base+"/api/v1/state", "")
	// Strict-Transport-Security would hold every other port of the host to TLS, for a year, and a new certificate of the device's own
	// could not be accepted any more.
	if response.StatusCode != 401 || response.ProtoMajor != 2 || response.Header.Get("Strict-Transport-Security") != "" {
		t.Errorf("%s %s %v", response.Proto, response.Status, response.Header)
	}
	cookie, _ := logIn(t, c, base, viewerPassword)
	if !strings.HasPrefix(cookie, "__Host-vedette=") {
		t.Errorf("cookie %s", cookie)
	}
	if response, _ := call(t, c, "GET", base+"/api/v1/state", "", "Cookie", cookie); response.StatusCode != 200 {
		t.Error(response.Status)
	}
	if cert := response.TLS.PeerCertificates[0]; cert.VerifyHostname("localhost") != nil {
		t.Errorf("the certificate is for %v", cert.DNSNames)
	}
	before := s.own.Fingerprint()
	again, err := New(Options{Config: config, StateDir: state, Settings: &settings{}, Documents: documents()})
	if err != nil {
		t.Fatal(err)
	}
	if got := again.own.Fingerprint(); got != before {
		t.Errorf("a restart makes another certificate: %s, %s", before, got)
	}
	info, err := os.Stat(filepath.Join(state, "web", "key.pem"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("key: %v %v", info, err)
	}
}

func TestConfigIsRefused(t *testing.T) {
	for name, c := range map[string]struct {
		config Config
		says   string
	}{
		"no address":            {Config{Listen: "8642"}, "not of the form"},
		"open without secret":   {Config{Listen: "0.0.0.0:8642"}, "without a password or a token"},
		"everywhere by default": {Config{Listen: ":8642"}, "without a password or a token"},
		"profiles for all":      {Config{Listen: "0.0.0.0:1", Admin: Credentials{TokenFile: "x"}, Pprof: true}, "profiles"},
		"half a certificate":    {Config{Listen: "127.0.0.1:1", TLS: TLSConfig{CertFile: "x"}}, "go together"},
	} {
		var said []string
		c.config.Validate(func(path, problem string) { said = append(said, path+": "+problem) })
		if len(said) != 1 || !strings.Contains(said[0], c.says) {
			t.Errorf("%s: %q does not say %q", name, said, c.says)
		}
	}
	bad := secrets(t)
	bad.Admin.PasswordFile = bad.Viewer.TokenFile // no hash
	if _, err := New(Options{Config: bad}); err == nil || !strings.Contains(err.Error(), "vedette web password") {
		t.Errorf("%v", err)
	}
}

// TestEveryRouteIsDescribed compares what is served with the OpenAPI document, both ways, and answers with their schemas.
func TestEveryRouteIsDescribed(t *testing.T) {
	compiler := jsonschema.NewCompiler()
	compiler.DefaultDraft(jsonschema.Draft2020)
	whole, err := jsonschema.UnmarshalJSON(bytes.NewReader(openAPI))
	if err != nil {
		t.Fatal(err)
	}
	if err := compiler.AddResource("openapi.json", whole); err != nil {
		t.Fatal(err)
	}
	var doc struct {
		Paths map[string]map[string]struct {
			OperationID string `json:"operationId"`
			Responses   map[string]struct {
				Content map[string]any `json:"content"`
			} `json:"responses"`
		} `json:"paths"`
	}
	if err := json.Unmarshal(openAPI, &doc); err != nil {
		t.Fatal(err)
	}
	described := map[string]bool{}
	s := start(t, Options{}, retryEvery)
	for path, methods := range doc.Paths {
		for method, operation := range methods {
			described[strings.ToUpper(method)+" "+path] = true
			if _, ok := operation.Responses["200"].Content[jsonType]; !ok || method != "get" {
				continue
			}
			schema, err := compiler.Compile(fmt.Sprintf("openapi.json#/paths/%s/get/responses/200/content/application~1json/schema", strings.ReplaceAll(path, "/", "~1")))
			if err != nil {
				t.Fatal(err)
			}
			_, text := ask(t, client(t), "GET", s.base+path)
			got, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
			if err != nil {
				t.Fatal(err)
			}
			if err := schema.Validate(got); err != nil {
				t.Errorf("%s: %v", path, err)
			}
		}
	}
	for _, route := range s.routes() {
		if strings.Contains(route.pattern, "/assets/") || route.pattern == "GET /{$}" {
			continue
		}
		if !described[route.pattern] {
			t.Errorf("openapi.json does not have %s", route.pattern)
		}
		delete(described, route.pattern)
	}
	if len(described) > 0 {
		t.Errorf("nothing serves %v", described)
	}
}

func TestChangesAreToldAtOnce(t *testing.T) {
	s := start(t, Options{}, retryEvery)
	request, err := http.NewRequestWithContext(t.Context(), "GET", s.base+"/api/v1/changes", nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := client(t).Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	lines := bufio.NewScanner(response.Body)
	next := func() (event string) {
		for lines.Scan() && lines.Text() != "" {
			event += lines.Text() + "\n"
		}
		return event
	}
	if got := next(); !strings.Contains(got, "event: state\n") || !strings.Contains(got, `"device":"porch"`) {
		t.Fatalf("first %q", got)
	}
	s.StateChanged()
	if got := next(); !strings.HasPrefix(got, "id: 2\n") {
		t.Fatalf("then %q", got)
	}
}

func TestListenersAreBounded(t *testing.T) {
	s := start(t, Options{}, retryEvery)
	for range maxListeners {
		_, stop := s.changes.listen()
		defer stop()
	}
	if response, text := ask(t, client(t), "GET", s.base+"/api/v1/changes"); response.StatusCode != 503 || !strings.Contains(text, "listen already") {
		t.Errorf("%s: %s", response.Status, text)
	}
}

// Who logs out sees no more, not even by what was asked for before.
func TestStreamsEndWithTheirSession(t *testing.T) {
	s := start(t, Options{Config: secrets(t)}, retryEvery)
	c := client(t)
	cookie, csrf := logIn(t, c, s.base, viewerPassword)
	var streams []*http.Response
	for _, path := range []string{"/api/v1/changes", "/api/v1/cameras/yard/stream.mjpeg", "/api/v1/live?camera=yard"} {
		request, err := http.NewRequestWithContext(t.Context(), "GET", s.base+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Cookie", cookie)
		response, err := c.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		streams = append(streams, response)
	}
	if response, text := call(t, c, "DELETE", s.base+"/api/v1/session", "", "Cookie", cookie, "X-Csrf-Token", csrf); response.StatusCode != 204 {
		t.Fatalf("%s: %s", response.Status, text)
	}
	for _, stream := range streams {
		if _, err := io.Copy(io.Discard, stream.Body); err != nil { // the client's patience ends
			t.Errorf("%s goes on: %v", stream.Request.URL, err)
		}
	}
}

// A handler that panics answers as the API does; half an answer is cut off.
func TestPanicsAreAnswered(t *testing.T) {
	asked := 0
	d := documents()
	d.Faults = func() any { panic("no faults") }
	d.State = func() any {
		if asked++; asked > 1 {
			panic("no state")
		}
		return map[string]any{}
	}
	s := start(t, Options{Documents: d}, retryEvery)
	response, text := ask(t, client(t), "GET", s.base+"/api/v1/faults")
	if response.StatusCode != 500 || response.Header.Get("Content-Type") != jsonType || !strings.Contains(text, `{"error":"this is a mistake in Vedette`) {
		t.Errorf("%s: %s", response.Status, text)
	}
	request, err := http.NewRequestWithContext(t.Context(), "GET", s.base+"/api/v1/changes", nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err = client(t).Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	s.StateChanged()
	if _, err := io.Copy(io.Discard, response.Body); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("half an answer looks whole: %v", err)
	}
	for _, said := range []string{"no faults", "no state"} {
		if !strings.Contains(s.log.String(), said) {
			t.Errorf("%q is not in the log: %s", said, s.log)
		}
	}
}

func TestPageIsSmallAndOnlyItself(t *testing.T) {
	s := start(t, Options{}, retryEvery)
	total := 0
	seen := map[string]bool{}
	todo := []string{"/"}
	reference := regexp.MustCompile(`(?:src|href)="(/[^"#]+)"|from "\./([a-z]+\.js)"`)
	for len(todo) > 0 {
		path := todo[0]
		todo = todo[1:]
		if seen[path] || strings.HasPrefix(path, "/api/") {
			continue
		}
		seen[path] = true
		response, text := ask(t, client(t), "GET", s.base+path)
		if response.StatusCode != 200 {
			t.Errorf("%s: %s", path, response.Status)
		}
		if policy := response.Header.Get("Content-Security-Policy"); !strings.HasPrefix(policy, "default-src 'none'") || strings.Contains(policy, "unsafe") {
			t.Errorf("%s: policy %q", path, policy)
		}
		total += len(text)
		if outside := regexp.MustCompile(`https?://[^"'\s]+`).FindAllString(text, -1); slices.ContainsFunc(outside, func(u string) bool {
			return u != "http://www.w3.org/2000/svg"
		}) {
			t.Errorf("%s names other hosts: %v", path, outside)
		}
		for _, m := range reference.FindAllStringSubmatch(text, -1) {
			if m[1] != "" {
				todo = append(todo, m[1])
			} else {
				todo = append(todo, "/assets/"+m[2])
			}
		}
	}
	if total > 150<<10 || len(seen) < 10 {
		t.Errorf("%d files have %d bytes: %d are allowed", len(seen), total, 150<<10)
	}
	response, _ := ask(t, client(t), "GET", s.base+"/")
	if again, _ := call(t, client(t), "GET", s.base+"/", "", "If-None-Match", response.Header.Get("ETag")); again.StatusCode != http.StatusNotModified {
		t.Error(again.Status)
	}
}

func TestMistakesAreTheCallersAndFaultsAreLogged(t *testing.T) {
	config := secrets(t)
	for _, c := range []struct {
		fails error
		code  int
		logs  bool
	}{
		{Mistake{Err: errors.New("cameras[0].zones: a polygon has 3 corners")}, 422, false},
		{errors.New("no space left on device"), 500, true},
	} {
		s := start(t, Options{Config: config, Settings: &settings{fails: c.fails}}, retryEvery)
		response, text := call(t, client(t), "PUT", s.base+"/api/v1/cameras/yard/regions", "{}", "Authorization", "Bearer "+adminToken, "Content-Type", jsonType)
		if response.StatusCode != c.code || !strings.Contains(text, c.fails.Error()) {
			t.Errorf("%s: %s", response.Status, text)
		}
		if got := strings.Contains(s.log.String(), c.fails.Error()); got != c.logs {
			t.Errorf("logged: %v\n%s", got, s.log)
		}
		s.stop()
	}
}

// FuzzRequests sends paths, headers and bodies: nothing may panic, and an answer of 5xx has its cause in the log or in its text.
func FuzzRequests(f *testing.F) {
	f.Add("GET", "/api/v1/cameras/yard/snapshot.jpg?width=640", "Authorization", "Bearer "+viewerToken, []byte(nil))
	f.Add("PUT", "/api/v1/cameras/yard/regions", "Content-Type", jsonType, []byte(`{"masks":[[[0,0],[1,0],[1,1]]]}`))
	f.Add("POST", "/api/v1/session", "Content-Type", jsonType, []byte(`{"password":"x"}`))
	f.Add("GET", "/api/v1/live?camera=yard&camera=yard&rate=1e9&width=-1", "Cookie", "vedette=x", []byte(nil))
	f.Add("GET", "/api/v1/cameras/%2e%2e%2f/stream.mjpeg?rate=NaN", "Origin", "null", []byte(nil))
	f.Add("GET", "/assets/../openapi.json", "If-None-Match", `"`, []byte(nil))
	f.Add("DELETE", "/api/v1/session", "X-Csrf-Token", "\x00", []byte("{"))
	f.Add("HEAD", "//metrics", "Authorization", "Basic !!!", []byte(nil))
	token := filepath.Join(f.TempDir(), "token")
	if err := os.WriteFile(token, []byte(adminToken), 0o600); err != nil {
		f.Fatal(err)
	}
	lines := &logtest.Log{}
	logger := slog.New(slog.NewTextHandler(lines, nil))
	s, err := New(Options{
		Config: Config{Listen: "127.0.0.1:0", Admin: Credentials{TokenFile: token}}, Metrics: prometheus.NewRegistry(), Ready: func() error { return nil }, Documents: documents(),
		Settings: &settings{}, Live: live.New(logger), Changed: func() {}, Logger: logger,
	})
	if err != nil {
		f.Fatal(err)
	}
	handler := s.handler()
	f.Fuzz(func(t *testing.T, method, target, name, value string, body []byte) {
		request, err := http.ReadRequest(bufio.NewReader(io.MultiReader(
			strings.NewReader(fmt.Sprintf("%s %s HTTP/1.1\r\nHost: localhost\r\n%s: %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n", method, target, name, value, len(body))),
			bytes.NewReader(body))))
		if err != nil {
			t.Skip() // net/http would have refused it
		}
		if request.Header.Get("Authorization") == "" { // or nothing behind the door would be reached
			request.Header.Set("Authorization", "Bearer "+adminToken)
		}
		// What streams, or waits for a camera, ends at once.
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		recorder := httptest.NewRecorder()
		handler.ServeHTTP(recorder, request.WithContext(ctx))
		if recorder.Code >= 500 && recorder.Code != 503 || strings.Contains(lines.String(), "panic=") {
			t.Errorf("%s %q: %d %s\n%s", method, target, recorder.Code, recorder.Body, lines)
		}
	})
}
