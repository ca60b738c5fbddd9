package web

import (
	"fmt"
	"net"
)

// Config is the `web` section of the configuration.
type Config struct {
	Listen string      `yaml:"listen"` // host:port; empty: nowhere
	TLS    TLSConfig   `yaml:"tls"`
	Admin  Credentials `yaml:"admin"`  // of who may change things
	Viewer Credentials `yaml:"viewer"` // of who may look
	Pprof  bool        `yaml:"pprof"`  // Go's profiles, on loopback alone
}

// TLSConfig names the files of a certificate. Where they are empty and TLS is needed, the device makes one of its own.
type TLSConfig struct {
	CertFile string `yaml:"cert_file"`
	KeyFile  string `yaml:"key_file"`
}

// Credentials are the files that give a role.
type Credentials struct {
	PasswordFile string `yaml:"password_file"` // a bcrypt hash, made by `vedette web password`
	TokenFile    string `yaml:"token_file"`    // a secret for programs, as it is
}

func (c Credentials) empty() bool { return c == Credentials{} }

// DefaultConfig is what holds where the configuration is silent.
func DefaultConfig() Config { return Config{Listen: "127.0.0.1:8642"} }

// Secure tells whether TLS is spoken: always where another machine could listen in.
func (c Config) Secure() bool { return !c.loopback() || c.TLS.CertFile != "" }

// URL is where a browser on this machine finds the page.
func (c Config) URL() string {
	scheme := "http"
	if c.Secure() {
		scheme = "https"
	}
	host, port, err := net.SplitHostPort(c.Listen)
	if err != nil {
		return ""
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "localhost"
	}
	return scheme + "://" + net.JoinHostPort(host, port) + "/"
}

// loopback tells whether only this machine reaches the address. An address that is none does not count as such.
func (c Config) loopback() bool {
	host, _, err := net.SplitHostPort(c.Listen)
	if err != nil {
		return false
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// Validate tells report each mistake: where, as a path in the section, and what.
func (c Config) Validate(report func(path, problem string)) {
	if c.TLS.CertFile == "" != (c.TLS.KeyFile == "") {
		report("tls", "cert_file and key_file go together: name both, or neither for a certificate of the device's own")
	}
	if c.Listen == "" {
		return
	}
	if _, _, err := net.SplitHostPort(c.Listen); err != nil {
		report("listen", fmt.Sprintf("%q is not of the form 127.0.0.1:8642", c.Listen))
		return
	}
	if c.loopback() {
		return
	}
	if c.Admin.empty() && c.Viewer.empty() {
		report("listen", fmt.Sprintf("%q is not on loopback: without a password or a token only 127.0.0.1 is served: "+
			"name a password_file or token_file under web.admin or web.viewer", c.Listen))
	}
	if c.Pprof {
		report("pprof", fmt.Sprintf("profiles are served on loopback only, and %q is not", c.Listen))
	}
}
