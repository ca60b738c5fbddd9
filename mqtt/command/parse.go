package command

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/url"
	"regexp"
	"time"
)

// message is a command as it is written.
type message struct {
	V         *int       `json:"v"`
	ID        string     `json:"id"`
	ExpiresAt *time.Time `json:"expires_at"`
	Args      arguments  `json:"args"`
}

// arguments are those of every command: which of them one has, it checks itself.
type arguments struct {
	Camera  *string  `json:"camera"`
	Enabled *bool    `json:"enabled"`
	Label   *string  `json:"label"`
	Value   *float64 `json:"value"`
	URL     *string  `json:"url"`
	SHA256  *string  `json:"sha256"`
}

var (
	validID     = regexp.MustCompile(`^[A-Za-z0-9_.:-]{1,64}$`)
	validSHA256 = regexp.MustCompile(`^[0-9a-fA-F]{64}$`)
	validName   = regexp.MustCompile(`^[a-z0-9_-]{1,32}$`)
)

// parsed is a command that can be read.
type parsed struct {
	Request
	expires time.Time // zero: never
	sum     string    // of topic and message: two commands of one id are the same only with the same sum
}

// parse reads a command. With an error, the id is there where it could be read.
func parse(name, camera string, text []byte) (parsed, error) {
	p := parsed{Request: Request{Name: name, Camera: camera}}
	if len(text) > MaxSize {
		return p, fmt.Errorf("the command has more than %d bytes", MaxSize)
	}
	var m message
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	err := decoder.Decode(&m)
	if validID.MatchString(m.ID) {
		p.ID = m.ID
	}
	if err != nil {
		return p, fmt.Errorf("the command cannot be read: %w", err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return p, errors.New("the command cannot be read: something follows its JSON object")
	}
	switch {
	case m.V != nil && *m.V != 1:
		return p, fmt.Errorf("version %d of commands is not known: use 1", *m.V)
	case p.ID == "":
		return p, errors.New(`the command needs an id of 1 to 64 of A-Z, a-z, 0-9, "_", ".", ":" and "-"`)
	}
	if m.ExpiresAt != nil {
		p.expires = *m.ExpiresAt
	}
	sum := sha256.Sum256(append([]byte(name+"\x00"+camera+"\x00"), text...))
	p.sum = hex.EncodeToString(sum[:8])
	return p, p.take(m.Args)
}

// take checks a command's arguments: those that it needs, and no others.
func (p *parsed) take(a arguments) error {
	needs := func(what string, is, may bool) error {
		if is && !may {
			return fmt.Errorf("%s has no argument %s", p.Name, what)
		}
		return nil
	}
	if err := errors.Join(
		needs("camera", a.Camera != nil, p.Name == Snapshot), needs("enabled", a.Enabled != nil, p.Name == Enable),
		needs("label", a.Label != nil, p.Name == Threshold), needs("value", a.Value != nil, p.Name == Threshold),
		needs("url", a.URL != nil, p.Name == Model), needs("sha256", a.SHA256 != nil, p.Name == Model),
	); err != nil {
		return err
	}
	switch p.Name {
	case Snapshot:
		if a.Camera != nil {
			if !validName.MatchString(*a.Camera) {
				return fmt.Errorf("args.camera %q is no camera's name", *a.Camera)
			}
			p.Camera = *a.Camera
		}
	case Enable:
		if a.Enabled == nil {
			return errors.New("args.enabled is missing: true or false")
		}
		p.Enabled = *a.Enabled
	case Threshold:
		if a.Label == nil || *a.Label == "" || len(*a.Label) > 64 {
			return errors.New(`args.label is missing or too long: a label of the model, or "default"`)
		}
		if a.Value == nil || math.IsNaN(*a.Value) || *a.Value < 0 || *a.Value > 1 {
			return errors.New("args.value is missing, or not in 0..1")
		}
		p.Label, p.Value = *a.Label, float32(*a.Value)
	case Model:
		return p.takeModel(a)
	}
	return nil
}

// maxURL is how long a model's URL may be, in bytes: a signed one of a store in the cloud has a few hundred.
const maxURL = 2048

func (p *parsed) takeModel(a arguments) error {
	if a.URL == nil || len(*a.URL) > maxURL {
		return fmt.Errorf("args.url is missing, or has more than %d bytes", maxURL)
	}
	if u, err := url.Parse(*a.URL); err != nil || u.Scheme != "https" || u.Host == "" {
		return errors.New("args.url is no https URL")
	}
	if a.SHA256 == nil || !validSHA256.MatchString(*a.SHA256) {
		return errors.New("args.sha256 is missing, or not the 64 hexadecimal digits of a SHA-256")
	}
	p.URL, p.SHA256 = *a.URL, *a.SHA256
	return nil
}
