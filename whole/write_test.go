package whole

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestWriteReplacesContentAndMode(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "file")
	for _, step := range []struct {
		content string
		mode    fs.FileMode
	}{{"first", 0o666}, {"second, longer", 0o600}, {"", 0o640}} {
		if err := Write(path, step.mode, []byte(step.content)); err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(path)
		info, infoErr := os.Stat(path)
		if err != nil || infoErr != nil || string(text) != step.content || info.Mode() != step.mode {
			t.Errorf("%q with %v (%v, %v), not %q with %v", text, info.Mode(), err, infoErr, step.content, step.mode)
		}
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("%v, %v beside it", entries, err)
	}
}

// What a killed process has left is replaced, and a link that somebody put there is not written through.
func TestWhatLiesInTheWayIsTakenAway(t *testing.T) {
	dir := t.TempDir()
	path, other := filepath.Join(dir, "file"), filepath.Join(dir, "other")
	if err := os.WriteFile(other, []byte("other's"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(other, filepath.Join(dir, ".file.new")); err != nil {
		t.Fatal(err)
	}
	if err := Write(path, 0o600, []byte("new")); err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(other); err != nil || string(text) != "other's" {
		t.Errorf("the link's target is %q, %v", text, err)
	}
	if text, err := os.ReadFile(path); err != nil || string(text) != "new" {
		t.Errorf("%q, %v", text, err)
	}
}

func TestAFailureLeavesWhatWasThere(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "file")
	if err := os.Mkdir(path, 0o700); err != nil { // a file cannot replace it
		t.Fatal(err)
	}
	if err := Write(path, 0o600, []byte("new")); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("%v", err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 || !entries[0].IsDir() {
		t.Errorf("%v, %v", entries, err)
	}
	if err := Write(filepath.Join(dir, "none", "file"), 0o600, nil); err == nil {
		t.Error("it is written into a folder that is not there")
	}
}

// A command that root runs must not lock the service out of its own file.
func TestWhatRootWritesIsTheFoldersOwners(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("skipped: root alone gives files away")
	}
	const nobody = 65534
	dir := t.TempDir()
	path := filepath.Join(dir, "overrides.yaml")
	for _, owner := range []int{nobody, 0} {
		if err := os.Chown(dir, owner, owner); err != nil {
			t.Fatal(err)
		}
		if err := Write(path, 0o600, nil); err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if has := info.Sys().(*syscall.Stat_t); int(has.Uid) != owner || int(has.Gid) != owner || info.Mode() != 0o600 {
			t.Errorf("in a folder of %d it belongs to %d:%d with %v", owner, has.Uid, has.Gid, info.Mode())
		}
	}
}
