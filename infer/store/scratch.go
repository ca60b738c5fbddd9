package store

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"
)

// Scratch is a folder of the store's for what is being fetched or made, on the file system that it will be installed on.
func (s Store) Scratch() (string, error) {
	folder := filepath.Join(s.root, incoming+"scratch")
	if info, err := os.Lstat(folder); err == nil && (!info.IsDir() || !mine(info)) { // others could exchange what was checked
		if err := os.RemoveAll(folder); err != nil {
			return "", fmt.Errorf("cannot make room in the folder of models: %w", err)
		}
	}
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return "", fmt.Errorf("cannot make room in the folder of models: %w", err)
	}
	entries, err := os.ReadDir(folder)
	if err != nil {
		return "", fmt.Errorf("cannot list what is being fetched: %w", err)
	}
	var parts []fs.FileInfo
	for _, entry := range entries {
		if info, err := entry.Info(); err == nil {
			parts = append(parts, info)
		}
	}
	slices.SortFunc(parts, func(a, b fs.FileInfo) int { return b.ModTime().Compare(a.ModTime()) }) // the newest first
	kept := int64(0)
	for _, part := range parts {
		if kept += part.Size(); time.Since(part.ModTime()) < goneOnWithin && kept <= mostScratch {
			continue
		}
		if err := os.RemoveAll(filepath.Join(folder, part.Name())); err != nil {
			return "", fmt.Errorf("cannot remove a part of what was once fetched: %w", err)
		}
	}
	return folder, nil
}

// goneOnWithin is how long a part of a download is kept for the next try, mostScratch how many bytes of them all: the oldest go first.
const (
	goneOnWithin = 7 * 24 * time.Hour
	mostScratch  = 2 << 30
)

func mine(info fs.FileInfo) bool {
	owner, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(owner.Uid) == os.Geteuid()
}
