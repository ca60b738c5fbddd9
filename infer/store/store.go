// Package store keeps installed model bundles on disk, and says which one of each name is in use.
//
//	models/NAME/sha256-…/     a bundle's files, as its manifest names them
//	models/NAME/current       a link to the one in use
//	models/NAME/previous      a link to the one before it, where rollback goes
//	models/NAME/floor         the highest version that was ever there: a lower one is not taken
//	models/trial.json         a switch that has yet to prove itself
//
// Each change is one rename: a power cut leaves the old or the new, never half.
package store

import (
	"cmp"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/mod/semver"

	"vedette/infer/bundle"
	"vedette/whole"
)

// The links' names, and what a folder that is being filled begins with.
const (
	current  = "current"
	previous = "previous"
	floor    = "floor"
	incoming = ".incoming-"
	idPrefix = "sha256-"
	idLength = len(idPrefix) + 2*sha256.Size
)

// Store is the folder of models. Its methods may be called by one process at a time that changes something; a lock sees to it.
type Store struct{ root string }

// New names the folder; it need not be there.
func New(root string) Store { return Store{root} }

// Installed is a bundle in the store.
type Installed struct {
	Name     string `json:"name"`
	Version  uint64 `json:"version"`
	ID       string `json:"id"`
	Signed   bool   `json:"signed"`
	Current  bool   `json:"current"`
	Previous bool   `json:"previous"`
	Size     int64  `json:"size_bytes"`
	// Damaged is why it cannot be used; then the version and the rest of its manifest are not known.
	Damaged string `json:"damaged,omitempty"`

	Manifest bundle.Manifest `json:"-"`
	Folder   string          `json:"-"`
}

// Model is the path of the bundle's model.
func (i Installed) Model() string { return filepath.Join(i.Folder, bundle.ModelFile) }

// Policy is what a bundle has to meet to be taken or used.
type Policy struct {
	Keys          bundle.Keys
	AllowUnsigned bool      // the operator answers for it
	Now           time.Time // for expiry
	Vedette       string    // this program's version; one that is no semantic version meets every demand
	RuntimeAPI    int       // of the ONNX Runtime at hand, as 1.x's minor; 0: not known
	Bound         int64     // bytes that all models may take; 0: none
}

// Check tells whether a bundle's manifest meets the policy, its signature apart.
func (p Policy) Check(m bundle.Manifest) error {
	if m.Expires != nil && !p.Now.Before(*m.Expires) {
		return fmt.Errorf("it has expired on %s", m.Expires.UTC().Format(time.RFC3339))
	}
	if m.MinVedette != "" && semver.IsValid(p.Vedette) && semver.Compare(p.Vedette, m.MinVedette) < 0 {
		return fmt.Errorf("it needs Vedette %s, and this is %s", m.MinVedette, p.Vedette)
	}
	if p.RuntimeAPI != 0 && m.RuntimeAPI > p.RuntimeAPI {
		return fmt.Errorf("it needs ONNX Runtime 1.%d, and here is 1.%d", m.RuntimeAPI, p.RuntimeAPI)
	}
	return nil
}

// Add installs a bundle, and gives the one that is there already where it is the same. It does not use it. On an error nothing has
// changed.
func (s Store) Add(r *bundle.Reader, p Policy) (Installed, error) {
	m := &r.Manifest
	fail := func(err error) (Installed, error) {
		return Installed{}, fmt.Errorf("model %s version %d is refused: %w", m.Name, m.Version, err)
	}
	_, err := p.Keys.Verify(r.Text, r.Signature)
	if unsigned := errors.Is(err, bundle.ErrUnsigned); err != nil && (!unsigned || !p.AllowUnsigned) {
		return fail(err)
	}
	if err := p.Check(*m); err != nil {
		return fail(err)
	}
	unlock, err := s.lock()
	if err != nil {
		return Installed{}, err
	}
	defer unlock()
	there, err := s.versions(m.Name)
	if err != nil {
		return Installed{}, err
	}
	lowest, err := s.floor(m.Name)
	if err != nil {
		return Installed{}, err
	}
	if m.Version < lowest {
		return fail(fmt.Errorf("version %d was here already, and an older one is not taken", lowest))
	}
	for _, i := range there {
		if i.ID == r.ID() && i.Damaged == "" && s.Verify(i) == nil {
			return i, nil
		}
		if i.ID == r.ID() {
			continue // it is damaged, and takes its own place
		}
		if i.Version == m.Version {
			return fail(errors.New("a bundle of this version with other content is installed: count the version up"))
		}
	}
	if err := s.sweep(); err != nil {
		return fail(err)
	}
	if _, err := s.superfluous(m.Size(), p.Bound); err != nil {
		return fail(err)
	}
	installed, err := s.extract(r, p.Bound)
	if err != nil {
		return fail(err)
	}
	return installed, s.own(m.Name)
}

func (s Store) extract(r *bundle.Reader, bound int64) (Installed, error) {
	home := s.home(r.Manifest.Name)
	made := false
	if _, err := os.Stat(home); errors.Is(err, fs.ErrNotExist) {
		made = true
	}
	if err := os.MkdirAll(home, 0o755); err != nil {
		return Installed{}, fmt.Errorf("cannot make its folder: %w", err)
	}
	folder, err := os.MkdirTemp(home, incoming)
	if err != nil {
		return Installed{}, fmt.Errorf("cannot make its folder: %w", err)
	}
	final := filepath.Join(home, r.ID())
	err = r.Extract(folder)
	if err == nil {
		err = os.Chmod(folder, 0o755) //nolint:gosec // models are no secret, and the worker reads them
	}
	if err == nil { // not before it is known to be good
		err = s.makeRoom(r.Manifest.Size(), bound)
	}
	if err == nil {
		err = whole.Write(filepath.Join(home, floor), 0o644, append(strconv.AppendUint(nil, r.Manifest.Version, 10), '\n'))
	}
	if err == nil {
		err = os.RemoveAll(final) // a damaged one
	}
	if err == nil {
		err = os.Rename(folder, final)
	}
	if err != nil {
		err = errors.Join(err, os.RemoveAll(folder))
		if made {
			err = errors.Join(err, os.RemoveAll(home))
		}
		return Installed{}, err
	}
	if err := whole.SyncFolder(home); err != nil {
		return Installed{}, err
	}
	return s.installed(r.Manifest.Name, r.ID())
}

// Next is the version that a model without one gets: above all that were ever there.
func (s Store) Next(name string) (uint64, error) {
	highest, err := s.floor(name)
	return highest + 1, err
}

// List gives what is installed, by name and version. Remains of an interrupted installation are not listed, and go with the next.
func (s Store) List() ([]Installed, error) {
	entries, err := os.ReadDir(s.root)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("cannot list the models: %w", err)
	}
	var all []Installed
	for _, entry := range entries {
		if !entry.IsDir() || bundle.ValidateName(entry.Name()) != nil {
			continue
		}
		versions, err := s.versions(entry.Name())
		if err != nil {
			return nil, err
		}
		all = append(all, versions...)
	}
	return all, nil
}

// ErrNoneInUse says that no bundle of a name was ever switched to; or, of Previous, that there was none before.
var ErrNoneInUse = errors.New("no bundle is in use")

// Current gives the bundle of that name that is in use; ErrNoneInUse where there is none. One that is damaged or gone is another
// error: nobody chose what would be used in its place.
func (s Store) Current(name string) (Installed, error) { return s.linked(name, current) }

// Previous gives the one that was in use before; ErrNoneInUse where there is none.
func (s Store) Previous(name string) (Installed, error) { return s.linked(name, previous) }

func (s Store) linked(name, link string) (Installed, error) {
	if err := bundle.ValidateName(name); err != nil {
		return Installed{}, err
	}
	id, err := s.target(name, link)
	if err != nil {
		return Installed{}, err
	}
	if id == "" {
		return Installed{}, fmt.Errorf("model %s: %w", name, ErrNoneInUse)
	}
	i, err := s.installed(name, id)
	if err != nil {
		err = fmt.Errorf("model %s: what %s leads to cannot be used: %w: go back (vedette model rollback %[1]s), or install one and switch "+
			"to it (vedette model add, vedette model use)", name, filepath.Join(s.home(name), link), err)
	}
	return i, err
}

// target is the bundle that a link leads to, whatever state that is in; "" where there is no link.
func (s Store) target(name, link string) (id string, err error) {
	id, err = os.Readlink(filepath.Join(s.home(name), link))
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("cannot tell which bundle of model %s is in use: %w", name, err)
	}
	return id, nil
}

// ErrNotInstalled says that there is no bundle of a name.
var ErrNotInstalled = errors.New("no bundle is installed of model")

// Find gives an installed bundle: of that version, or the highest where version is 0.
func (s Store) Find(name string, version uint64) (Installed, error) {
	if err := bundle.ValidateName(name); err != nil {
		return Installed{}, err
	}
	all, err := s.versions(name)
	if err != nil {
		return Installed{}, err
	}
	if len(all) == 0 {
		return Installed{}, fmt.Errorf("%w %s: see 'vedette model list'", ErrNotInstalled, name)
	}
	highest := all[len(all)-1]
	if highest.Damaged != "" {
		return Installed{}, errors.New(highest.Damaged)
	}
	if version == 0 {
		return highest, nil
	}
	for _, i := range all {
		if i.Version == version {
			return i, nil
		}
	}
	return Installed{}, fmt.Errorf("model %s version %d is not installed: see 'vedette model list'", name, version)
}

func (s Store) versions(name string) ([]Installed, error) {
	entries, err := os.ReadDir(s.home(name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("cannot list model %s: %w", name, err)
	}
	var all []Installed
	for _, entry := range entries {
		id := entry.Name()
		if !entry.IsDir() || !strings.HasPrefix(id, idPrefix) || len(id) != idLength {
			continue
		}
		i, err := s.installed(name, id)
		if err != nil { // it must not stand in the way of the others
			i = s.named(name, id)
			i.Damaged = err.Error()
		}
		all = append(all, i)
	}
	slices.SortFunc(all, func(a, b Installed) int { return cmp.Compare(a.Version, b.Version) })
	return all, nil
}

func (s Store) installed(name, id string) (Installed, error) {
	if !strings.HasPrefix(id, idPrefix) || strings.ContainsAny(id, "/\\") {
		return Installed{}, fmt.Errorf("model %s: a link leads to %q, which is no bundle in the store", name, id)
	}
	i := s.named(name, id)
	r, err := bundle.Open(i.Folder)
	if err != nil {
		return Installed{}, err
	}
	if r.ID() != id || r.Manifest.Name != name {
		return Installed{}, fmt.Errorf("model %s: %s was changed after it was installed: install it again", name, i.Folder)
	}
	i.Version, i.Signed, i.Size, i.Manifest = r.Manifest.Version, len(r.Signature) > 0, r.Manifest.Size(), r.Manifest
	return i, nil
}

// named is what is known of a bundle without a look into it.
func (s Store) named(name, id string) Installed {
	is := func(link string) bool {
		target, err := s.target(name, link)
		return err == nil && target == id
	}
	return Installed{Name: name, ID: id, Current: is(current), Previous: is(previous), Folder: filepath.Join(s.home(name), id)}
}

// Verify reads an installed bundle whole and compares it with its manifest.
func (s Store) Verify(i Installed) error {
	r, err := bundle.Open(i.Folder)
	if err != nil {
		return err
	}
	defer r.Close()
	return r.Check()
}

func (s Store) home(name string) string { return filepath.Join(s.root, name) }

func (s Store) floor(name string) (uint64, error) {
	path := filepath.Join(s.home(name), floor)
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("cannot read which version of model %s was here: %w", name, err)
	}
	version, err := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%s: %q is no version: write the highest version that was ever installed into it", path, text)
	}
	return version, nil
}

// sweep removes what interrupted installations left.
func (s Store) sweep() error {
	left, err := filepath.Glob(filepath.Join(s.root, "*", incoming+"*"))
	if err != nil {
		return err
	}
	for _, folder := range left {
		if err := os.RemoveAll(folder); err != nil {
			return fmt.Errorf("cannot remove what an interrupted installation left: %w", err)
		}
	}
	return nil
}

// superfluous is what has to go so that so many more bytes fit: what is neither in use nor the way back, oldest first.
func (s Store) superfluous(more, bound int64) (all []Installed, err error) {
	if bound == 0 {
		return nil, nil
	}
	there, err := s.List()
	if err != nil {
		return nil, err
	}
	used := more
	for _, i := range there {
		used += i.Size
	}
	for _, i := range there {
		if used > bound && !i.Current && !i.Previous {
			all, used = append(all, i), used-i.Size
		}
	}
	if used > bound {
		return nil, fmt.Errorf("with it the models would take %d MiB, and %d may: models in use and those before them are not removed",
			used>>20, bound>>20)
	}
	return all, nil
}

func (s Store) makeRoom(more, bound int64) error {
	all, err := s.superfluous(more, bound)
	if err != nil {
		return err
	}
	for _, i := range all {
		if err := os.RemoveAll(i.Folder); err != nil {
			return fmt.Errorf("cannot make room: %w", err)
		}
	}
	return nil
}
