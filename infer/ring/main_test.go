package ring

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
)

// The test binary re-executes itself as the process that is given a ring: the descriptor is number 3.
const childEnv = "VEDETTE_RING_TEST_CHILD"

func TestMain(m *testing.M) {
	if os.Getenv(childEnv) != "" {
		attack(os.NewFile(3, "ring"))
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

var testGeometry = Geometry{Slots: 4, SlotSize: 8192}

// attack tries everything that could harm the ring's maker, and prints what came of it, a line each.
func attack(f *os.File) {
	fd, size := int(f.Fd()), testGeometry.size()
	say := func(what string, err error) { fmt.Printf("%s: %s\n", what, errno(err)) }
	say("truncate", unix.Ftruncate(fd, 0))
	say("shrink", unix.Ftruncate(fd, int64(size-1)))
	say("grow", unix.Ftruncate(fd, int64(size+1)))
	say("grow by fallocate", unix.Fallocate(fd, 0, int64(size), 4096))
	say("punch a hole", unix.Fallocate(fd, unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, 0, 4096))
	_, err := unix.Pwrite(fd, []byte("x"), 0)
	say("write", err)
	_, err = unix.Pwrite(fd, []byte("x"), int64(size))
	say("write behind the end", err)
	_, err = unix.FcntlInt(f.Fd(), unix.F_ADD_SEALS, unix.F_SEAL_WRITE)
	say("seal the maker out", err)
	_, err = unix.Mmap(fd, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	say("map writable", err)
	again, err := os.OpenFile("/proc/self/fd/3", os.O_RDWR, 0)
	if err == nil {
		_, err = unix.Mmap(int(again.Fd()), 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	}
	say("open again and map writable", err)
	mapped, err := unix.Mmap(fd, 0, size, unix.PROT_READ, unix.MAP_SHARED)
	say("map", err)
	say("make the mapping writable", unix.Mprotect(mapped, unix.PROT_READ|unix.PROT_WRITE))
	say("remove pages by the mapping", unix.Madvise(mapped, unix.MADV_REMOVE))

	view, err := Open(f, testGeometry)
	say("open", err)
	slot, err := view.Slot(2)
	say("slot", err)
	fmt.Printf("it reads: %s\n", strings.TrimRight(string(slot[:32]), "\x00"))
	say("close", view.Close())
}

func errno(err error) string {
	var n unix.Errno
	switch {
	case err == nil:
		return "ok"
	case errors.As(err, &n):
		return unix.ErrnoName(n)
	}
	return err.Error()
}

func child(t *testing.T, file *os.File) string {
	t.Helper()
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), childEnv+"=1")
	cmd.ExtraFiles = []*os.File{file}
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("child: %v, after:\n%s", err, out)
	}
	return string(out)
}
