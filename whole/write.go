// Package whole replaces small files so that a power cut leaves either the old content or the new one.
package whole

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// Write puts content in path, with this mode whatever the process's mask is. When it returns without an error the file and its
// name are on the disk; with one, the file is as it was, but where only the folder could not be synced. What is half written is in
// one file beside it, .NAME.new, which the next Write takes away: a service that is killed again and again leaves one at most. Two
// at once on one path are the caller's to keep apart. What root writes belongs to whom the folder belongs: what a command writes
// into a service's folder, the service has to read and to replace.
func Write(path string, mode fs.FileMode, content []byte) error {
	if err := write(path, mode, content); err != nil {
		return fmt.Errorf("cannot write %s: %w", path, err)
	}
	return nil
}

func write(path string, mode fs.FileMode, content []byte) error {
	folder, name := filepath.Split(path)
	fresh := filepath.Join(folder, "."+name+".new")
	if err := os.Remove(fresh); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	file, err := os.OpenFile(fresh, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600) // nobody's link is followed
	if err != nil {
		return err
	}
	_, err = file.Write(content)
	if err = errors.Join(err, give(file, folder), file.Chmod(mode), file.Sync(), file.Close()); err == nil {
		err = os.Rename(fresh, path)
	}
	if err != nil {
		os.Remove(fresh)
		return err
	}
	return SyncFolder(filepath.Dir(path))
}

// give gives the file, while root has it open and nobody can have exchanged it, to the owner of its folder.
func give(file *os.File, folder string) error {
	if os.Geteuid() != 0 {
		return nil
	}
	info, err := os.Stat(filepath.Clean(folder))
	if err != nil {
		return err
	}
	owner, ok := info.Sys().(*syscall.Stat_t)
	if !ok || owner.Uid == 0 {
		return nil
	}
	return file.Chown(int(owner.Uid), int(owner.Gid))
}

// SyncFolder brings to the disk which names a folder has.
func SyncFolder(path string) error {
	folder, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("cannot sync the folder: %w", err)
	}
	return errors.Join(folder.Sync(), folder.Close()) // they name the folder
}
