package vm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"
)

// monitor is QEMU's own command channel, as docs/interop/qmp-spec of its sources describes it.
type monitor struct {
	conn    net.Conn
	decoder *json.Decoder
}

// What QEMU writes: a greeting, an event, or the answer to a command.
type monitorMessage struct {
	Greeting json.RawMessage `json:"QMP"`
	Event    string          `json:"event"`
	Return   json.RawMessage `json:"return"`
	Error    *struct {
		Description string `json:"desc"`
	} `json:"error"`
}

func openMonitor(ctx context.Context, conn net.Conn) (*monitor, error) {
	m := &monitor{conn: conn, decoder: json.NewDecoder(conn)}
	if _, err := m.execute(ctx, "qmp_capabilities", nil); err != nil {
		return nil, err
	}
	return m, nil
}

// command runs a line of the monitor's own language.
func (m *monitor) command(ctx context.Context, line string) error {
	said, err := m.ask(ctx, line)
	if err == nil && said != "" { // it says nothing when all is well
		err = fmt.Errorf("cannot %s: %s", line, said)
	}
	return err
}

// ask runs a line of the monitor's own language and gives what it answers.
func (m *monitor) ask(ctx context.Context, line string) (string, error) {
	answer, err := m.execute(ctx, "human-monitor-command", map[string]string{"command-line": line})
	if err != nil {
		return "", err
	}
	var said string
	if err := json.Unmarshal(answer, &said); err != nil {
		return "", fmt.Errorf("cannot read QEMU's answer to %q: %w", line, err)
	}
	return strings.TrimSpace(said), nil
}

func (m *monitor) execute(ctx context.Context, name string, arguments any) (json.RawMessage, error) {
	stop := context.AfterFunc(ctx, func() { _ = m.conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	request := map[string]any{"execute": name}
	if arguments != nil {
		request["arguments"] = arguments
	}
	if err := json.NewEncoder(m.conn).Encode(request); err != nil {
		return nil, fmt.Errorf("cannot tell QEMU to %s: %w", name, err)
	}
	for {
		var message monitorMessage
		if err := m.decoder.Decode(&message); err != nil {
			return nil, fmt.Errorf("cannot read QEMU's answer to %s: %w", name, errors.Join(err, ctx.Err()))
		}
		switch {
		case message.Error != nil:
			return nil, fmt.Errorf("cannot have QEMU %s: %s", name, message.Error.Description)
		case message.Return != nil:
			return message.Return, nil
		}
	}
}
