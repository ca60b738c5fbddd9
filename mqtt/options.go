package mqtt

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	paho "github.com/eclipse/paho.mqtt.golang"
	"github.com/eclipse/paho.mqtt.golang/packets"

	"vedette/mqtt/payload"
)

// login is what a broker asks for, read from its files at each connection, so that a renewed certificate is used.
type login struct {
	username, password string
	tls                *tls.Config
}

// credential begins the name of a file that systemd hands to the service: LoadCredential=NAME:… in the unit.
const credential = "credential:"

// secrets is the folder of systemd's credentials, $CREDENTIALS_DIRECTORY; empty where the service has none.
type secrets string

// path is where a configured file is.
func (s secrets) path(name string) (string, error) {
	name, is := strings.CutPrefix(name, credential)
	switch {
	case !is:
		return name, nil
	case s == "":
		return "", fmt.Errorf("there is no credential %q: the service was not started by systemd with LoadCredential=%s:… (CREDENTIALS_DIRECTORY is not set)", name, name)
	}
	return filepath.Join(string(s), name), nil
}

func (s secrets) read(key, name string) (text []byte, path string, err error) {
	if path, err = s.path(name); err == nil {
		text, err = os.ReadFile(path)
	}
	if err != nil {
		return nil, path, fmt.Errorf("cannot read %s: %w", key, err)
	}
	return text, path, nil
}

// word reads a file that holds one word, which a line's end may follow.
func (s secrets) word(key, name string) (string, error) {
	text, _, err := s.read(key, name)
	return strings.TrimRight(string(text), "\r\n"), err
}

func (s secrets) credentials(config Config) (l login, err error) {
	l = login{username: config.Username, tls: &tls.Config{MinVersion: tls.VersionTLS12}}
	if config.UsernameFile != "" {
		if l.username, err = s.word("mqtt.username_file", config.UsernameFile); err != nil {
			return l, err
		}
	}
	if config.PasswordFile != "" {
		if l.password, err = s.word("mqtt.password_file", config.PasswordFile); err != nil {
			return l, err
		}
	}
	if config.TLS.CAFile != "" {
		pem, path, err := s.read("mqtt.tls.ca_file", config.TLS.CAFile)
		if err != nil {
			return l, err
		}
		l.tls.RootCAs = x509.NewCertPool()
		if !l.tls.RootCAs.AppendCertsFromPEM(pem) {
			return l, fmt.Errorf("mqtt.tls.ca_file %s holds no certificate in PEM form", path)
		}
	}
	if config.TLS.CertFile == "" {
		return l, nil
	}
	cert, certErr := s.path(config.TLS.CertFile)
	key, keyErr := s.path(config.TLS.KeyFile)
	err = errors.Join(certErr, keyErr)
	var pair tls.Certificate
	if err == nil {
		pair, err = tls.LoadX509KeyPair(cert, key)
	}
	if err != nil {
		return l, fmt.Errorf("cannot use mqtt.tls.cert_file and key_file: %w", err)
	}
	l.tls.Certificates = []tls.Certificate{pair}
	return l, nil
}

func (c *Client) pahoOptions(broker string) (*paho.ClientOptions, error) {
	l, err := secrets(c.opts.Secrets).credentials(c.opts.Config)
	if err != nil {
		return nil, err
	}
	opts := paho.NewClientOptions().AddBroker(broker).SetClientID(c.opts.ClientID).
		SetUsername(l.username).SetPassword(l.password).SetTLSConfig(l.tls).
		SetCleanSession(true).SetAutoReconnect(false).SetConnectRetry(false).
		SetProtocolVersion(4). // MQTT 3.1.1; without it paho tries 3.1 after a refusal
		SetConnectTimeout(connectTimeout).SetWriteTimeout(writeTimeout).
		SetKeepAlive(keepAlive).SetPingTimeout(pingTimeout).
		SetWill(c.opts.Topics.Status(), payload.Offline, 1, true)
	return opts, nil
}

// plain says why there is no connection in an operator's words, and the same each time: without the port of this side.
func plain(err error) error {
	var certificate *tls.CertificateVerificationError
	var network *net.OpError
	if errors.As(err, &network) {
		err = &net.OpError{Op: network.Op, Net: network.Net, Addr: network.Addr, Err: network.Err}
	}
	switch {
	case errors.Is(err, packets.ErrorRefusedBadUsernameOrPassword):
		return fmt.Errorf("the broker refuses the user name or password (mqtt.username, mqtt.password_file): %w", err)
	case errors.Is(err, packets.ErrorRefusedNotAuthorised):
		return fmt.Errorf("the broker does not let this client in (mqtt.username, mqtt.password_file, its ACL): %w", err)
	case errors.As(err, &certificate):
		return fmt.Errorf("the broker's certificate does not hold (mqtt.tls.ca_file, the host in mqtt.brokers): %w", certificate)
	case network != nil && network.Op == "remote error": // an alert of TLS
		return fmt.Errorf("the broker refuses this client's certificate, or that it has none (mqtt.tls.cert_file): %w", err)
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE),
		errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("the broker hangs up: its port may want another scheme (mqtt.brokers), "+
			"or a client certificate (mqtt.tls.cert_file): %w", err)
	}
	return err
}

// redact gives a broker's address without a password that somebody put into it.
func redact(broker string) string {
	if u, err := url.Parse(broker); err == nil {
		u.User = nil
		if text := u.String(); !strings.Contains(text, "@") {
			return text
		}
	}
	return "an address that cannot be read"
}

// isBroker tells whether an address is complete.
func isBroker(u *url.URL) bool {
	if port := u.Port(); port != "" {
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return false
		}
	}
	if host := u.Hostname(); host == "" || strings.ContainsAny(host, "[]") { // brackets that have no address between them
		return false
	}
	switch u.Scheme {
	case "tcp", "tls":
		return strings.Trim(u.Path, "/") == ""
	case "ws", "wss":
		return true
	}
	return false
}

// Validate tells report each mistake: the key, and what is wrong with its value.
func (c Config) Validate(report func(path, problem string)) {
	for i, broker := range c.Brokers {
		u, err := url.Parse(broker)
		switch {
		case err != nil || !isBroker(u):
			report(fmt.Sprintf("brokers[%d]", i),
				fmt.Sprintf("%q is not of the form tcp://host:1883 (or tls://, ws://, wss://)", redact(broker)))
		case u.User != nil:
			report(fmt.Sprintf("brokers[%d]", i), "a password in an address ends up in logs: use mqtt.username and password_file")
		}
	}
	if _, err := payload.NewTopics(c.Prefix, "device"); err != nil {
		report("prefix", err.Error())
	}
	if (c.TLS.CertFile == "") != (c.TLS.KeyFile == "") {
		report("tls", "cert_file and key_file go together")
	}
	if c.Username != "" && c.UsernameFile != "" {
		report("username_file", "it stands in the place of username: have one of them")
	}
	for _, file := range []struct{ key, name string }{
		{"username_file", c.UsernameFile},
		{"password_file", c.PasswordFile},
		{"tls.ca_file", c.TLS.CAFile},
		{"tls.cert_file", c.TLS.CertFile},
		{"tls.key_file", c.TLS.KeyFile},
	} {
		if id, is := strings.CutPrefix(file.name, credential); is && (id == "" || id != filepath.Base(id) || id == "." || id == "..") {
			report(file.key, fmt.Sprintf("%q is no name of a credential, such as credential:mqtt-password", file.name))
		}
	}
	for i, dialect := range c.Dialects {
		if dialect != "vedette" && dialect != Frigate {
			report(fmt.Sprintf("dialects[%d]", i), fmt.Sprintf("%q is none of vedette, frigate", dialect))
		}
	}
	if _, err := payload.NewTopics(c.Frigate.Prefix, "device"); err != nil {
		report("frigate.prefix", err.Error())
	}
	if c.HomeAssistant.Enabled {
		if t, err := payload.NewTopics(c.HomeAssistant.Prefix, "device"); err != nil {
			report("homeassistant.prefix", err.Error())
		} else if t.Prefix() != c.HomeAssistant.Prefix {
			report("homeassistant.prefix", "it is Home Assistant's own, the same for all devices")
		}
	}
	known := []string{"snapshot", "restart-worker", "enable", "threshold", "reload", "model"}
	for i, name := range c.Commands {
		if !slices.Contains(known, name) {
			report(fmt.Sprintf("commands[%d]", i), fmt.Sprintf("%q is none of %s", name, strings.Join(known, ", ")))
		}
	}
	if w := c.Detections.When; w != WhenAlways && w != WhenChange {
		report("detections.when", fmt.Sprintf("%q is neither %s nor %s", w, WhenAlways, WhenChange))
	}
	if _, err := c.Detections.DailyBytes(); err != nil {
		report("detections.daily", err.Error())
	}
	if !(c.Detections.Rate >= 0) {
		report("detections.rate", fmt.Sprintf("%g is not a number of messages a second", c.Detections.Rate))
	}
	c.Snapshots.validate(func(key, problem string) { report("snapshots."+key, problem) })
}
