package ring

import (
	"bytes"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

func TestAReaderCanOnlyRead(t *testing.T) {
	r := newRing(t, testGeometry.Slots, testGeometry.SlotSize)
	var slot *Slot
	for range 3 {
		slot, _ = r.Acquire()
	}
	copy(slot.Bytes(), "what the parent wrote")

	got := child(t, r.File())
	const want = `truncate: EPERM
shrink: EPERM
grow: EPERM
grow by fallocate: EPERM
punch a hole: EPERM
write: EPERM
write behind the end: EPERM
seal the maker out: EPERM
map writable: EPERM
open again and map writable: EPERM
map: ok
make the mapping writable: EACCES
remove pages by the mapping: EACCES
open: ok
slot: ok
it reads: what the parent wrote
close: ok
`
	if got != want {
		t.Errorf("the child found:\n%s\nwant:\n%s", got, want)
	}
	for i := range slot.Bytes() { // every page is still there: SIGBUS otherwise
		slot.Bytes()[i] = byte(i)
	}
}

func TestAcquire(t *testing.T) {
	r := newRing(t, 3, 100)
	if got, want := r.Geometry(), (Geometry{Slots: 3, SlotSize: os.Getpagesize()}); got != want {
		t.Errorf("geometry %v, want %v: whole pages", got, want)
	}
	var held []*Slot
	for i := range 3 {
		slot, ok := r.Acquire()
		if !ok || slot.Index() != i {
			t.Fatalf("slot %d: got %v, %v", i, slot, ok)
		}
		copy(slot.Bytes(), bytes.Repeat([]byte{byte(i + 1)}, len(slot.Bytes())))
		held = append(held, slot)
	}
	if slot, ok := r.Acquire(); ok {
		t.Fatalf("a fourth slot of three: %d", slot.Index())
	}
	for i, slot := range held {
		if bytes.Count(slot.Bytes(), []byte{byte(i + 1)}) != os.Getpagesize() {
			t.Errorf("slot %d was overwritten by another", i)
		}
	}
	held[1].Release()
	held[1].Release() // does nothing
	if slot, ok := r.Acquire(); !ok || slot.Index() != 1 {
		t.Errorf("after slot 1 came back: %v, %v", slot, ok)
	}
}

func TestLeasesAreExclusive(t *testing.T) {
	r := newRing(t, 4, 1)
	var owners [4]sync.Mutex
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			for range 2000 {
				slot, ok := r.Acquire()
				if !ok {
					continue
				}
				if !owners[slot.Index()].TryLock() {
					t.Errorf("slot %d was leased twice", slot.Index())
					return
				}
				owners[slot.Index()].Unlock()
				slot.Release()
			}
		})
	}
	group.Wait()
}

func TestMemoryGoesWithTheLastSlot(t *testing.T) {
	fds, mappings := openFiles(t), mapped(t)
	r, err := New("memory", 4, 4096)
	if err != nil {
		t.Fatal(err)
	}
	if got := mapped(t); got != mappings+1 {
		t.Fatalf("%d mappings of rings, want %d", got, mappings+1)
	}
	first, _ := r.Acquire()
	second, _ := r.Acquire()
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if err := r.Close(); err != nil {
		t.Errorf("second close: %v", err)
	}
	if _, ok := r.Acquire(); ok {
		t.Error("a slot of a closed ring")
	}
	if got := openFiles(t); got != fds {
		t.Errorf("%d open files after close, want %d", got, fds)
	}
	second.Release()
	first.Bytes()[0] = 1 // still there
	if got := mapped(t); got != mappings+1 {
		t.Errorf("%d mappings while a slot is out, want %d", got, mappings+1)
	}
	first.Release()
	if got := mapped(t); got != mappings {
		t.Errorf("%d mappings after the last slot, want %d", got, mappings)
	}
	first.Release() // does nothing
}

func TestNewRefuses(t *testing.T) {
	for _, bad := range [][2]int{{0, 4096}, {-1, 4096}, {MaxSlots + 1, 4096}, {4, 0}, {4, -1}, {4, MaxSlotSize + 1}} {
		if r, err := New("bad", bad[0], bad[1]); err == nil {
			t.Errorf("a ring of %d slots of %d bytes was made", bad[0], bad[1])
			_ = r.Close()
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	r := newRing(t, 4, 8192)
	unsealed, err := unix.MemfdCreate("unsealed", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		t.Fatal(err)
	}
	weak := os.NewFile(uintptr(unsealed), "unsealed")
	defer func() { _ = weak.Close() }()
	if err := weak.Truncate(4 * 8192); err != nil {
		t.Fatal(err)
	}
	pipe, other, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _, _ = pipe.Close(), other.Close() }()

	mappings := mapped(t)
	for _, c := range []struct {
		name string
		file *os.File
		g    Geometry
		want string
	}{
		{"no slots", r.File(), Geometry{0, 8192}, "0 slots"},
		{"too many slots", r.File(), Geometry{1 << 40, 8192}, "slots is outside"},
		{"half a page", r.File(), Geometry{4, 2048}, "not a multiple"},
		{"huge slots", r.File(), Geometry{4, 1 << 50}, "at most"},
		{"another count", r.File(), Geometry{5, 8192}, "32768 bytes: 5 slots"},
		{"another size", r.File(), Geometry{4, 4096}, "32768 bytes: 4 slots"},
		{"no seals", weak, Geometry{4, 8192}, "seals"},
		{"a pipe", pipe, Geometry{4, 8192}, "seals"},
	} {
		v, err := Open(c.file, c.g)
		if err == nil {
			_ = v.Close()
			t.Errorf("%s: it was opened", c.name)
		} else if !strings.HasPrefix(err.Error(), "cannot open frame ring: ") || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %q does not say %q", c.name, err, c.want)
		}
	}
	if got := mapped(t); got != mappings {
		t.Errorf("%d mappings are left", got-mappings)
	}
}

func TestView(t *testing.T) {
	mappings := mapped(t)
	r := newRing(t, 4, 8192)
	v, err := Open(r.File(), r.Geometry())
	if err != nil {
		t.Fatal(err)
	}
	slot, _ := r.Acquire()
	random := make([]byte, 8192)
	for i := range random {
		random[i] = byte(rand.Uint32())
	}
	copy(slot.Bytes(), random)
	got, err := v.Slot(slot.Index())
	if err != nil || !bytes.Equal(got, random) || cap(got) != 8192 {
		t.Errorf("the view shows something else (%v)", err)
	}
	for _, bad := range []int{-1, 4, 1 << 40} {
		if _, err := v.Slot(bad); err == nil {
			t.Errorf("slot %d was given", bad)
		}
	}
	// A reader outlives the maker: what it has mapped stays.
	slot.Release()
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, random) {
		t.Error("the frame is gone with its maker")
	}
	if err := v.Close(); err != nil {
		t.Fatal(err)
	}
	if err := v.Close(); err != nil {
		t.Errorf("second close: %v", err)
	}
	if _, err := v.Slot(0); err == nil {
		t.Error("a slot of a closed view")
	}
	if got := mapped(t); got != mappings {
		t.Errorf("%d mappings are left", got-mappings)
	}
}

func TestAcquireAllocatesNothing(t *testing.T) {
	r := newRing(t, 4, 4096)
	if n := testing.AllocsPerRun(100, func() {
		slot, _ := r.Acquire()
		slot.Release()
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func newRing(t *testing.T, slots, size int) *Ring {
	t.Helper()
	r, err := New(t.Name(), slots, size)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	return r
}

func openFiles(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

func mapped(t *testing.T) int {
	t.Helper()
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		t.Fatal(err)
	}
	return bytes.Count(maps, []byte("memfd:vedette"))
}

func BenchmarkAcquireRelease(b *testing.B) {
	r, err := New("bench", 4, 4096)
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = r.Close() }()
	b.ReportAllocs()
	for b.Loop() {
		slot, _ := r.Acquire()
		slot.Release()
	}
}
