// Package bundle reads and writes signed model bundles.
package bundle

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"time"

	"golang.org/x/mod/semver"

	"vedette/infer"
)

// What a bundle's members are called. The model's own manifest, in YAML, is optional.
const (
	ManifestFile  = "manifest.json"
	SignatureFile = "manifest.json.minisig"
	ModelFile     = "model.onnx"
	ModelYAML     = "model.onnx.yaml"
)

// Bounds of what is read. A bundle's own words bound nothing.
const (
	maxManifest  = 256 << 10 // bytes
	maxSignature = 4 << 10   // bytes; minisign's are about 300
	maxFiles     = 64
	maxFileSize  = 4 << 30 // bytes
	maxTotal     = 4 << 30 // bytes
	maxSelfTests = 16
	maxPicture   = 8 << 20 // bytes, of a self-test: they are in memory together
)

// ManifestVersion is the version of the manifest's form.
const ManifestVersion = 1

// Manifest says what a bundle is, and names each of its files by hash. It is what is signed.
type Manifest struct {
	V       int       `json:"v"`       // ManifestVersion
	Name    string    `json:"name"`    // what infer.model calls it: [a-z0-9_-], at most 32 letters
	Version uint64    `json:"version"` // counts up: a device that has had one never takes a lower one
	Created time.Time `json:"created"`
	// Expires is when the bundle is no longer to be installed or switched to; nil: never. One that runs goes on.
	Expires *time.Time `json:"expires,omitempty"`
	// MinVedette is the oldest version of Vedette that can run it, such as v1.4.0; "": any.
	MinVedette string `json:"min_vedette,omitempty"`
	// RuntimeAPI is the oldest ONNX Runtime that can, as the minor version of 1.x; 0: any.
	RuntimeAPI int        `json:"onnxruntime_api,omitempty"`
	Files      []File     `json:"files"`
	SelfTest   []SelfTest `json:"self_test,omitempty"`
}

// File is one file of a bundle.
type File struct {
	Name   string `json:"name"` // without a folder
	Size   int64  `json:"size"` // bytes
	SHA256 string `json:"sha256"`
}

// SelfTest is a picture in the bundle and what the model has to find in it before it is used.
type SelfTest struct {
	Image  string     `json:"image"` // a JPEG, one of Files
	Expect []Expected `json:"expect"`
}

// Expected is one detection of a self-test.
type Expected struct {
	Class int        `json:"class"`
	Score float32    `json:"score"`
	Box   [4]float32 `json:"box"` // x1, y1, x2, y2 in 0..1
}

// A name is part of topics and of paths; a file's is part of paths.
var (
	goodName = regexp.MustCompile(`^[a-z0-9_-]{1,32}$`)            //nolint:gochecknoglobals // compiled once
	goodFile = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._-]*$`) //nolint:gochecknoglobals // compiled once
)

const longestFileName = 128

// ValidateName tells whether a model may be called so.
func ValidateName(name string) error {
	if !goodName.MatchString(name) {
		return fmt.Errorf("%q is no name for a model: use up to 32 of a-z, 0-9, _ and -", name)
	}
	return nil
}

// Decode reads a manifest and checks all that can be checked without its files.
func Decode(text []byte) (Manifest, error) {
	var m Manifest
	if len(text) > maxManifest {
		return m, fmt.Errorf("%s has more than %d bytes", ManifestFile, maxManifest)
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&m); err != nil {
		return Manifest{}, fmt.Errorf("%s: byte %d: %w", ManifestFile, decoder.InputOffset(), err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return Manifest{}, fmt.Errorf("%s: byte %d: more follows the manifest", ManifestFile, decoder.InputOffset())
	}
	if err := m.validate(); err != nil {
		return Manifest{}, fmt.Errorf("%s: %w", ManifestFile, err)
	}
	return m, nil
}

func (m *Manifest) validate() error {
	if m.V != ManifestVersion {
		return fmt.Errorf("v: version %d of the form is not known here, which is %d: use a newer Vedette", m.V, ManifestVersion)
	}
	if err := ValidateName(m.Name); err != nil {
		return fmt.Errorf("name: %w", err)
	}
	if m.Version == 0 {
		return errors.New("version: it counts from 1")
	}
	if m.Created.IsZero() {
		return errors.New("created: a time is needed")
	}
	if m.Expires != nil && !m.Expires.After(m.Created) {
		return errors.New("expires: it is not after created")
	}
	if m.MinVedette != "" && !semver.IsValid(m.MinVedette) {
		return fmt.Errorf("min_vedette: %q is no version such as v1.4.0", m.MinVedette)
	}
	if m.RuntimeAPI < 0 {
		return fmt.Errorf("onnxruntime_api: %d is no minor version", m.RuntimeAPI)
	}
	if err := m.validateFiles(); err != nil {
		return err
	}
	return m.validateSelfTest()
}

func (m *Manifest) validateFiles() error {
	if len(m.Files) > maxFiles {
		return fmt.Errorf("files: more than %d", maxFiles)
	}
	seen := map[string]bool{}
	var total int64
	for i, f := range m.Files {
		switch digest, err := hex.DecodeString(f.SHA256); {
		case len(f.Name) > longestFileName || !goodFile.MatchString(f.Name):
			return fmt.Errorf("files[%d].name: %q is no plain file name", i, f.Name)
		case strings.HasPrefix(f.Name, ManifestFile):
			return fmt.Errorf("files[%d].name: %q is taken", i, f.Name)
		case seen[f.Name]:
			return fmt.Errorf("files[%d].name: %q is there twice", i, f.Name)
		case f.Size < 0 || f.Size > maxFileSize:
			return fmt.Errorf("files[%d].size: %d is outside 0..%d", i, f.Size, int64(maxFileSize))
		case err != nil || len(digest) != sha256.Size || f.SHA256 != strings.ToLower(f.SHA256):
			return fmt.Errorf("files[%d].sha256: %q is no SHA-256 in small hexadecimal digits", i, f.SHA256)
		}
		seen[f.Name] = true
		total += f.Size
	}
	if !seen[ModelFile] {
		return fmt.Errorf("files: there is no %s", ModelFile)
	}
	if total > maxTotal {
		return fmt.Errorf("files: %d bytes in all, more than %d", total, int64(maxTotal))
	}
	return nil
}

func (m *Manifest) validateSelfTest() error {
	if len(m.SelfTest) > maxSelfTests {
		return fmt.Errorf("self_test: more than %d", maxSelfTests)
	}
	for i, test := range m.SelfTest {
		switch f, ok := m.file(test.Image); {
		case !ok:
			return fmt.Errorf("self_test[%d].image: %q is not among files", i, test.Image)
		case f.Size > maxPicture:
			return fmt.Errorf("self_test[%d].image: %q has %d bytes, more than %d", i, test.Image, f.Size, maxPicture)
		}
		if len(test.Expect) > infer.MaxDetections {
			return fmt.Errorf("self_test[%d].expect: more than %d", i, infer.MaxDetections)
		}
		for j, e := range test.Expect {
			box := infer.Box{X1: e.Box[0], Y1: e.Box[1], X2: e.Box[2], Y2: e.Box[3]}
			if e.Class < 0 || !(e.Score >= 0 && e.Score <= 1) || box != box.Clip() || box.X1 > box.X2 || box.Y1 > box.Y2 {
				return fmt.Errorf("self_test[%d].expect[%d]: class, score or box is out of range", i, j)
			}
		}
	}
	return nil
}

func (m *Manifest) file(name string) (File, bool) {
	for _, f := range m.Files {
		if f.Name == name {
			return f, true
		}
	}
	return File{}, false
}

// Size is what the bundle's files take on disk, in bytes.
func (m *Manifest) Size() (sum int64) {
	for _, f := range m.Files {
		sum += f.Size
	}
	return sum
}

// ID names a bundle by its manifest's bytes, and so by all its files'.
func ID(manifest []byte) string {
	sum := sha256.Sum256(manifest)
	return "sha256-" + hex.EncodeToString(sum[:])
}
