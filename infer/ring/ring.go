// Package ring shares the frames of one stream with processes that may only read them.
//
// A ring is one memfd, cut into slots of whole pages. The process that makes it maps it writable and then seals it:
// nobody can shrink, grow or write it from then on but through that first mapping. Who is given the descriptor can map
// it read-only and nothing else. Which slot is taken is known to the maker alone; nothing of it lies in shared memory,
// so a reader that dies leaves nothing locked.
package ring

import (
	"errors"
	"fmt"
	"math/bits"
	"os"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// Bounds of a ring. A slot holds one frame of at most 256 MiB, the most that a capture format may claim.
const (
	MaxSlots    = 34 // two frames in flight of each of 16 workers, and two more
	MaxSlotSize = 256 << 20
)

// seals are what makes a ring safe to hand out: without SHRINK a reader's ftruncate would kill the writer by SIGBUS,
// without FUTURE_WRITE a reader could write, without SEAL it could seal the writer out.
const seals = unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_FUTURE_WRITE | unix.F_SEAL_SEAL

// Geometry is what a reader must know of a ring, besides its descriptor.
type Geometry struct {
	Slots    int `json:"slots"`
	SlotSize int `json:"slot_size"` // bytes, a multiple of the page size
}

// Validate reports a geometry that no ring has.
func (g Geometry) Validate() error {
	if g.Slots < 1 || g.Slots > MaxSlots {
		return fmt.Errorf("ring of %d slots is outside 1 to %d", g.Slots, MaxSlots)
	}
	if g.SlotSize < 1 || g.SlotSize > MaxSlotSize || g.SlotSize%os.Getpagesize() != 0 {
		return fmt.Errorf("slot size of %d bytes is not a multiple of %d, at most %d",
			g.SlotSize, os.Getpagesize(), MaxSlotSize)
	}
	return nil
}

// size is in bytes, at most MaxSlots * MaxSlotSize = 8.5 GiB.
func (g Geometry) size() int { return g.Slots * g.SlotSize }

// Ring is the maker's end. Its methods may be called from any goroutine.
type Ring struct {
	file     *os.File
	geometry Geometry
	data     []byte
	slots    []Slot
	// state has a bit for each slot that is taken, and closing. One word instead of a lock: the last Release after
	// Close, and only that one, sees the word become closing alone.
	state atomic.Uint64
}

const closing = 1 << 63

// New makes a ring of slots for frames of at most slotSize bytes, which is rounded up to whole pages. All its memory
// is taken now: it is charged to this process, and a lack of it is an error here instead of a SIGBUS later.
func New(name string, slots, slotSize int) (*Ring, error) {
	page := os.Getpagesize()
	if slotSize < 1 || slotSize > MaxSlotSize {
		return nil, fmt.Errorf("cannot make frame ring %s: slot size of %d bytes is outside 1 to %d",
			name, slotSize, MaxSlotSize)
	}
	g := Geometry{Slots: slots, SlotSize: (slotSize + page - 1) / page * page}
	if err := g.Validate(); err != nil {
		return nil, fmt.Errorf("cannot make frame ring %s: %w", name, err)
	}
	file, err := memfd(name)
	if err != nil {
		return nil, fmt.Errorf("cannot make frame ring %s: %w", name, err)
	}
	data, err := mapSealed(int(file.Fd()), g.size())
	if err != nil {
		return nil, fmt.Errorf("cannot make frame ring %s of %d bytes: %w", name, g.size(), errors.Join(err, file.Close()))
	}
	r := &Ring{file: file, geometry: g, data: data, slots: make([]Slot, slots)}
	for i := range r.slots {
		from := i * g.SlotSize
		r.slots[i] = Slot{ring: r, index: i, bytes: data[from : from+g.SlotSize : from+g.SlotSize]}
	}
	return r, nil
}

// maxName keeps a memfd's name, which only /proc shows, below the kernel's bound of 249 bytes.
const maxName = 200

func memfd(name string) (*os.File, error) {
	name = "vedette:" + name[:min(len(name), maxName)]
	const flags = unix.MFD_CLOEXEC | unix.MFD_ALLOW_SEALING
	fd, err := unix.MemfdCreate(name, flags|unix.MFD_NOEXEC_SEAL)
	if errors.Is(err, unix.EINVAL) { // Linux before 6.3 does not know NOEXEC_SEAL
		fd, err = unix.MemfdCreate(name, flags)
	}
	if err != nil {
		return nil, os.NewSyscallError("memfd_create", err)
	}
	return os.NewFile(uintptr(fd), name), nil
}

func mapSealed(fd, size int) ([]byte, error) {
	if err := unix.Ftruncate(fd, int64(size)); err != nil {
		return nil, os.NewSyscallError("ftruncate", err)
	}
	if err := unix.Fallocate(fd, 0, 0, int64(size)); err != nil {
		return nil, os.NewSyscallError("fallocate", err)
	}
	data, err := unix.Mmap(fd, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_POPULATE)
	if err != nil {
		return nil, os.NewSyscallError("mmap", err)
	}
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, seals); err != nil {
		return nil, errors.Join(fmt.Errorf("cannot seal it: %w", err), unix.Munmap(data))
	}
	return data, nil
}

// File is what readers are given. It belongs to the ring, which closes it.
func (r *Ring) File() *os.File { return r.file }

// Geometry is what readers are told beside it.
func (r *Ring) Geometry() Geometry { return r.geometry }

// Acquire leases a slot that nobody holds; false where there is none, or after Close. It never blocks.
func (r *Ring) Acquire() (*Slot, bool) {
	for {
		state := r.state.Load()
		index := bits.TrailingZeros64(^state)
		if state&closing != 0 || index >= len(r.slots) {
			return nil, false
		}
		if r.state.CompareAndSwap(state, state|1<<index) {
			return &r.slots[index], true
		}
	}
}

// Close closes the descriptor. The memory goes once the last slot is back. A second call does nothing.
func (r *Ring) Close() error {
	old := r.state.Or(closing)
	if old&closing != 0 {
		return nil
	}
	err := r.file.Close()
	if old == 0 {
		err = errors.Join(err, r.unmap())
	}
	if err != nil {
		return fmt.Errorf("cannot close frame ring %s: %w", r.file.Name(), err)
	}
	return nil
}

func (r *Ring) unmap() error { return os.NewSyscallError("munmap", unix.Munmap(r.data)) }

// Slot is a place for one frame, leased by Acquire.
type Slot struct {
	ring  *Ring
	index int
	bytes []byte
}

// Index is the slot's number, by which readers find it.
func (s *Slot) Index() int { return s.index }

// Bytes is the slot's memory, SlotSize bytes. It must not be touched after Release.
func (s *Slot) Bytes() []byte { return s.bytes }

// Release gives the slot back. It is called once for each Acquire; where the slot is free it does nothing.
func (s *Slot) Release() {
	bit := uint64(1) << s.index
	old := s.ring.state.And(^bit)
	if old == closing|bit {
		// The one error that munmap has is an address that was never mapped, and this one was.
		_ = s.ring.unmap()
	}
}
