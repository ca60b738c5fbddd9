package notify

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"golang.org/x/sys/unix"
)

// manager is systemd's end of the socket.
type manager struct {
	*net.UnixConn
	address string
}

func listen(t *testing.T, address string) manager {
	t.Helper()
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: address, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return manager{conn, address}
}

func newManager(t *testing.T) manager {
	t.Helper()
	return listen(t, filepath.Join(t.TempDir(), "notify"))
}

func (m manager) message(t *testing.T) string {
	t.Helper()
	buffer := make([]byte, 8192)
	if err := m.SetReadDeadline(time.Now().Add(2 * time.Minute)); err != nil {
		t.Fatal(err)
	}
	n, err := m.Read(buffer)
	if err != nil {
		t.Fatal(err)
	}
	return string(buffer[:n])
}

// take makes a Notifier of an environment, and gives what is left of that.
func take(t *testing.T, environment map[string]string) (*Notifier, error) {
	t.Helper()
	return Take(
		func(name string) (string, bool) { value, ok := environment[name]; return value, ok },
		func(name string) error { delete(environment, name); return nil })
}

func (m manager) notifier(t *testing.T) *Notifier {
	t.Helper()
	n, err := take(t, map[string]string{"NOTIFY_SOCKET": m.address})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestEachMessageIsAsDocumented(t *testing.T) {
	m := newManager(t)
	n := m.notifier(t)
	for _, c := range []struct {
		say  func() error
		want string
	}{
		{func() error { return n.Ready("2 cameras") }, "READY=1\nSTATUS=2 cameras"},
		{func() error { return n.Status("camera yard lost") }, "STATUS=camera yard lost"},
		{func() error { return n.Status("") }, "STATUS="},
		{func() error { return n.Status("a\nREADY=1\r\n\x00b\x1b[0m\tc") }, "STATUS=a READY=1 b [0m c"},
		{func() error { return n.Status("caf\xe9 h\u00e4user") }, "STATUS=caf h\u00e4user"},
		{func() error { return n.Extend(15 * time.Second) }, "EXTEND_TIMEOUT_USEC=15000000"},
		{func() error { return n.Stopping("SIGTERM") }, "STOPPING=1\nSTATUS=SIGTERM"},
		{n.Ping, "WATCHDOG=1"},
	} {
		if err := c.say(); err != nil {
			t.Fatal(err)
		}
		if got := m.message(t); got != c.want {
			t.Errorf("sent %q, want %q", got, c.want)
		}
	}
}

func TestReloadingCarriesTheMonotonicClock(t *testing.T) {
	m := newManager(t)
	clock := func() int64 {
		var now unix.Timespec
		if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
			t.Fatal(err)
		}
		return now.Nano() / 1000
	}
	before := clock()
	if err := m.notifier(t).Reloading(); err != nil {
		t.Fatal(err)
	}
	after := clock()
	text, ok := strings.CutPrefix(m.message(t), "RELOADING=1\nMONOTONIC_USEC=")
	if at, err := strconv.ParseInt(text, 10, 64); !ok || err != nil || at < before || at > after {
		t.Errorf("time %q, between %d and %d is wanted", text, before, after)
	}
}

// systemd-notify is systemd's own speaker of the protocol.
func TestSameMessagesAsSystemdNotify(t *testing.T) {
	program, err := exec.LookPath("systemd-notify")
	if err != nil {
		t.Skip("systemd-notify is not installed (package systemd): nothing to compare with")
	}
	m := newManager(t)
	n := m.notifier(t)
	for _, c := range []struct {
		args []string
		say  func() error
	}{
		{[]string{"--ready", "--status=2 cameras"}, func() error { return n.Ready("2 cameras") }},
		{[]string{"--status=camera yard lost"}, func() error { return n.Status("camera yard lost") }},
		{[]string{"WATCHDOG=1"}, n.Ping},
		{[]string{"EXTEND_TIMEOUT_USEC=15000000"}, func() error { return n.Extend(15 * time.Second) }},
	} {
		cmd := exec.Command(program, append([]string{"--no-block"}, c.args...)...)
		cmd.Env = []string{"NOTIFY_SOCKET=" + m.address}
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		if err := c.say(); err != nil {
			t.Fatal(err)
		}
		theirs, ours := assignments(m.message(t)), assignments(m.message(t))
		if !slices.Equal(theirs, ours) {
			t.Errorf("systemd-notify %v says %q, we say %q", c.args, theirs, ours)
		}
	}
}

// assignments are a message's, in any order; a line break at the end is implied.
func assignments(message string) []string {
	lines := strings.Split(strings.TrimSuffix(message, "\n"), "\n")
	slices.Sort(lines)
	return lines
}

func TestAbstractAddress(t *testing.T) {
	m := listen(t, fmt.Sprintf("@vedette-notify-test-%d", os.Getpid()))
	if err := m.notifier(t).Ping(); err != nil {
		t.Fatal(err)
	}
	if got := m.message(t); got != "WATCHDOG=1" {
		t.Errorf("sent %q", got)
	}
}

func TestNobodyListens(t *testing.T) {
	empty, err := take(t, map[string]string{"WATCHDOG_USEC": "1000000"})
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []*Notifier{nil, empty} {
		err := errors.Join(n.Ready(""), n.Status("x"), n.Extend(1), n.Reloading(), n.Stopping(""), n.Ping())
		if err != nil || n.Listening() || n.WatchdogPeriod() != 0 {
			t.Errorf("%v, listening %t, watchdog %v", err, n.Listening(), n.WatchdogPeriod())
		}
	}
}

func TestEnvironment(t *testing.T) {
	own, other := strconv.Itoa(os.Getpid()), strconv.Itoa(os.Getppid())
	for _, c := range []struct {
		name              string
		socket, usec, pid string
		period            time.Duration
		says              string
	}{
		{"no watchdog", "/run/systemd/notify", "", "", 0, ""},
		{"watchdog", "/run/systemd/notify", "30000000", own, 30 * time.Second, ""},
		{"watchdog of whoever asks", "/run/systemd/notify", "500000", "", 500 * time.Millisecond, ""},
		{"another process's watchdog", "/run/systemd/notify", "30000000", other, 0, ""},
		{"no number", "/run/systemd/notify", "soon", own, 0, `"soon"`},
		{"no time", "/run/systemd/notify", "0", own, 0, `"0"`},
		{"longer than time", "/run/systemd/notify", "9223372036854775807", own, 0, "9223372036854775807"},
		{"relative path", "notify", "", "", 0, `"notify"`},
		{"vsock", "vsock:2:1234", "", "", 0, "vsock"},
	} {
		t.Run(c.name, func(t *testing.T) {
			environment := map[string]string{"PATH": "/bin", "NOTIFY_SOCKET": c.socket, "WATCHDOG_USEC": c.usec, "WATCHDOG_PID": c.pid}
			n, err := take(t, environment)
			if c.says != "" {
				if err == nil || !strings.Contains(err.Error(), c.says) {
					t.Errorf("error %v does not say %s", err, c.says)
				}
			} else if err != nil || n.WatchdogPeriod() != c.period {
				t.Errorf("watchdog of %v, want %v; error %v", n.WatchdogPeriod(), c.period, err)
			}
			if len(environment) != 1 {
				t.Errorf("children would get %v", environment)
			}
		})
	}
}

func TestBusyManagerCostsASecondAtMost(t *testing.T) {
	n := newManager(t).notifier(t)
	for range 100_000 {
		began := time.Now()
		err := n.Ping()
		if err == nil {
			continue
		}
		if took := time.Since(began); !errors.Is(err, os.ErrDeadlineExceeded) || took < sendWithin || took > 10*sendWithin {
			t.Errorf("after %v: %v", took, err)
		}
		return
	}
	t.Error("the socket's queue is never full")
}

func TestManagerIsGone(t *testing.T) {
	m := newManager(t)
	n := m.notifier(t)
	m.Close()
	if err := n.Ping(); err == nil || !strings.HasPrefix(err.Error(), "cannot notify systemd") {
		t.Errorf("%v", err)
	}
}

func FuzzStatusLine(f *testing.F) {
	f.Add("2 cameras, 1 worker on cpu")
	f.Add("a\nREADY=1")
	f.Add("\xff\x00\u2028")
	f.Add(strings.Repeat("\u00e9", maxStatus))
	f.Fuzz(func(t *testing.T, text string) {
		line := statusLine(text)
		if strings.ContainsAny(line, "\n\x00") || !utf8.ValidString(line) || len(line) > maxStatus+len("STATUS=") {
			t.Errorf("%d bytes: %q", len(line), line)
		}
	})
}
