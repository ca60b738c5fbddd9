// Package faultlog keeps the last faults on disk, for `vedette doctor` and for who reads a board's disk.
package faultlog

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"vedette/mqtt/payload"
	"vedette/whole"
)

// Bounds. A crash loop must neither fill the disk nor push out how it began: half of what is kept are the oldest.
const (
	maxFaults = 32
	maxFile   = 256 << 10 // bytes: a traceback has 64 KiB at most
)

// Log is a folder with a file for each fault, numbered as they came.
type Log struct{ dir string }

// New names the folder, which Add makes where it is missing.
func New(stateDir string) Log { return Log{filepath.Join(stateDir, "faults")} }

// Add writes a fault: whole or not at all.
func (l Log) Add(fault payload.Fault) error {
	text, err := json.MarshalIndent(fault, "", "  ")
	if err != nil {
		return fmt.Errorf("cannot describe a fault: %w", err)
	}
	if err := os.MkdirAll(l.dir, 0o750); err != nil {
		return fmt.Errorf("cannot keep a fault: %w", err)
	}
	numbers, err := l.numbers()
	if err != nil {
		return err
	}
	next := uint64(1)
	if n := len(numbers); n > 0 {
		next = numbers[n-1] + 1
	}
	if err := whole.Write(l.path(next), 0o600, append(text, '\n')); err != nil {
		return fmt.Errorf("cannot keep a fault: %w", err)
	}
	for numbers = append(numbers, next); len(numbers) > maxFaults; numbers = slices.Delete(numbers, maxFaults/2, maxFaults/2+1) {
		if err := os.Remove(l.path(numbers[maxFaults/2])); err != nil {
			return fmt.Errorf("cannot remove an old fault: %w", err)
		}
	}
	return nil
}

// Faults are those that are kept, oldest first. What cannot be read is left out, and is in the error.
func (l Log) Faults() ([]payload.Fault, error) {
	numbers, err := l.numbers()
	if err != nil {
		return nil, err
	}
	var faults []payload.Fault
	var unreadable []error
	for _, n := range numbers {
		fault, err := read(l.path(n))
		if err != nil {
			unreadable = append(unreadable, err)
			continue
		}
		faults = append(faults, fault)
	}
	return faults, errors.Join(unreadable...)
}

func read(path string) (fault payload.Fault, err error) {
	file, err := os.Open(path)
	if err != nil {
		return fault, fmt.Errorf("cannot read a fault: %w", err)
	}
	defer file.Close()
	if err := json.NewDecoder(io.LimitReader(file, maxFile)).Decode(&fault); err != nil {
		return fault, fmt.Errorf("cannot read the fault %s: %w", path, err)
	}
	return fault, nil
}

func (l Log) path(number uint64) string {
	return filepath.Join(l.dir, fmt.Sprintf("%08d.json", number))
}

// numbers are those of the files that are there, ascending.
func (l Log) numbers() ([]uint64, error) {
	entries, err := os.ReadDir(l.dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read the faults that are kept: %w", err)
	}
	var numbers []uint64
	for _, entry := range entries {
		name, isFault := strings.CutSuffix(entry.Name(), ".json")
		if n, err := strconv.ParseUint(name, 10, 64); isFault && err == nil {
			numbers = append(numbers, n)
		}
	}
	slices.Sort(numbers)
	return numbers, nil
}
