package control

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"syscall"

	"vedette/mqtt/payload"
)

// Client talks to the running service.
type Client struct {
	path string
	http http.Client
}

// Dial names the socket; nothing happens before the first request.
func Dial(path string) *Client {
	dialer := net.Dialer{}
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) { return dialer.DialContext(ctx, "unix", path) }
	return &Client{path: path, http: http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}}}
}

// maxAnswer is more than any state document has.
const maxAnswer = 4 << 20

// State is the running service's state document.
func (c *Client) State(ctx context.Context) (state payload.State, err error) {
	return state, c.do(ctx, http.MethodGet, "/v1/state", &state)
}

// Health is what the running service says of itself.
func (c *Client) Health(ctx context.Context) (health payload.Health, err error) {
	return health, c.do(ctx, http.MethodGet, "/v1/health", &health)
}

// Reload makes the service read its configuration anew, and waits until it has.
func (c *Client) Reload(ctx context.Context) error {
	return c.do(ctx, http.MethodPost, "/v1/reload", nil)
}

// UseModel has the service switch to an installed version of a model, 0 for the highest, and waits until it has.
func (c *Client) UseModel(ctx context.Context, name string, version uint64) error {
	return c.send(ctx, "/v1/model/use", ModelChoice{name, version})
}

// RollbackModel has the service go back to the version before.
func (c *Client) RollbackModel(ctx context.Context, name string) error {
	return c.send(ctx, "/v1/model/rollback", ModelChoice{Name: name})
}

func (c *Client) send(ctx context.Context, path string, body any) error {
	text, err := json.Marshal(body)
	if err != nil {
		return fmt.Errorf("cannot ask the service: %w", err)
	}
	return c.request(ctx, http.MethodPost, path, bytes.NewReader(text), nil)
}

func (c *Client) do(ctx context.Context, method, path string, into any) error {
	return c.request(ctx, method, path, http.NoBody, into)
}

// ErrNotRunning says that no service answers.
var ErrNotRunning = errors.New("the service does not run")

func (c *Client) request(ctx context.Context, method, path string, body io.Reader, into any) error {
	request, err := http.NewRequestWithContext(ctx, method, "http://vedette"+path, body)
	if err != nil {
		return fmt.Errorf("cannot ask the service: %w", err)
	}
	response, err := c.http.Do(request)
	switch {
	case errors.Is(err, os.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("%w: nothing answers at %s", ErrNotRunning, c.path)
	case errors.Is(err, os.ErrPermission):
		return fmt.Errorf("cannot ask the service: %s is for root and the group vedette: use sudo, or join the group", c.path)
	case err != nil:
		return fmt.Errorf("cannot ask the service: %w", err)
	}
	defer response.Body.Close()
	answer := json.NewDecoder(io.LimitReader(response.Body, maxAnswer))
	if response.StatusCode != http.StatusOK {
		var problem Problem
		if err := answer.Decode(&problem); err != nil {
			return fmt.Errorf("the service answers %s", response.Status)
		}
		return errors.New(problem.Error)
	}
	if into == nil {
		return nil
	}
	if err := answer.Decode(into); err != nil {
		return fmt.Errorf("cannot read the service's answer: %w", err)
	}
	return nil
}
