package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"vedette/whole"
)

// Trial is a switch that has yet to prove itself. It is on disk, so that a service which the new model takes down with it finds
// the way back at its next start.
type Trial struct {
	Name    string `json:"name"`
	ID      string `json:"id"` // of the new one
	Version uint64 `json:"version"`
	Starts  int    `json:"starts"` // of the service since the switch
	Origin
	// Which bundles of this name were in use, and the way back, before a switch from another name; "": none.
	Current  string `json:"was_current,omitempty"`
	Previous string `json:"was_previous,omitempty"`
}

// Origin is what a switch leads away from, where that is another name.
type Origin struct {
	Model    string `json:"from,omitempty"`          // what infer.model was; "": the switch is one between versions
	Override string `json:"from_override,omitempty"` // what the overrides had of it; "": nothing
}

const trialFile = "trial.json"

// MaxStarts is how often a service may start on trial: the first start is the switch itself, a second may be a power cut.
const MaxStarts = 3

// Use makes a bundle the one in use of its name, on trial; the one that was becomes the previous one. A model without an ID is no
// bundle: it is on trial alone. Where the name is another one than ran, that is the caller's to change afterwards.
func (s Store) Use(i Installed, from Origin) error {
	unlock, err := s.lock()
	if err != nil {
		return err
	}
	defer unlock()
	before, err := s.target(i.Name, current)
	if err != nil {
		return err
	}
	if before == i.ID && from.Model == "" {
		return nil
	}
	trial := Trial{Name: i.Name, ID: i.ID, Version: i.Version, Origin: from}
	if from.Model != "" {
		trial.Current = before
		if trial.Previous, err = s.target(i.Name, previous); err != nil {
			return err
		}
	}
	if before == i.ID {
		return s.setTrial(trial)
	}
	// One that is damaged is no way back: the one before it stays that.
	if _, err := s.installed(i.Name, before); before != "" && err == nil {
		if err := s.link(i.Name, previous, before); err != nil {
			return err
		}
	}
	if err := s.setTrial(trial); err != nil {
		return err
	}
	return errors.Join(s.link(i.Name, current, i.ID), s.own(i.Name))
}

// Rollback makes the previous bundle the one in use again, and gives it. The other one becomes the previous one.
func (s Store) Rollback(name string) (Installed, error) {
	return s.goBack(name, "")
}

// Undo is Rollback of a switch between versions, where nothing else was switched to meanwhile.
func (s Store) Undo(trial Trial) (Installed, error) { return s.goBack(trial.Name, trial.ID) }

// goBack wants the bundle in use to be from, if that is not empty. What is in use may be damaged, or gone: that is when a way back is
// needed.
func (s Store) goBack(name, from string) (Installed, error) {
	unlock, err := s.lock()
	if err != nil {
		return Installed{}, err
	}
	defer unlock()
	before, err := s.Previous(name)
	if errors.Is(err, ErrNoneInUse) {
		return Installed{}, fmt.Errorf("model %s has no previous version to go back to: switch to another one (vedette model list, vedette model use)", name)
	}
	if err != nil {
		return Installed{}, err
	}
	now, err := s.target(name, current)
	if err != nil {
		return Installed{}, err
	}
	if from != "" && now != from {
		return Installed{}, fmt.Errorf("model %s: another version is in use meanwhile", name)
	}
	if err := s.link(name, current, before.ID); err != nil {
		return Installed{}, err
	}
	if now != "" {
		if err := s.link(name, previous, now); err != nil {
			return Installed{}, err
		}
	}
	if err := errors.Join(s.EndTrial(), s.own(name)); err != nil {
		return Installed{}, err
	}
	return s.Current(name)
}

// Abandon undoes what a switch from another name has done here: which bundles of its name are in use is as it was before.
func (s Store) Abandon(trial Trial) error {
	unlock, err := s.lock()
	if err != nil {
		return err
	}
	defer unlock()
	now, err := s.target(trial.Name, current)
	if err != nil {
		return err
	}
	if now == trial.ID && trial.Current != trial.ID {
		if err := errors.Join(s.link(trial.Name, current, trial.Current), s.link(trial.Name, previous, trial.Previous), s.own(trial.Name)); err != nil {
			return err
		}
	}
	if on, ok, err := s.Trial(); err != nil || !ok || on.Name != trial.Name || on.ID != trial.ID {
		return err
	}
	return s.EndTrial()
}

// Trial gives the switch that is on trial; ok tells whether there is one.
func (s Store) Trial() (trial Trial, ok bool, err error) {
	path := filepath.Join(s.root, trialFile)
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return Trial{}, false, nil
	}
	if err == nil {
		err = json.Unmarshal(text, &trial)
	}
	if err != nil {
		return Trial{}, false, fmt.Errorf("cannot read which model is on trial, %s: %w: remove it once the model in use has proved itself",
			path, err)
	}
	return trial, true, nil
}

// Start counts a start of the service, and tells whether the switch on trial has had enough of them.
func (s Store) Start() (trial Trial, ok, spent bool, err error) {
	trial, ok, err = s.Trial()
	if err != nil || !ok {
		return Trial{}, false, false, err
	}
	trial.Starts++
	return trial, true, trial.Starts > MaxStarts, s.setTrial(trial)
}

// EndTrial says that the switch is proved, or undone.
func (s Store) EndTrial() error {
	if err := os.Remove(filepath.Join(s.root, trialFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("cannot end the model's trial: %w", err)
	}
	return nil
}

func (s Store) setTrial(trial Trial) error {
	text, err := json.Marshal(trial)
	if err != nil {
		return fmt.Errorf("cannot note which model is on trial: %w", err)
	}
	path := filepath.Join(s.root, trialFile)
	return errors.Join(whole.Write(path, 0o644, append(text, '\n')), s.own(trialFile))
}

// link points a link of a name's folder somewhere else, in one step; without an id it is taken away.
func (s Store) link(name, link, id string) error {
	path := filepath.Join(s.home(name), link)
	if id == "" {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("cannot switch model %s: %w", name, err)
		}
		return whole.SyncFolder(s.home(name))
	}
	temporary := path + ".new"
	if err := os.Remove(temporary); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("cannot switch model %s: %w", name, err)
	}
	if err := os.Symlink(id, temporary); err != nil {
		return fmt.Errorf("cannot switch model %s: %w", name, err)
	}
	if err := os.Rename(temporary, path); err != nil {
		return fmt.Errorf("cannot switch model %s: %w", name, err)
	}
	return whole.SyncFolder(s.home(name))
}

// lockWithin is how long another change of the store is waited for: an installation of a large bundle.
const lockWithin = time.Minute

// lock keeps other processes from changing the store, until unlock. (flock(2): it goes with the process.)
func (s Store) lock() (unlock func(), err error) {
	if err := os.MkdirAll(s.root, 0o755); err != nil {
		return nil, fmt.Errorf("cannot make the folder of models: %w", err)
	}
	if info, err := os.Lstat(s.root); err != nil || !info.IsDir() {
		return nil, errors.Join(fmt.Errorf("%s is to be a folder: a link is not followed, set state_dir to where it leads", s.root), err)
	}
	folder, err := os.Open(s.root)
	if err != nil {
		return nil, fmt.Errorf("cannot lock the folder of models: %w", err)
	}
	deadline := time.Now().Add(lockWithin)
	for {
		err := unix.Flock(int(folder.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return func() { folder.Close() }, nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) || time.Now().After(deadline) {
			return nil, errors.Join(fmt.Errorf("cannot lock %s: %w: does another 'vedette model' run?", s.root, err), folder.Close())
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// own gives what root has written to whom the folder around the store belongs: the service has to switch back by itself. names lie in
// the folder of models, each with all that is in it. No link is followed, whatever the service puts in one's way meanwhile.
func (s Store) own(names ...string) (err error) {
	if os.Geteuid() != 0 {
		return nil
	}
	fail := func(err error) error { return fmt.Errorf("cannot give the models to the service: %w", err) }
	around, err := os.OpenRoot(filepath.Dir(s.root))
	if err != nil {
		return fail(err)
	}
	defer func() { err = errors.Join(err, around.Close()) }()
	info, err := around.Stat(".")
	if err != nil {
		return fail(err)
	}
	owner, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return nil
	}
	models := filepath.Base(s.root)
	give := func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return around.Lchown(path, int(owner.Uid), int(owner.Gid))
	}
	if err := give(models, nil, nil); err != nil {
		return fail(err)
	}
	for _, name := range names {
		if err := fs.WalkDir(around.FS(), models+"/"+name, give); err != nil {
			return fail(err)
		}
	}
	return nil
}
