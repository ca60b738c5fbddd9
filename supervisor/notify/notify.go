// Package notify is the service's side of sd_notify(3).
package notify

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/coreos/go-systemd/v22/daemon"
	"golang.org/x/sys/unix"
)

const (
	// sendWithin bounds one message. The socket's queue is full while systemd is busy, and the library's SdNotify would
	// then wait without end.
	sendWithin = time.Second
	// maxStatus is the bytes of a status text: systemd ignores a whole message of more than 4096 (NOTIFY_BUFFER_MAX).
	maxStatus = 1024
)

// Notifier tells systemd how the service is. A nil Notifier, like one that was made where nobody listens, tells nobody
// and gives no errors. Its methods wait a second at most, and may be called from any goroutine.
type Notifier struct {
	send     func(message string) error // nil: nobody listens
	watchdog time.Duration
}

// Take makes a Notifier of what systemd left in the environment, and removes it there: a child that inherited it would
// speak for the service.
func Take(lookup func(name string) (value string, ok bool), unset func(name string) error) (*Notifier, error) {
	var taken [3]string
	var errs []error
	for i, name := range [...]string{"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"} {
		var there bool
		if taken[i], there = lookup(name); there {
			errs = append(errs, unset(name))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("cannot keep systemd's variables from children: %w", err)
	}
	socket, microseconds, watched := taken[0], taken[1], taken[2]
	if socket == "" {
		return &Notifier{}, nil
	}
	if socket[0] != '/' && socket[0] != '@' {
		return nil, fmt.Errorf("cannot notify systemd: NOTIFY_SOCKET=%q is neither a path nor an abstract address", socket)
	}
	n := &Notifier{send: func(message string) error { return send(socket, message) }}
	if microseconds == "" || watched != "" && watched != strconv.Itoa(os.Getpid()) {
		return n, nil // no watchdog, or another process's
	}
	period, err := strconv.ParseInt(microseconds, 10, 64)
	if err != nil || period <= 0 || period > int64(24*time.Hour/time.Microsecond) {
		return nil, fmt.Errorf("cannot serve systemd's watchdog: WATCHDOG_USEC=%q is no number of microseconds within a day",
			microseconds)
	}
	n.watchdog = time.Duration(period) * time.Microsecond
	return n, nil
}

// Listening tells whether there is anybody to tell.
func (n *Notifier) Listening() bool { return n != nil && n.send != nil }

// WatchdogPeriod is how long systemd waits for a Ping before it kills the service; 0: for ever.
func (n *Notifier) WatchdogPeriod() time.Duration {
	if n == nil {
		return 0
	}
	return n.watchdog
}

// Ready says that the service has started, or has finished a reload.
func (n *Notifier) Ready(status string) error {
	return n.say(daemon.SdNotifyReady, statusLine(status))
}

// Status says in a line for people how the service is.
func (n *Notifier) Status(text string) error { return n.say(statusLine(text)) }

// Extend asks for d from now before a start or a stop counts as failed.
func (n *Notifier) Extend(d time.Duration) error {
	return n.say("EXTEND_TIMEOUT_USEC=" + strconv.FormatInt(d.Microseconds(), 10))
}

// Reloading says that the configuration is being read again; Ready ends it, whether it was taken or refused.
func (n *Notifier) Reloading() error {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		return fmt.Errorf("cannot read CLOCK_MONOTONIC: %w", err)
	}
	// Type=notify-reload tells by the time that this reload began after it was asked for.
	return n.say(daemon.SdNotifyReloading, "MONOTONIC_USEC="+strconv.FormatInt(now.Nano()/1000, 10))
}

// Stopping says that the service begins to end.
func (n *Notifier) Stopping(reason string) error {
	return n.say(daemon.SdNotifyStopping, statusLine(reason))
}

// Ping says that the service lives; it is the Watchdog's to decide that.
func (n *Notifier) Ping() error { return n.say(daemon.SdNotifyWatchdog) }

func (n *Notifier) say(assignments ...string) error {
	if !n.Listening() {
		return nil
	}
	return n.send(strings.Join(assignments, "\n"))
}

// send needs no connection that lasts: a unixgram socket costs nothing to connect, and systemd may have begun anew.
func send(socket, message string) error {
	conn, err := net.DialTimeout("unixgram", socket, sendWithin)
	if err != nil {
		return fmt.Errorf("cannot notify systemd: %w", err)
	}
	defer conn.Close()
	if err := conn.SetWriteDeadline(time.Now().Add(sendWithin)); err != nil {
		return fmt.Errorf("cannot notify systemd: %w", err)
	}
	if _, err := conn.Write([]byte(message)); err != nil {
		return fmt.Errorf("cannot notify systemd: %w", err)
	}
	return nil
}

// statusLine makes any text one line of printable UTF-8: a line break in it would be another assignment to systemd.
func statusLine(text string) string {
	text = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == utf8.RuneError { // RuneError: a byte that is not UTF-8
			return ' '
		}
		return r
	}, text)
	text = strings.Join(strings.Fields(text), " ")
	if len(text) > maxStatus {
		end := maxStatus
		for !utf8.RuneStart(text[end]) {
			end--
		}
		text = text[:end]
	}
	return "STATUS=" + text
}
