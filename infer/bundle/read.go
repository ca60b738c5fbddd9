package bundle

import (
	"archive/tar"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"vedette/whole"
)

// Reader is a bundle that is being read: its manifest and signature are there, its files come by Extract. None of it is
// trusted before Keys.Verify has said so.
type Reader struct {
	Manifest  Manifest
	Text      []byte // the manifest's bytes, which are signed
	Signature []byte // empty where there is none
	members   members
	closer    io.Closer
}

// members gives the files that follow the manifest.
type members interface {
	// open gives a file by name; it is asked for each once, in the manifest's order.
	open(f File) (io.ReadCloser, error)
	// end tells whether there is anything that the manifest does not name.
	end(m *Manifest) error
}

// Open reads the manifest of a bundle: an archive that Pack wrote, or a folder with the same files.
func Open(path string) (*Reader, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("cannot read the bundle: %w", err)
	}
	var r *Reader
	if info.IsDir() {
		r, err = openFolder(path)
	} else {
		r, err = openArchive(path)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read the bundle %s: %w", path, err)
	}
	return r, nil
}

// Close lets the bundle's file go.
func (r *Reader) Close() error { return r.closer.Close() }

// ID names the bundle.
func (r *Reader) ID() string { return ID(r.Text) }

// Extract writes the bundle into a folder that is there and empty, and syncs it. Each file's size and hash is checked while it is
// written. On an error the folder is the caller's to remove.
func (r *Reader) Extract(folder string) error {
	for _, f := range r.Manifest.Files {
		if err := r.extract(f, folder); err != nil {
			return fmt.Errorf("%s: %w", f.Name, err)
		}
	}
	if err := r.members.end(&r.Manifest); err != nil {
		return err
	}
	texts := map[string][]byte{ManifestFile: r.Text}
	if len(r.Signature) > 0 {
		texts[SignatureFile] = r.Signature
	}
	for name, text := range texts {
		err := write(filepath.Join(folder, name), func(w io.Writer) error {
			_, err := w.Write(text)
			return err
		})
		if err != nil {
			return err
		}
	}
	return whole.SyncFolder(folder)
}

// Check reads the bundle to its end as Extract does, and writes nothing.
func (r *Reader) Check() error {
	for _, f := range r.Manifest.Files {
		if err := r.check(f, io.Discard); err != nil {
			return fmt.Errorf("%s: %w", f.Name, err)
		}
	}
	return r.members.end(&r.Manifest)
}

func (r *Reader) extract(f File, folder string) error {
	return write(filepath.Join(folder, f.Name), func(w io.Writer) error { return r.check(f, w) })
}

// check copies a file to w, and tells whether it was the one that the manifest names.
func (r *Reader) check(f File, w io.Writer) error {
	file, err := r.members.open(f)
	if err != nil {
		return err
	}
	defer file.Close()
	hash := sha256.New()
	n, err := io.Copy(io.MultiWriter(w, hash), io.LimitReader(file, f.Size+1))
	switch {
	case err != nil:
		return fmt.Errorf("after %d bytes: %w", n, err)
	case n != f.Size:
		return fmt.Errorf("it is not of the %d bytes that the manifest says", f.Size)
	case hex.EncodeToString(hash.Sum(nil)) != f.SHA256:
		return errors.New("its SHA-256 is not the manifest's: it was exchanged or damaged")
	}
	return nil
}

func write(path string, fill func(io.Writer) error) (err error) {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return fmt.Errorf("cannot write: %w", err)
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	if err := fill(file); err != nil {
		return err
	}
	return file.Sync()
}

func readAll(r io.Reader, name string, most int64) ([]byte, error) {
	text, err := io.ReadAll(io.LimitReader(r, most+1))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if int64(len(text)) > most {
		return nil, fmt.Errorf("%s has more than %d bytes", name, most)
	}
	return text, nil
}

// folder is a bundle as plain files. Links are not followed.
type folder struct{ path string }

func openFolder(path string) (*Reader, error) {
	files := folder{path}
	text, err := files.read(ManifestFile, maxManifest)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("the folder has no %s: is it a bundle?", ManifestFile)
	}
	if err != nil {
		return nil, err
	}
	signature, err := files.read(SignatureFile, maxSignature)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	manifest, err := Decode(text)
	if err != nil {
		return nil, err
	}
	return &Reader{Manifest: manifest, Text: text, Signature: signature, members: files, closer: io.NopCloser(nil)}, nil
}

func (f folder) read(name string, most int64) ([]byte, error) {
	file, err := f.openName(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return readAll(file, name, most)
}

func (f folder) openName(name string) (*os.File, error) {
	// O_NONBLOCK: a pipe of that name would be waited for.
	file, err := os.OpenFile(filepath.Join(f.path, name), os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is no plain file", name)
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}

func (f folder) open(file File) (io.ReadCloser, error) { return f.openName(file.Name) }

// end has nothing to say: what else lies in a folder is not taken.
func (folder) end(*Manifest) error { return nil }

// archive is a bundle as a tar archive: the manifest, its signature, then the files in the manifest's order.
type archive struct {
	tar   *tar.Reader
	first *tar.Header // read already; nil: read on
}

func openArchive(path string) (*Reader, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	r, err := readArchive(file)
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	r.closer = file
	return r, nil
}

func readArchive(from io.Reader) (*Reader, error) {
	a := &archive{tar: tar.NewReader(from)}
	if err := a.expect(ManifestFile); err != nil {
		return nil, fmt.Errorf("%w: is it a bundle?", err)
	}
	text, err := readAll(a.tar, ManifestFile, maxManifest)
	if err != nil {
		return nil, err
	}
	manifest, err := Decode(text)
	if err != nil {
		return nil, err
	}
	var signature []byte
	header, err := a.next()
	if err == nil && header.Name == SignatureFile {
		if signature, err = readAll(a.tar, SignatureFile, maxSignature); err != nil {
			return nil, err
		}
	} else if err == nil {
		a.first = header
	}
	if err != nil {
		return nil, err
	}
	return &Reader{Manifest: manifest, Text: text, Signature: signature, members: a}, nil
}

// next gives the next member's header: of a plain file, or an error.
func (a *archive) next() (*tar.Header, error) {
	if header := a.first; header != nil {
		a.first = nil
		return header, nil
	}
	header, err := a.tar.Next()
	switch {
	case errors.Is(err, io.EOF):
		return nil, errors.New("the archive ends too early")
	case err != nil:
		return nil, fmt.Errorf("it is no tar archive, or damaged: %w", err)
	case header.Typeflag != tar.TypeReg:
		return nil, fmt.Errorf("the member %q is no plain file", header.Name)
	}
	return header, nil
}

func (a *archive) expect(name string) error {
	header, err := a.next()
	if err != nil {
		return err
	}
	if header.Name != name {
		return fmt.Errorf("the archive has %q where %s belongs", header.Name, name)
	}
	return nil
}

func (a *archive) open(f File) (io.ReadCloser, error) {
	if err := a.expect(f.Name); err != nil {
		return nil, err
	}
	return io.NopCloser(a.tar), nil
}

func (a *archive) end(*Manifest) error {
	header, err := a.tar.Next()
	if errors.Is(err, io.EOF) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("the archive is damaged behind its last file: %w", err)
	}
	return fmt.Errorf("the archive has a member that the manifest does not name: %q", header.Name)
}
