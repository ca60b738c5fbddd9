package ring

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// View is a reader's end of a ring.
type View struct {
	geometry Geometry
	data     []byte
}

// Open maps a ring read-only. The geometry is another process's word: it is held against its bounds, the file's size
// and the file's seals before anything is mapped. The file is still the caller's, who may close it at once.
func Open(f *os.File, g Geometry) (*View, error) {
	if err := g.Validate(); err != nil {
		return nil, fmt.Errorf("cannot open frame ring: %w", err)
	}
	conn, err := f.SyscallConn()
	if err != nil {
		return nil, fmt.Errorf("cannot open frame ring: %w", err)
	}
	var data []byte
	var failed error
	if err := conn.Control(func(fd uintptr) { data, failed = mapChecked(int(fd), g) }); err != nil {
		return nil, fmt.Errorf("cannot open frame ring: %w", err)
	}
	if failed != nil {
		return nil, fmt.Errorf("cannot open frame ring: %w", failed)
	}
	return &View{geometry: g, data: data}, nil
}

func mapChecked(fd int, g Geometry) ([]byte, error) {
	got, err := unix.FcntlInt(uintptr(fd), unix.F_GET_SEALS, 0)
	if err != nil {
		return nil, fmt.Errorf("cannot read its seals: %w", err)
	}
	if got&seals != seals {
		return nil, fmt.Errorf("its seals are %#x: %#x are needed", got, seals)
	}
	var stat unix.Stat_t
	if err := unix.Fstat(fd, &stat); err != nil {
		return nil, os.NewSyscallError("fstat", err)
	}
	if stat.Size != int64(g.size()) {
		return nil, fmt.Errorf("it has %d bytes: %d slots of %d bytes need %d", stat.Size, g.Slots, g.SlotSize, g.size())
	}
	data, err := unix.Mmap(fd, 0, g.size(), unix.PROT_READ, unix.MAP_SHARED|unix.MAP_POPULATE)
	if err != nil {
		return nil, os.NewSyscallError("mmap", err)
	}
	return data, nil
}

// Slot is the memory of one slot. A write to it is a segmentation fault. It is valid until Close.
func (v *View) Slot(i int) ([]byte, error) {
	if i < 0 || i >= v.geometry.Slots || v.data == nil {
		return nil, fmt.Errorf("there is no slot %d in a ring of %d", i, v.geometry.Slots)
	}
	from := i * v.geometry.SlotSize
	return v.data[from : from+v.geometry.SlotSize : from+v.geometry.SlotSize], nil
}

// Close unmaps the ring. A second call does nothing.
func (v *View) Close() error {
	if v.data == nil {
		return nil
	}
	data := v.data
	v.data = nil
	if err := unix.Munmap(data); err != nil {
		return fmt.Errorf("cannot close frame ring: %w", err)
	}
	return nil
}
