package control

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"vedette/mqtt/payload"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// service answers what the test wants.
type service struct{ reload error }

func (service) State() payload.State           { return payload.State{V: 1, Device: "d1"} }
func (service) Health() payload.Health         { return payload.Health{V: 1, Health: payload.HealthGood} }
func (s service) Reload(context.Context) error { return s.reload }
func (s service) UseModel(_ context.Context, name string, version uint64) error {
	return fmt.Errorf("used %s version %d", name, version)
}

func (s service) RollbackModel(_ context.Context, name string) error {
	return fmt.Errorf("rolled back %s", name)
}

func serve(t *testing.T, s Service) (*Client, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "run", "control.sock")
	listener, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- Serve(ctx, listener, s, time.Minute, slog.New(slog.DiscardHandler)) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the socket is left: %v", err)
		}
	})
	return Dial(path), path
}

func TestTheCommandLineTalksToTheService(t *testing.T) {
	refusal := errors.New(`yard.yaml:3:7: unknown key "sise"`)
	client, path := serve(t, service{refusal})
	state, err := client.State(t.Context())
	if err != nil || state.Device != "d1" {
		t.Errorf("state %+v, %v", state, err)
	}
	health, err := client.Health(t.Context())
	if err != nil || health.Health != payload.HealthGood {
		t.Errorf("health %+v, %v", health, err)
	}
	if err := client.Reload(t.Context()); err == nil || err.Error() != refusal.Error() {
		t.Errorf("reload: %v", err)
	}
	if err := client.UseModel(t.Context(), "yard", 7); err == nil || err.Error() != "used yard version 7" {
		t.Errorf("use of a model: %v", err)
	}
	if err := client.RollbackModel(t.Context(), "yard"); err == nil || err.Error() != "rolled back yard" {
		t.Errorf("rollback of a model: %v", err)
	}
	if err := client.do(t.Context(), "DELETE", "/v1/state", nil); err == nil || !strings.Contains(err.Error(), "DELETE /v1/state") {
		t.Errorf("an unknown request: %v", err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o660 {
		t.Errorf("the socket's mode is %v, %v", info.Mode(), err)
	}
	if _, err := Listen(path); err == nil || !strings.Contains(err.Error(), "another service") {
		t.Errorf("a second service: %v", err)
	}
}

func TestADeadServicesSocketIsReplaced(t *testing.T) {
	path := filepath.Join(t.TempDir(), "control.sock")
	dead, err := net.ListenUnix("unix", &net.UnixAddr{Name: path})
	if err != nil {
		t.Fatal(err)
	}
	dead.SetUnlinkOnClose(false)
	_ = dead.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if _, err := Dial(path).Health(ctx); err == nil || !strings.Contains(err.Error(), "does not run") {
		t.Errorf("a dead service: %v", err)
	}
	listener, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	_ = listener.Close()
	if _, err := Dial(path).Health(ctx); err == nil || !strings.Contains(err.Error(), "does not run") {
		t.Errorf("no service: %v", err)
	}
}

func TestWhereTheSocketIs(t *testing.T) {
	for _, c := range []struct{ env, runtime, want string }{
		{"", "", "/run/vedette/control.sock"},
		{"", "/run/v2", "/run/v2/control.sock"},
		{"/tmp/x.sock", "/run/v2", "/tmp/x.sock"},
	} {
		env := map[string]string{Env: c.env, "RUNTIME_DIRECTORY": c.runtime}
		if got := Path(func(name string) string { return env[name] }); got != c.want {
			t.Errorf("with %v: %s, want %s", env, got, c.want)
		}
	}
}
