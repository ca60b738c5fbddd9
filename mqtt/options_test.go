package mqtt

import (
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"path/filepath"
	"strings"
	"testing"

	"vedette/mqtt/payload"
)

// problems is what Validate says, a line each.
func problems(config Config) string {
	var text strings.Builder
	config.Validate(func(path, problem string) { fmt.Fprintf(&text, "%s: %s\n", path, problem) })
	return text.String()
}

func TestValidateBroker(t *testing.T) {
	tests := map[string]string{ // what is said of it; empty: it is good
		"tcp://broker.lan:1883":        "",
		"tcp://broker.lan":             "",
		"tcp://broker.lan:":            "",
		"tcp://broker.lan/":            "",
		"tls://192.0.2.7:8883":         "",
		"tcp://[::1]:1883":             "",
		"ws://broker.lan:9001/mqtt":    "",
		"wss://broker.lan/mqtt":        "",
		"":                             "form",
		"broker.lan":                   "form",
		"broker.lan:1883":              "form",
		"192.0.2.7:1883":               "form",
		"mqtt://broker.lan":            "form",
		"http://broker.lan":            "form",
		"tcp:broker.lan":               "form",
		"tcp:/broker.lan":              "form",
		"tcp://":                       "form",
		"tcp://:1883":                  "form",
		"tcp://broker.lan:port":        "form",
		"tcp://broker.lan:0":           "form",
		"tcp://broker.lan:65536":       "form",
		"tcp://broker lan:1883":        "form",
		"tcp://broker.lan:1883\n":      "form",
		"tcp://porch@broker.lan":       "password_file",
		"tcp://porch:s3cret@broker":    "password_file",
		"porch:s3cret@broker:1883":     "form",
		"tcp:/porch:s3cret@broker":     "form",
		"tcp:porch:s3cret@broker":      "form",
		"tcp://porch:s3cret@bro ker:1": "form",
		"http://porch:s3cret@broker":   "form",
		"tcp://broker/porch:s3cret@":   "form",
	}
	for broker, want := range tests {
		t.Run(broker, func(t *testing.T) {
			got := problems(configFor("tcp://first", broker))
			switch {
			case want == "" && got != "":
				t.Errorf("it is good, but: %s", got)
			case want != "" && (!strings.HasPrefix(got, "brokers[1]: ") || strings.Count(got, "\n") != 1 || !strings.Contains(got, want)):
				t.Errorf("what is said is %q", got)
			case strings.Contains(got, "s3cret"):
				t.Errorf("the password is told: %s", got)
			}
		})
	}
}

func TestValidate(t *testing.T) {
	tests := map[string]struct {
		change func(*Config)
		want   string // what the only line begins with; empty: nothing is wrong
	}{
		"default":              {func(*Config) {}, ""},
		"prefix of the device": {func(c *Config) { c.Prefix = "home/{device}/eyes" }, ""},
		"prefix with wildcard": {func(c *Config) { c.Prefix = "home/+/eyes" }, "prefix: "},
		"no prefix":            {func(c *Config) { c.Prefix = "" }, "prefix: "},
		"certificate alone":    {func(c *Config) { c.TLS.CertFile = "/etc/cert.pem" }, "tls: "},
		"key alone":            {func(c *Config) { c.TLS.KeyFile = "/etc/key.pem" }, "tls: "},
		"credential":           {func(c *Config) { c.PasswordFile = "credential:mqtt-password" }, ""},
		"no credential":        {func(c *Config) { c.PasswordFile = "credential:" }, "password_file: "},
		"a credential's path":  {func(c *Config) { c.TLS.KeyFile, c.TLS.CertFile = "credential:../key", "cert" }, "tls.key_file: "},
		"two user names":       {func(c *Config) { c.Username, c.UsernameFile = "porch", "/etc/user" }, "username_file: "},
		"dialect":              {func(c *Config) { c.Dialects = []string{"vedette", "sparkplug"} }, "dialects[1]: "},
		"rate":                 {func(c *Config) { c.Detections.Rate = 2.5 }, ""},
		"snapshots too often":  {func(c *Config) { c.Snapshots.Every = 0 }, "snapshots.every: "},
		"snapshots too wide":   {func(c *Config) { c.Snapshots.Width = 10000 }, "snapshots.width: "},
		"snapshots of no size": {func(c *Config) { c.Snapshots.Size = "big" }, "snapshots.size: "},
		"snapshots too large":  {func(c *Config) { c.Snapshots.Size = "2MiB" }, "snapshots.size: "},
		"negative rate":        {func(c *Config) { c.Detections.Rate = -1 }, "detections.rate: "},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			config := DefaultConfig()
			test.change(&config)
			got := problems(config)
			if test.want == "" && got != "" || test.want != "" && (!strings.HasPrefix(got, test.want) || strings.Count(got, "\n") != 1) {
				t.Errorf("what is said is %q, not %q", got, test.want)
			}
		})
	}
}

// What Validate lets through can be tried, and nothing that is said of an address holds a password.
func FuzzBroker(f *testing.F) {
	f.Fuzz(func(t *testing.T, broker string) {
		said := problems(configFor(broker))
		if secret := "s3cret@"; strings.Contains(broker, secret) && strings.Contains(said+redact(broker), "s3cret") {
			t.Errorf("the password of %q is told: %s %s", broker, said, redact(broker))
		}
		if said != "" {
			return
		}
		client, err := New(Options{Config: configFor(broker), Topics: testTopics(), Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		opts, err := client.pahoOptions(broker)
		if err != nil {
			t.Fatal(err)
		}
		if len(opts.Servers) != 1 {
			t.Fatalf("%q is let through, but paho does not take it", broker)
		}
		if host, _, err := net.SplitHostPort(address(opts.Servers[0])); err != nil || host == "" {
			t.Errorf("%q is let through, but is no address of a broker", broker)
		}
	})
}

func TestNewRefuses(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "missing")
	ours := newAuthority(t, "ours")
	cert, _ := ours.issue("one")
	_, otherKey := ours.issue("two")
	tests := map[string]struct {
		change func(*Config)
		want   []string
	}{
		"no broker":          {func(c *Config) { c.Brokers = nil }, []string{"no broker"}},
		"no password file":   {func(c *Config) { c.PasswordFile = missing }, []string{"mqtt.password_file", missing}},
		"no user name file":  {func(c *Config) { c.UsernameFile = missing }, []string{"mqtt.username_file", missing}},
		"no credentials":     {func(c *Config) { c.PasswordFile = "credential:pw" }, []string{"mqtt.password_file", "LoadCredential=pw", "CREDENTIALS_DIRECTORY"}},
		"no CA":              {func(c *Config) { c.TLS.CAFile = missing }, []string{"mqtt.tls.ca_file", missing}},
		"a CA that is none":  {func(c *Config) { c.TLS.CAFile = file(t, "none") }, []string{"mqtt.tls.ca_file", "PEM"}},
		"no certificate":     {func(c *Config) { c.TLS.CertFile = missing }, []string{"mqtt.tls.cert_file", missing}},
		"another one's key":  {func(c *Config) { c.TLS.CertFile, c.TLS.KeyFile = cert, otherKey }, []string{"mqtt.tls.cert_file", "key"}},
		"a key that is none": {func(c *Config) { c.TLS.CertFile, c.TLS.KeyFile = cert, file(t, "none") }, []string{"mqtt.tls.cert_file"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			config := configFor("tcp://127.0.0.1:1")
			test.change(&config)
			_, err := New(Options{Config: config, Topics: payload.Topics{}, Logger: slog.New(slog.DiscardHandler)})
			if err == nil {
				t.Fatal("it takes it")
			}
			for _, want := range test.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q does not name %s", err, want)
				}
			}
		})
	}
}

func TestAddress(t *testing.T) {
	for broker, want := range map[string]string{
		"tcp://broker.lan":      "broker.lan:1883",
		"tcp://broker.lan:":     "broker.lan:1883",
		"tcp://broker.lan:1884": "broker.lan:1884",
		"tls://broker.lan":      "broker.lan:8883",
		"tls://[2001:db8::7]":   "[2001:db8::7]:8883",
		"tcp://[::1]:1884":      "[::1]:1884",
	} {
		u, err := url.Parse(broker)
		if err != nil {
			t.Fatal(err)
		}
		if got := address(u); got != want {
			t.Errorf("%s is at %s, not at %s", broker, got, want)
		}
	}
}

func TestPasswordOfAFile(t *testing.T) {
	for text, want := range map[string]string{
		"s3cret": "s3cret", "s3cret\n": "s3cret", "s3cret\r\n": "s3cret", " with spaces \n": " with spaces ", "": "",
	} {
		config := DefaultConfig()
		config.PasswordFile = file(t, text)
		if got, err := secrets("").credentials(config); err != nil || got.password != want {
			t.Errorf("the password in %q is %q (%v), not %q", text, got.password, err, want)
		}
	}
}
