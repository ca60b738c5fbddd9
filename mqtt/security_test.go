package mqtt

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"vedette/mqtt/mqtttest"
)

// authority is a CA that a test has made up.
type authority struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	file string
}

func newAuthority(t *testing.T, name string) *authority {
	t.Helper()
	a := &authority{t: t}
	a.cert, a.key, a.file, _ = a.sign(&x509.Certificate{
		Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	})
	return a
}

// issue gives the files of a certificate for this machine, good for servers and clients.
func (a *authority) issue(name string) (certFile, keyFile string) {
	a.t.Helper()
	_, _, certFile, keyFile = a.sign(&x509.Certificate{
		Subject: pkix.Name{CommonName: name}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	})
	return certFile, keyFile
}

func (a *authority) sign(template *x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey, string, string) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	template.SerialNumber = big.NewInt(time.Now().UnixNano())
	template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	parent, parentKey := a.cert, a.key
	if parent == nil {
		parent, parentKey = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), parentKey)
	if err != nil {
		a.t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	certFile := file(a.t, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	keyFile := file(a.t, string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})))
	return cert, key, certFile, keyFile
}

func file(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestTLS(t *testing.T) {
	ours, others := newAuthority(t, "ours"), newAuthority(t, "others")
	serverCert, serverKey := ours.issue("broker")
	clientCert, clientKey := ours.issue("vedette")
	foreignCert, foreignKey := others.issue("stranger")
	open := []string{"certfile " + serverCert, "keyfile " + serverKey}
	mutual := append(open, "cafile "+ours.file, "require_certificate true")

	tests := map[string]struct {
		broker  []string
		tls     TLSConfig
		problem string // empty: it connects
	}{
		"own CA":                 {open, TLSConfig{CAFile: ours.file}, ""},
		"the system's CAs":       {open, TLSConfig{}, "mqtt.tls.ca_file"},
		"another CA":             {open, TLSConfig{CAFile: others.file}, "mqtt.tls.ca_file"},
		"client certificate":     {mutual, TLSConfig{CAFile: ours.file, CertFile: clientCert, KeyFile: clientKey}, ""},
		"no client certificate":  {mutual, TLSConfig{CAFile: ours.file}, "mqtt.tls.cert_file"},
		"another CA's signature": {mutual, TLSConfig{CAFile: ours.file, CertFile: foreignCert, KeyFile: foreignKey}, "mqtt.tls.cert_file"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			broker := mqtttest.StartBroker(t, test.broker...)
			config := configFor("tls://" + broker.Addr())
			config.TLS = test.tls
			s := start(t, config)
			if test.problem == "" {
				s.connected()
				return
			}
			if got := s.failed(); !strings.Contains(got, test.problem) {
				t.Errorf("the error does not name %s: %s", test.problem, got)
			}
		})
	}
}

// What undoes the TLS stands before the broker, as a reverse proxy does.
func TestWebSocketTLS(t *testing.T) {
	ours, others := newAuthority(t, "ours"), newAuthority(t, "others")
	cert, key := ours.issue("broker")
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	port := mqtttest.FreePort(t)
	mqtttest.StartBroker(t, "listener "+port+" 127.0.0.1", "protocol websockets")
	addr, _ := listener(t, func(conn net.Conn) {
		client := tls.Server(conn, &tls.Config{Certificates: []tls.Certificate{pair}})
		defer client.Close()
		inner, err := net.Dial("tcp", net.JoinHostPort("127.0.0.1", port))
		if err != nil {
			return
		}
		var answers sync.WaitGroup
		answers.Go(func() { _, _ = io.Copy(client, inner) })
		_, _ = io.Copy(inner, client)
		inner.Close()
		answers.Wait()
	})
	config := configFor("wss://" + addr)
	config.TLS.CAFile = ours.file
	start(t, config).connected()

	config.TLS.CAFile = others.file
	if got := start(t, config).failed(); !strings.Contains(got, "mqtt.tls.ca_file") {
		t.Errorf("the error does not name mqtt.tls.ca_file: %s", got)
	}
}

func TestAnotherProtocolOnThePort(t *testing.T) {
	ours := newAuthority(t, "ours")
	cert, key := ours.issue("broker")
	secure := mqtttest.StartBroker(t, "certfile "+cert, "keyfile "+key)
	open := mqtttest.StartBroker(t)
	for _, broker := range []string{"tcp://" + secure.Addr(), "tls://" + open.Addr(), "ws://" + open.Addr()} {
		if got := start(t, configFor(broker)).failed(); !strings.Contains(got, "scheme") {
			t.Errorf("for %s the error does not name the scheme: %s", broker, got)
		}
	}
}

// The broker's certificate is for an address; another name for the same machine is not in it.
func TestTLSForAnotherName(t *testing.T) {
	ours := newAuthority(t, "ours")
	cert, key := ours.issue("broker")
	broker := mqtttest.StartBroker(t, "certfile "+cert, "keyfile "+key)
	config := configFor("tls://localhost:" + broker.Port)
	config.TLS.CAFile = ours.file
	s := start(t, config)
	if got := s.failed(); !strings.Contains(got, "localhost") {
		t.Errorf("the error does not say which name is missing: %s", got)
	}
}

// A certificate that was renewed is used at the next try.
func TestRenewedCA(t *testing.T) {
	ours, others := newAuthority(t, "ours"), newAuthority(t, "others")
	cert, key := ours.issue("broker")
	broker := mqtttest.StartBroker(t, "certfile "+cert, "keyfile "+key)
	config := configFor("tls://" + broker.Addr())
	config.TLS.CAFile = others.file
	s := start(t, config)
	s.failed()
	text, err := os.ReadFile(ours.file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(others.file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	s.connected()
}

const password = "correct horse"

// passwordBroker lets in the user porch.
func passwordBroker(t *testing.T) *mqtttest.Broker {
	t.Helper()
	passwords := file(t, "")
	if out, err := exec.Command("mosquitto_passwd", "-b", passwords, "porch", password).CombinedOutput(); err != nil {
		t.Skipf("mosquitto_passwd (of the package mosquitto) does not work: %v %s", err, out)
	}
	return mqtttest.StartBroker(t, "allow_anonymous false", "password_file "+passwords)
}

func TestPassword(t *testing.T) {
	broker := passwordBroker(t)
	config := configFor("tcp://" + broker.Addr())
	config.Username, config.PasswordFile = "porch", file(t, password+"\n")
	s := start(t, config)
	s.connected()
	s.stop()
	if strings.Contains(s.log.String(), password) {
		t.Errorf("the log holds the password: %s", s.log)
	}
}

func TestWrongPassword(t *testing.T) {
	broker := passwordBroker(t)
	config := configFor("tcp://" + broker.Addr())
	config.Username, config.PasswordFile = "porch", file(t, "wrong battery\n")
	p := startProxy(t, broker.Addr(), nil)
	config.Brokers = p.configuration().Brokers
	s := start(t, config)
	s.failed()
	lines := s.log.Lines("no connection")
	if len(lines) != 1 || !strings.Contains(lines[0], "mqtt.username") || !strings.Contains(lines[0], "mqtt.password_file") {
		t.Errorf("the log says %q", lines)
	}
	if strings.Contains(s.log.String(), "wrong battery") || strings.Contains(s.Status().LastError, "wrong battery") {
		t.Errorf("the password is told: %s", s.log)
	}
	if n := p.connections(); n != 1 { // another protocol version would be another try
		t.Errorf("it tried %d times", n)
	}
}

// What systemd hands over as credentials: user name, password, CA, certificate and key.
func TestCredentialsOfSystemd(t *testing.T) {
	ours := newAuthority(t, "ours")
	serverCert, serverKey := ours.issue("broker")
	clientCert, clientKey := ours.issue("vedette")
	passwords := file(t, "")
	if out, err := exec.Command("mosquitto_passwd", "-b", passwords, "porch", password).CombinedOutput(); err != nil {
		t.Skipf("mosquitto_passwd (of the package mosquitto) does not work: %v %s", err, out)
	}
	broker := mqtttest.StartBroker(t, "certfile "+serverCert, "keyfile "+serverKey, "cafile "+ours.file, "require_certificate true",
		"allow_anonymous false", "password_file "+passwords)
	folder := t.TempDir()
	for name, path := range map[string]string{
		"user": file(t, "porch\n"), "password": file(t, password), "ca": ours.file, "cert": clientCert, "key": clientKey,
	} {
		if err := os.Link(path, filepath.Join(folder, name)); err != nil {
			t.Fatal(err)
		}
	}
	config := configFor("tls://" + broker.Addr())
	config.UsernameFile, config.PasswordFile = "credential:user", "credential:password"
	config.TLS = TLSConfig{CAFile: "credential:ca", CertFile: "credential:cert", KeyFile: "credential:key"}
	if got := problems(config); got != "" {
		t.Error(got)
	}
	startOptions(t, Options{Config: config, Secrets: folder}).connected()
}
