package store

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"vedette/infer/bundle"
)

// Whatever became of the bundle in use: it is an error that says what to do, and the way back is open.
func TestDamageToTheOneInUseLeavesTheWayBack(t *testing.T) {
	for name, damage := range map[string]func(t *testing.T, folder string) error{
		"gone": func(_ *testing.T, folder string) error { return os.RemoveAll(folder) },
		"emptied": func(_ *testing.T, folder string) error {
			return os.Truncate(filepath.Join(folder, bundle.ManifestFile), 0)
		},
		"exchange": func(t *testing.T, folder string) error {
			put(t, filepath.Join(folder, bundle.ManifestFile), []byte("{}"))
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			key, s := newSigner(t), New(filepath.Join(t.TempDir(), "models"))
			var last Installed
			for version := range uint64(2) {
				last = mustAdd(t, s, key.pack(t, version+1, "old", nil), key.policy())
				if err := s.Use(last, Origin{}); err != nil {
					t.Fatal(err)
				}
			}
			if err := damage(t, last.Folder); err != nil {
				t.Fatal(err)
			}
			if _, err := s.Current("yard"); err == nil || errors.Is(err, ErrNoneInUse) || !strings.Contains(err.Error(), "vedette model rollback yard") {
				t.Errorf("the one in use: %v", err)
			}
			all, err := s.List()
			if err != nil || len(all) == 2 && all[0].Damaged == "" && all[1].Damaged == "" {
				t.Errorf("listed: %+v, %v", all, err)
			}
			trial, ok, err := s.Trial()
			if err != nil || !ok || trial.Version != 2 {
				t.Fatalf("on trial is %+v, %v, %v", trial, ok, err)
			}
			if back, err := s.Undo(trial); err != nil || back.Version != 1 {
				t.Errorf("the way back: %+v, %v", back, err)
			}
			again := mustAdd(t, s, key.pack(t, 2, "old", nil), key.policy())
			if err := s.Verify(again); err != nil || again.Version != 2 {
				t.Errorf("installed again: %+v, %v", again, err)
			}
			if err := s.Use(again, Origin{}); err != nil {
				t.Error(err)
			}
			if now, err := s.Current("yard"); err != nil || now.Version != 2 {
				t.Errorf("in use: %+v, %v", now, err)
			}
			if _, err := s.Undo(Trial{Name: "yard", ID: "sha256-another"}); err == nil || !strings.Contains(err.Error(), "meanwhile") {
				t.Errorf("undoing what is not in use: %v", err)
			}
		})
	}
}

func TestADamagedModelIsReplacedByItsBundle(t *testing.T) {
	key, s := newSigner(t), New(filepath.Join(t.TempDir(), "models"))
	packed := key.pack(t, 1, "one", nil)
	put(t, mustAdd(t, s, packed, key.policy()).Model(), []byte("two"))
	if err := s.Verify(mustAdd(t, s, packed, key.policy())); err != nil {
		t.Error(err)
	}
}

func TestScratch(t *testing.T) {
	s := New(filepath.Join(t.TempDir(), "models"))
	folder, err := s.Scratch()
	if err != nil {
		t.Fatal(err)
	}
	old, young := filepath.Join(folder, "old.part"), filepath.Join(folder, "young.part")
	put(t, old, nil)
	put(t, young, nil)
	huge := filepath.Join(folder, "huge.part")
	put(t, huge, nil)
	hour := time.Now().Add(-time.Hour)
	if err := errors.Join(os.Truncate(huge, mostScratch+1), os.Chtimes(huge, hour, hour)); err != nil {
		t.Fatal(err)
	}
	long := time.Now().Add(-2 * goneOnWithin)
	if err := os.Chtimes(old, long, long); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Scratch(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(old); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("what nobody goes on with stays: %v", err)
	}
	if _, err := os.Stat(huge); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("more than may be is kept: %v", err)
	}
	if _, err := os.Stat(young); err != nil {
		t.Error(err)
	}
	elsewhere := t.TempDir()
	if err := errors.Join(os.RemoveAll(folder), os.Symlink(elsewhere, folder)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Scratch(); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Lstat(folder); err != nil || !info.IsDir() {
		t.Errorf("a link is used: %v, %v", info, err)
	}
}

// What root installs is the service's, and nothing else becomes so.
func TestRootGivesTheModelsAwayAndNothingElse(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("skipped: root alone gives files away")
	}
	const nobody = 65534
	state, elsewhere := t.TempDir(), t.TempDir()
	if err := os.Chown(state, nobody, nobody); err != nil {
		t.Fatal(err)
	}
	owner := func(path string) int {
		info, err := os.Lstat(path)
		if err != nil {
			t.Fatal(err)
		}
		return int(info.Sys().(*syscall.Stat_t).Uid)
	}
	key, s := newSigner(t), New(filepath.Join(state, "models"))
	i := mustAdd(t, s, key.pack(t, 1, "one", nil), key.policy())
	if err := s.Use(i, Origin{}); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{s.root, i.Folder, i.Model(), filepath.Join(s.root, "yard", current), filepath.Join(s.root, trialFile)} {
		if owner(path) != nobody {
			t.Errorf("%s is not the service's", path)
		}
	}
	victim := filepath.Join(elsewhere, "yard", "victim")
	if err := os.Mkdir(filepath.Dir(victim), 0o755); err != nil {
		t.Fatal(err)
	}
	put(t, victim, nil)
	if err := errors.Join(os.RemoveAll(s.root), os.Symlink(elsewhere, s.root)); err != nil {
		t.Fatal(err)
	}
	if err := s.own("yard"); err == nil {
		t.Error("a link out of the state directory is followed")
	}
	if owner(victim) != 0 {
		t.Error("what lies elsewhere was given away")
	}
	if _, err := add(t, s, key.pack(t, 2, "two", nil), key.policy()); err == nil || !strings.Contains(err.Error(), "a link is not followed") {
		t.Errorf("installing through a link: %v", err)
	}
}
