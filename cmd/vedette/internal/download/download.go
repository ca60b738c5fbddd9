// Package download fetches one file over HTTPS, and goes on where an earlier try ended.
package download

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"syscall"
	"time"
)

// Request is what to fetch.
type Request struct {
	URL    string
	SHA256 string // in hex; "": whoever signed what is fetched answers for it
	Most   int64  // bytes
	Path   string // where to
	// Tries is how often a connection is made before it is given up, each going on where the last one broke; 0: once.
	Tries int
	// Client makes the requests; nil: one with the system's certificates.
	Client *http.Client
	// Progress is told how much is there of how much, -1 where the server does not say; nil: nobody is.
	Progress func(got, all int64)
}

// How long a server may take to answer, and to send nothing.
const (
	answerWithin = 30 * time.Second
	stallWithin  = 60 * time.Second
)

// Validate tells whether a URL can be fetched: by HTTPS alone, as a hash or a signature does not hide what is asked for.
func Validate(text string) error {
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return fmt.Errorf("%q is no URL: %w", text, err)
	case u.Scheme != "https" || u.Host == "":
		return fmt.Errorf("%q is no https URL", u.Redacted())
	}
	return nil
}

// Fetch fetches the file. What an interrupted one left under Path with ".part" behind it is gone on with; what is too long or has
// another hash is removed.
func Fetch(ctx context.Context, r Request) error {
	if err := Validate(r.URL); err != nil {
		return err
	}
	if r.Client == nil {
		transport := http.DefaultTransport.(*http.Transport).Clone()
		transport.ResponseHeaderTimeout = answerWithin
		r.Client = &http.Client{Transport: transport, CheckRedirect: httpsOnly}
	}
	part := r.Path + ".part"
	if err := r.persist(ctx, part); err != nil {
		if info, statErr := os.Stat(part); statErr == nil && info.Size() == 0 { // nothing to go on with
			os.Remove(part)
		}
		return fmt.Errorf("cannot fetch %s: %w", redacted(r.URL), err)
	}
	if r.SHA256 != "" {
		if err := Check(part, r.SHA256); err != nil {
			return errors.Join(fmt.Errorf("%s: %w; it was not kept", redacted(r.URL), err), os.Remove(part))
		}
	}
	return os.Rename(part, r.Path)
}

// Check tells whether a file has a SHA-256, in hexadecimal digits of either case. No link is followed.
func Check(path, sha256 string) error {
	found, err := hash(path)
	if err != nil {
		return fmt.Errorf("cannot check the file's hash: %w", err)
	}
	if !strings.EqualFold(found, sha256) {
		return fmt.Errorf("cannot use the file: its SHA-256 is %s, not %s", found, sha256)
	}
	return nil
}

// A server that is away is tried again after firstWait, then after twice that, up to longestWait.
const (
	firstWait   = 500 * time.Millisecond
	longestWait = time.Minute
)

// errBroken is where another try may do better; errRedirected where none does.
var (
	errBroken     = errors.New("the connection broke")
	errRedirected = errors.New("it is redirected")
)

func (r Request) persist(ctx context.Context, part string) error {
	wait := firstWait
	for try := 1; ; try++ {
		err := r.fetch(ctx, part)
		if !errors.Is(err, errBroken) || try >= r.Tries || ctx.Err() != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(wait):
		}
		wait = min(2*wait, longestWait)
	}
}

const mostRedirects = 10

func httpsOnly(request *http.Request, before []*http.Request) error {
	if request.URL.Scheme != "https" {
		return fmt.Errorf("%w to what is not https", errRedirected)
	}
	if len(before) >= mostRedirects {
		return fmt.Errorf("%w again and again", errRedirected)
	}
	return nil
}

func (r Request) fetch(ctx context.Context, part string) (err error) {
	file, err := os.OpenFile(part, os.O_WRONLY|os.O_CREATE|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	have, err := file.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, r.URL, http.NoBody)
	if err != nil {
		return err
	}
	if have > 0 {
		request.Header.Set("Range", fmt.Sprintf("bytes=%d-", have))
	}
	response, err := r.Client.Do(request)
	if err != nil {
		if _, untrusted := errors.AsType[*tls.CertificateVerificationError](err); untrusted || errors.Is(err, errRedirected) {
			return err
		}
		return fmt.Errorf("%w: %w", errBroken, err)
	}
	defer response.Body.Close()
	switch {
	case response.StatusCode == http.StatusPartialContent && startsAt(response, have):
	case response.StatusCode == http.StatusOK: // it sends the whole, asked or not
		have = 0
		if _, err := file.Seek(0, io.SeekStart); err != nil {
			return err
		}
		if err := file.Truncate(0); err != nil {
			return err
		}
	case response.StatusCode == http.StatusRequestedRangeNotSatisfiable && have > 0: // all of it is there, or too much: the hash tells
		return nil
	case response.StatusCode >= http.StatusInternalServerError:
		return fmt.Errorf("%w: the server answers %s", errBroken, response.Status)
	default:
		return fmt.Errorf("the server answers %s", response.Status)
	}
	all := int64(-1)
	if response.ContentLength >= 0 {
		all = have + response.ContentLength
	}
	if all > r.Most {
		return errors.Join(fmt.Errorf("it has %d bytes, and %d may be", all, r.Most), os.Remove(part))
	}
	stalled := time.AfterFunc(stallWithin, func() { cancel(fmt.Errorf("nothing came for %v", stallWithin)) })
	defer stalled.Stop()
	body := &meter{r: response.Body, got: have, all: all, stalled: stalled, progress: r.Progress}
	n, err := io.Copy(file, io.LimitReader(body, r.Most-have+1))
	switch {
	case err != nil && context.Cause(ctx) != nil:
		return fmt.Errorf("%w after %d bytes: %w", errBroken, have+n, context.Cause(ctx))
	case err != nil:
		return fmt.Errorf("%w after %d bytes: %w: try again, it goes on from there", errBroken, have+n, err)
	case have+n > r.Most:
		return errors.Join(fmt.Errorf("it has more than the %d bytes that may be", r.Most), os.Remove(part))
	}
	return file.Sync()
}

func startsAt(response *http.Response, offset int64) bool {
	var start int64
	_, err := fmt.Sscanf(response.Header.Get("Content-Range"), "bytes %d-", &start)
	return err == nil && start == offset
}

// meter tells how far a body has been read.
type meter struct {
	r        io.Reader
	got, all int64
	stalled  *time.Timer
	progress func(got, all int64)
}

func (m *meter) Read(p []byte) (int, error) {
	n, err := m.r.Read(p)
	m.got += int64(n)
	m.stalled.Reset(stallWithin)
	if m.progress != nil {
		m.progress(m.got, m.all)
	}
	return n, err
}

func hash(path string) (string, error) {
	file, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW, 0)
	if err != nil {
		return "", err
	}
	defer file.Close()
	h := sha256.New()
	if _, err := io.Copy(h, file); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

func redacted(text string) string {
	if u, err := url.Parse(text); err == nil {
		return u.Redacted()
	}
	return "the URL"
}
