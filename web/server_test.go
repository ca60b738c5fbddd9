package web

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"vedette/test/logtest"
	"vedette/web/live"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is far beyond what anything here takes on a quiet machine.
const patience = 2 * time.Minute

// running is a server under test.
type running struct {
	*Server
	log  *logtest.Log
	base string // of its URLs
	stop func()
}

// start runs a server until the test ends or stop is called, and waits for its first outcome.
func start(t *testing.T, o Options, retry time.Duration) running {
	t.Helper()
	r := running{log: &logtest.Log{}}
	if o.Config.Listen == "" {
		o.Config.Listen = "127.0.0.1:0"
	}
	if o.Metrics == nil {
		o.Metrics = prometheus.NewRegistry()
	}
	if o.Ready == nil {
		o.Ready = func() error { return nil }
	}
	changed := make(chan struct{}, 16)
	o.Changed = func() { changed <- struct{}{} }
	o.Logger = slog.New(slog.NewTextHandler(r.log, nil))
	if o.Documents.State == nil {
		o.Documents = documents()
	}
	if o.Settings == nil {
		o.Settings = &settings{}
	}
	if o.Live == nil {
		o.Live = live.New(o.Logger)
	}
	server, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	r.Server = server
	r.retry = retry
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	r.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(r.stop)
	<-changed
	r.base = "http://" + r.Status().Address
	if o.Config.Secure() {
		r.base = "https" + strings.TrimPrefix(r.base, "http")
	}
	return r
}

func client(t *testing.T) *http.Client {
	t.Helper()
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{
		Transport: transport, Timeout: patience,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

func ask(t *testing.T, c *http.Client, method, url string) (*http.Response, string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := c.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response, string(body)
}

func TestRoutes(t *testing.T) {
	registry := prometheus.NewRegistry()
	gauge := prometheus.NewGauge(prometheus.GaugeOpts{Name: "vedette_answer", Help: "The answer."})
	gauge.Set(42)
	registry.MustRegister(gauge)
	s := start(t, Options{
		Metrics: registry,
		Ready:   func() error { return errors.New("camera yard: no cable") },
	}, retryEvery)
	for _, c := range []struct {
		method, path string
		code         int
		body         string // a part of it
	}{
		{"GET", "/metrics", 200, "vedette_answer 42\n"},
		{"GET", "/metrics?name=x", 200, "vedette_answer 42\n"},
		{"HEAD", "/metrics", 200, ""},
		{"GET", "/healthz", 200, "alive\n"},
		{"GET", "/readyz", 503, "not ready: camera yard: no cable\n"},
		{"POST", "/metrics", 405, ""},
		{"DELETE", "/healthz", 405, ""},
		{"OPTIONS", "/readyz", 405, ""},
		{"BREW", "/readyz", 405, ""},
		{"GET", "/", 200, "<title>Vedette</title>"},
		{"GET", "/nothing", 404, ""},
		{"GET", "/metrics/", 404, ""},
		{"GET", "/metricsx", 404, ""},
		{"GET", "/METRICS", 404, ""},
		{"GET", "/debug/pprof/", 404, ""},
		{"GET", "/healthz/../metrics/x", 307, ""},
		{"GET", "/%2e%2e/etc/passwd", 404, ""},
	} {
		t.Run(c.method+" "+c.path, func(t *testing.T) {
			response, body := ask(t, client(t), c.method, s.base+c.path)
			if response.StatusCode != c.code || !strings.Contains(body, c.body) {
				t.Errorf("%s, want %d: %.200q", response.Status, c.code, body)
			}
			if got := response.Header.Get("Server"); got != Name {
				t.Errorf("Server: %q", got)
			}
			if c.code == 405 && response.Header.Get("Allow") != "GET, HEAD" {
				t.Errorf("Allow: %q", response.Header.Get("Allow"))
			}
		})
	}
}

func TestReadyOnceReady(t *testing.T) {
	s := start(t, Options{}, retryEvery)
	if response, body := ask(t, client(t), "GET", s.base+"/readyz"); response.StatusCode != 200 || body != "ready\n" {
		t.Errorf("%s %q", response.Status, body)
	}
}

func TestTakenPortIsToldOnceAndTriedAgain(t *testing.T) {
	other, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := start(t, Options{Config: Config{Listen: other.Addr().String()}}, time.Millisecond)
	if status := s.Status(); status.Address != "" || !strings.Contains(status.LastError, "address already in use") {
		t.Errorf("%+v", status)
	}
	// Some tries later there is still one line.
	for range 20 {
		conn, err := net.Dial("tcp", other.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.Close()
	}
	if err := other.Close(); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(patience); s.Status().Address == ""; {
		if time.Now().After(deadline) {
			t.Fatal("the free port is not taken")
		}
	}
	if response, _ := ask(t, client(t), "GET", "http://"+other.Addr().String()+"/healthz"); response.StatusCode != 200 {
		t.Error(response.Status)
	}
	if n := strings.Count(s.log.String(), "level=WARN"); n != 1 {
		t.Errorf("%d warnings:\n%s", n, s.log)
	}
}

func TestStopsWithRequestsUnderWay(t *testing.T) {
	entered := make(chan struct{})
	s := start(t, Options{Ready: func() error {
		close(entered)
		<-t.Context().Done() // never, as far as the server is concerned
		return nil
	}}, retryEvery)
	conn, err := net.Dial("tcp", s.Status().Address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprint(conn, "GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n")
	<-entered
	began := time.Now()
	s.stop()
	if took := time.Since(began); took > 10*stopWithin {
		t.Errorf("stopping took %v", took)
	}
	if _, err := conn.Read(make([]byte, 1)); err == nil {
		t.Error("the connection goes on")
	}
	if s.Status() != (Status{}) {
		t.Errorf("%+v", s.Status())
	}
}

func TestConnectionsAreBounded(t *testing.T) {
	s := start(t, Options{}, retryEvery)
	var idle []net.Conn
	for range maxConnections {
		conn, err := net.Dial("tcp", s.Status().Address)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		// An answer shows that the server has accepted it.
		fmt.Fprint(conn, "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
		if _, err := http.ReadResponse(bufio.NewReader(conn), nil); err != nil {
			t.Fatal(err)
		}
		idle = append(idle, conn)
	}
	further, err := net.Dial("tcp", s.Status().Address)
	if err != nil {
		t.Fatal(err)
	}
	defer further.Close()
	fmt.Fprint(further, "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
	_ = further.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
	if _, err := further.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("connection %d is served: %v", maxConnections+1, err)
	}
	_ = idle[0].Close()
	_ = further.SetReadDeadline(time.Now().Add(patience))
	if _, err := http.ReadResponse(bufio.NewReader(further), nil); err != nil {
		t.Errorf("it is not served once there is room: %v", err)
	}
}

func TestLargeHeaderIsRefused(t *testing.T) {
	s := start(t, Options{}, retryEvery)
	request, err := http.NewRequestWithContext(t.Context(), "GET", s.base+"/healthz", nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("X-Large", strings.Repeat("x", 2*maxHeader))
	response, err := client(t).Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
		t.Error(response.Status)
	}
}
