package outbox

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"vedette/whole"
)

// Files is the folder that an outbox is in.
type Files interface {
	// List gives the names of the files, after making the folder where it is missing.
	List() ([]string, error)
	// Read gives a file's content, of which max bytes are enough.
	Read(name string, max int) ([]byte, error)
	// Create makes a file that is not there.
	Create(name string) (File, error)
	Remove(name string) error
}

// File is one that is written.
type File interface {
	io.WriterAt
	// Sync returns when what was written is on the disk, as is the file's name.
	Sync() error
	Close() error
}

// folder is Files on a disk.
type folder struct {
	path string
	lock *os.File // held while the outbox is open: two processes must not write the same segments
}

// Folder is a folder of the operating system's, which one outbox at a time may use.
func Folder(path string) Files { return &folder{path: path} }

// ErrInUse says that another process has the outbox open.
var ErrInUse = errors.New("another process uses this outbox")

func (f *folder) List() ([]string, error) {
	if err := os.MkdirAll(f.path, 0o750); err != nil {
		return nil, err
	}
	if f.lock == nil {
		lock, err := os.Open(f.path)
		if err != nil {
			return nil, err
		}
		if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
			lock.Close()
			if errors.Is(err, unix.EWOULDBLOCK) {
				return nil, fmt.Errorf("%w: %s", ErrInUse, f.path)
			}
			return nil, fmt.Errorf("cannot lock %s: %w", f.path, err)
		}
		f.lock = lock
	}
	return list(f.path)
}

func list(path string) ([]string, error) {
	entries, err := os.ReadDir(path)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, entry := range entries {
		if entry.Type().IsRegular() {
			names = append(names, entry.Name())
		}
	}
	return names, nil
}

func (f *folder) Read(name string, max int) ([]byte, error) {
	return read(filepath.Join(f.path, name), max)
}

func read(path string, max int) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	data := make([]byte, min(info.Size(), int64(max)))
	n, err := io.ReadFull(file, data)
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) { // it was cut meanwhile
		err = nil
	}
	return data[:n], err
}

func (f *folder) Create(name string) (File, error) {
	file, err := os.OpenFile(filepath.Join(f.path, name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o640)
	if err != nil {
		return nil, err
	}
	return &diskFile{File: file, folder: f.path}, nil
}

func (f *folder) Remove(name string) error {
	err := os.Remove(filepath.Join(f.path, name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// Close gives the folder free for another outbox.
func (f *folder) Close() error {
	if f.lock == nil {
		return nil
	}
	err := f.lock.Close()
	f.lock = nil
	return err
}

// diskFile is a file whose name is synced with its first content.
type diskFile struct {
	*os.File
	folder string // empty once the name is on the disk
}

func (f *diskFile) Sync() error {
	if err := unix.Fdatasync(int(f.Fd())); err != nil {
		return &fs.PathError{Op: "fdatasync", Path: f.Name(), Err: err}
	}
	if f.folder == "" {
		return nil
	}
	if err := whole.SyncFolder(f.folder); err != nil {
		return err
	}
	f.folder = ""
	return nil
}
