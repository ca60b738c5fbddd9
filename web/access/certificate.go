package access

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"vedette/whole"
)

// lookEvery is how soon a renewed certificate is used.
const lookEvery = time.Minute

// Certificate is a pair of files, read anew when they change: certificates are renewed while the service runs.
type Certificate struct {
	certFile, keyFile string
	tell              func(error)

	mu      sync.Mutex // guards the rest; not held while files are read
	now     *tls.Certificate
	looked  time.Time
	files   [2]time.Time // when they were changed
	trouble string       // why the files as they are now are not used
}

// OpenCertificate reads the pair for the first time.
func OpenCertificate(certFile, keyFile string) (*Certificate, error) {
	pair, files, err := readPair(certFile, keyFile, [2]time.Time{})
	if err != nil {
		return nil, err
	}
	return &Certificate{certFile: certFile, keyFile: keyFile, now: pair, files: files, looked: time.Now()}, nil
}

// Tell has tell called with what is wrong with a renewal, once, and with nil when one is used. It is for before the first Get.
func (c *Certificate) Tell(tell func(error)) { c.tell = tell }

// readPair gives no pair where the files are as they were.
func readPair(certFile, keyFile string, before [2]time.Time) (pair *tls.Certificate, files [2]time.Time, err error) {
	for i, path := range []string{certFile, keyFile} {
		info, err := os.Stat(path)
		if err != nil {
			return nil, files, fmt.Errorf("cannot read the certificate: %w", err)
		}
		files[i] = info.ModTime()
	}
	if files == before {
		return nil, files, nil
	}
	read, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		return nil, files, fmt.Errorf("cannot use %s with %s: %w", certFile, keyFile, err)
	}
	return &read, files, nil
}

// Get is tls.Config.GetCertificate. Half of a renewal, a file that is not there, leaves the pair as it was. One connection in a while
// looks at the files; others do not wait for it.
func (c *Certificate) Get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	now := time.Now()
	look, files := now.Sub(c.looked) >= lookEvery, c.files
	if look {
		c.looked = now
	}
	c.mu.Unlock()
	if look {
		c.renew(files)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now, nil
}

// renew takes what has come in place of files.
func (c *Certificate) renew(files [2]time.Time) {
	pair, files, err := readPair(c.certFile, c.keyFile, files)
	trouble := ""
	if err != nil {
		trouble = err.Error()
	}
	c.mu.Lock()
	news := pair != nil || trouble != c.trouble
	c.trouble = trouble
	if pair != nil {
		c.now, c.files = pair, files
	}
	c.mu.Unlock()
	if news && c.tell != nil {
		c.tell(err)
	}
}

// Fingerprint is the certificate's SHA-256, by which a person knows it.
func (c *Certificate) Fingerprint() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	sum := sha256.Sum256(c.now.Certificate[0])
	return hex.EncodeToString(sum[:])
}

// OwnCertificate gives the device's own certificate, signed by itself, and makes it in dir where it is not there yet. Nobody vouches for
// it: who connects compares its fingerprint once and keeps it. So it is valid for as long as the form allows, whatever the
// board's clock said when it was made.
func OwnCertificate(dir string, names []string) (*Certificate, error) {
	certFile, keyFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	own, err := OpenCertificate(certFile, keyFile)
	if err == nil || !errors.Is(err, fs.ErrNotExist) {
		return own, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("cannot make a certificate: %w", err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("cannot make a certificate: %w", err)
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127)) // browsers refuse two of one issuer with the same
	if err != nil {
		return nil, fmt.Errorf("cannot make a certificate: %w", err)
	}
	template := &x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{CommonName: "vedette"},
		NotBefore:             time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC),
		NotAfter:              time.Date(2049, 12, 31, 0, 0, 0, 0, time.UTC), // the last year that UTCTime can write (RFC 5280, 4.1.2.5)
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
	}
	for _, name := range names {
		if ip := net.ParseIP(name); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else if name != "" {
			template.DNSNames = append(template.DNSNames, name)
		}
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, fmt.Errorf("cannot make a certificate: %w", err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("cannot make a certificate: %w", err)
	}
	// The certificate comes last: with it the pair is whole.
	if err := errors.Join(
		writePEM(keyFile, "PRIVATE KEY", secret), writePEM(certFile, "CERTIFICATE", cert),
	); err != nil {
		return nil, fmt.Errorf("cannot make a certificate: %w", err)
	}
	return OpenCertificate(certFile, keyFile)
}

// writePEM replaces a file, for its owner alone.
func writePEM(path, kind string, content []byte) error {
	return whole.Write(path, 0o600, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: content}))
}
