package outbox

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"slices"
	"syscall"
)

// fakeDisk is Files in memory, with a page cache: what was not synced is lost with the power. It fails as it is told to.
type fakeDisk struct {
	files map[string]*fakeFile
	gone  map[string]*fakeFile // removed since the last sync of anything: the removal may not have reached the disk

	calls   int // that change something
	crashAt int // the call at which everything stops; 0: none
	partial float64
	crashed bool
	room    int // bytes that still fit; negative: as many as there are
	broken  error
	unread  map[string]int // how often a file cannot be read from now on
}

type fakeFile struct {
	disk   *fakeDisk
	cache  []byte
	synced []byte // nil: the name is not on the disk either
	named  bool
}

var errCrash = errors.New("the machine is gone")

func newFakeDisk() *fakeDisk {
	return &fakeDisk{files: map[string]*fakeFile{}, gone: map[string]*fakeFile{}, room: -1, unread: map[string]int{}}
}

// call counts a change, and says how much of it happens.
func (d *fakeDisk) call() (share float64, err error) {
	if d.crashed {
		return 0, errCrash
	}
	d.calls++
	if d.calls == d.crashAt {
		d.crashed = true
		return d.partial, errCrash
	}
	return 1, d.broken
}

func (d *fakeDisk) List() ([]string, error) {
	if d.crashed {
		return nil, errCrash
	}
	var names []string
	for name := range d.files {
		names = append(names, name)
	}
	return names, nil
}

func (d *fakeDisk) Read(name string, most int) ([]byte, error) {
	file, ok := d.files[name]
	switch {
	case d.crashed:
		return nil, errCrash
	case !ok:
		return nil, fs.ErrNotExist
	case d.unread[name] > 0:
		d.unread[name]--
		return nil, &fs.PathError{Op: "read", Path: name, Err: syscall.EIO}
	}
	return bytes.Clone(file.cache[:min(len(file.cache), most)]), nil
}

func (d *fakeDisk) Create(name string) (File, error) {
	share, err := d.call()
	if d.files[name] != nil {
		return nil, fs.ErrExist
	}
	if err == nil && d.room == 0 {
		err = syscall.ENOSPC
	}
	if err != nil && share < 0.5 || d.broken != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	file := &fakeFile{disk: d}
	d.files[name] = file
	return file, err
}

func (d *fakeDisk) Remove(name string) error {
	share, err := d.call()
	if err != nil && share < 0.5 {
		return err
	}
	if file := d.files[name]; file != nil {
		d.gone[name] = file
		delete(d.files, name)
		if d.room >= 0 {
			d.room += len(file.cache)
		}
	}
	return err
}

func (f *fakeFile) WriteAt(data []byte, at int64) (int, error) {
	share, err := f.disk.call()
	n := len(data)
	if err != nil {
		n = int(share * float64(n))
	}
	if room := f.disk.room; err == nil && room >= 0 {
		if n > room {
			n, err = room, syscall.ENOSPC
		}
		f.disk.room -= n
	}
	if end := int(at) + n; end > len(f.cache) {
		f.cache = append(f.cache, make([]byte, end-len(f.cache))...)
	}
	copy(f.cache[at:], data[:n])
	return n, err
}

func (f *fakeFile) Sync() error {
	if share, err := f.disk.call(); err != nil && share < 1 {
		return err
	}
	f.synced, f.named = bytes.Clone(f.cache), true
	clear(f.disk.gone)
	return nil
}

func (f *fakeFile) Close() error { return nil }

// restart is the same disk after the process was killed.
func (d *fakeDisk) restart() *fakeDisk {
	next := newFakeDisk()
	for name, file := range d.files {
		next.files[name] = &fakeFile{disk: next, cache: file.cache, synced: file.synced, named: file.named}
	}
	return next
}

// powerCut is the disk after the power was cut: of what was not synced each sector may have arrived, or not, or be zeros.
func (d *fakeDisk) powerCut(r *rand.Rand) *fakeDisk {
	const sector = 512
	next := newFakeDisk()
	survive := func(name string, file *fakeFile) {
		content := bytes.Clone(file.cache)
		for at := 0; at < len(content); at += sector {
			end := min(at+sector, len(content))
			if end <= len(file.synced) && bytes.Equal(content[at:end], file.synced[at:end]) {
				continue
			}
			old := make([]byte, end-at)
			if at < len(file.synced) {
				copy(old, file.synced[at:])
			}
			if r.IntN(2) == 0 {
				copy(content[at:end], old)
			}
		}
		if r.IntN(2) == 0 && len(content) > len(file.synced) { // nor may its size
			content = content[:len(file.synced)+r.IntN(len(content)-len(file.synced))]
		}
		next.files[name] = &fakeFile{disk: next, cache: content, synced: slices.Clone(content), named: true}
	}
	for name, file := range d.files {
		if file.named || r.IntN(2) == 0 {
			survive(name, file)
		}
	}
	for name, file := range d.gone {
		if file.named && r.IntN(2) == 0 {
			survive(name, file)
		}
	}
	return next
}

// describe is for who reads a failure.
func (d *fakeDisk) describe() string {
	text := ""
	for name, file := range d.files {
		text += fmt.Sprintf("%s: %d bytes, %d synced; ", name, len(file.cache), len(file.synced))
	}
	return text
}
