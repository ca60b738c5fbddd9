package control

import (
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

func (c *Client) do(ctx context.Context, method, path string, into any) error {
	request, err := http.NewRequestWithContext(ctx, method, "http://vedette"+path, http.NoBody)
	if err != nil {
		return fmt.Errorf("cannot ask the service: %w", err)
	}
	response, err := c.http.Do(request)
	switch {
	case errors.Is(err, os.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("the service does not run: nothing answers at %s", c.path)
	case errors.Is(err, os.ErrPermission):
		return fmt.Errorf("cannot ask the service: %s is for root and the group vedette: use sudo, or join the group", c.path)
	case err != nil:
		return fmt.Errorf("cannot ask the service: %w", err)
	}
	defer response.Body.Close()
	body := json.NewDecoder(io.LimitReader(response.Body, maxAnswer))
	if response.StatusCode != http.StatusOK {
		var problem Problem
		if err := body.Decode(&problem); err != nil {
			return fmt.Errorf("the service answers %s", response.Status)
		}
		return errors.New(problem.Error)
	}
	if into == nil {
		return nil
	}
	if err := body.Decode(into); err != nil {
		return fmt.Errorf("cannot read the service's answer: %w", err)
	}
	return nil
}
