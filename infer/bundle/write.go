package bundle

import (
	"archive/tar"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// Source is a file that goes into a bundle.
type Source struct {
	Name string // in the bundle
	Path string // on disk
}

// Pack writes a bundle as an archive to path, which it replaces as a whole. The manifest's Files are made from sources, and a
// bundle of the same content is the same bytes. Without a key it is not signed.
func Pack(path string, m Manifest, sources []Source, key *SecretKey) (err error) {
	m.V, m.Files = ManifestVersion, nil
	m.Created = m.Created.UTC()
	for _, source := range sources {
		f, err := describe(source)
		if err != nil {
			return fmt.Errorf("cannot pack the bundle: %w", err)
		}
		m.Files = append(m.Files, f)
	}
	if err := m.validate(); err != nil {
		return fmt.Errorf("cannot pack the bundle: %w", err)
	}
	text, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return fmt.Errorf("cannot pack the bundle: %w", err)
	}
	text = append(text, '\n')
	if len(text) > maxManifest {
		return fmt.Errorf("cannot pack the bundle: its manifest has %d bytes, more than %d", len(text), maxManifest)
	}
	out, err := os.CreateTemp(filepath.Dir(path), ".bundle-*")
	if err != nil {
		return fmt.Errorf("cannot pack the bundle: %w", err)
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("cannot pack the bundle: %w", errors.Join(err, out.Close(), os.Remove(out.Name())))
		}
	}()
	archive := tar.NewWriter(out)
	if err := member(archive, m, ManifestFile, text); err != nil {
		return err
	}
	if key != nil {
		comment := fmt.Sprintf("name:%s version:%d", m.Name, m.Version)
		if err := member(archive, m, SignatureFile, key.Sign(text, comment)); err != nil {
			return err
		}
	}
	for i, source := range sources {
		if err := copyFile(archive, m, m.Files[i], source.Path); err != nil {
			return err
		}
	}
	if err := errors.Join(archive.Close(), out.Chmod(0o644), out.Sync()); err != nil {
		return err
	}
	if err := os.Rename(out.Name(), path); err != nil {
		return err
	}
	return out.Close()
}

func describe(source Source) (File, error) {
	file, err := os.Open(source.Path)
	if err != nil {
		return File{}, err
	}
	defer file.Close()
	hash := sha256.New()
	n, err := io.Copy(hash, file)
	if err != nil {
		return File{}, err
	}
	return File{Name: source.Name, Size: n, SHA256: hex.EncodeToString(hash.Sum(nil))}, nil
}

func header(m Manifest, name string, size int64) *tar.Header {
	return &tar.Header{Typeflag: tar.TypeReg, Name: name, Size: size, Mode: 0o644, ModTime: m.Created.Truncate(1e9)}
}

func member(archive *tar.Writer, m Manifest, name string, text []byte) error {
	if err := archive.WriteHeader(header(m, name, int64(len(text)))); err != nil {
		return err
	}
	_, err := archive.Write(text)
	return err
}

func copyFile(archive *tar.Writer, m Manifest, f File, path string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	if err := archive.WriteHeader(header(m, f.Name, f.Size)); err != nil {
		return err
	}
	if _, err := io.Copy(archive, file); err != nil { // one that has changed meanwhile is longer or shorter than its header
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}
