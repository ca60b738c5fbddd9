package outbox

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// lifeOn is a life that ends in good order, after it was given n messages.
func lifeOn(t *testing.T, disk *fakeDisk, n int) (epoch string) {
	t.Helper()
	o := Open(quiet(disk))
	put(t, o, n, 1000)
	o.step(time.Now())
	if err := o.close(); err != nil {
		t.Fatal(err)
	}
	return o.Status().Epoch
}

// outlast drains an outbox for as long as it says that there is more to come.
func outlast(t *testing.T, o *Outbox, most time.Duration) (seqs []uint64) {
	t.Helper()
	for end := time.Now().Add(most); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		seqs = append(seqs, drain(t, o)...)
	}
	return seqs
}

// A disk that does not give a segment back is asked for some seconds, however often there is something else to do meanwhile.
func TestASegmentThatCannotBeReadIsTriedAgain(t *testing.T) {
	for failures, lost := range map[int]bool{1: false, readTries - 1: false, readTries: true} {
		synctest.Test(t, func(t *testing.T) {
			disk := newFakeDisk()
			lifeOn(t, disk, 900)
			o := Open(quiet(disk))
			names := slices.Sorted(maps.Keys(disk.files))
			disk.unread[names[1]] = failures
			seqs := outlast(t, o, 2*readTries*readAgain)
			ascending(t, seqs)
			s := o.Status()
			if whole := len(seqs) == 900 && s.Unreadable == 0; whole == lost || s.Depth > 0 || len(seqs)+int(s.Unreadable) != 900 {
				t.Errorf("after %d failures %d messages have come; %+v", failures, len(seqs), s)
			}
		})
	}
}

// What cannot be read at the start may have gone on with the numbers of what is before it, and is sent once it can be read.
func TestNoNumberIsGivenTwiceWhereTheNewestFileCannotBeRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := newFakeDisk()
		epoch := lifeOn(t, disk, 10)
		o := Open(quiet(disk))
		put(t, o, 5, 100)
		o.step(time.Now())
		if s := o.Status(); s.Epoch != epoch || s.Seq != 15 {
			t.Fatalf("%+v does not go on", s)
		}
		disk = disk.restart() // it was killed
		disk.unread[slices.Max(slices.Collect(maps.Keys(disk.files)))] = 2
		o = Open(quiet(disk))
		put(t, o, 1, 100)
		if s := o.Status(); s.Epoch == epoch {
			t.Errorf("%s goes on with %d, which another message has", s.Epoch, s.Seq)
		}
		want := []uint64{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 1}
		if seqs := outlast(t, o, 5*readAgain); !slices.Equal(seqs, want) {
			t.Errorf("%v have come", seqs)
		}
	})
}

// lines counts what is logged.
type lines struct {
	slog.Handler
	all *[]string
}

func (l lines) Enabled(context.Context, slog.Level) bool { return true }

func (l lines) Handle(_ context.Context, r slog.Record) error {
	*l.all = append(*l.all, r.Level.String()+" "+r.Message)
	return nil
}

func TestADiskThatStaysUnwritableIsSaidOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := newFakeDisk()
		var said []string
		options := quiet(disk)
		options.Logger = slog.New(lines{all: &said})
		disk.broken = syscall.EROFS
		o := Open(options)
		for range 20 {
			put(t, o, 100, 1000) // several segments: each try makes a file of another name
			time.Sleep(mostRest)
			o.step(time.Now())
		}
		said = slices.DeleteFunc(said, func(line string) bool { return !strings.Contains(line, "cannot use the disk") })
		if len(said) != 1 {
			t.Errorf("%d times: %q", len(said), said)
		}
		disk.broken = syscall.EIO // another cause is news
		time.Sleep(mostRest)
		o.step(time.Now())
		if n := strings.Count(fmt.Sprint(said), "cannot use the disk"); n != 2 || !strings.Contains(o.Status().Failure, "input/output") {
			t.Errorf("%d times; %s", n, o.Status().Failure)
		}
	})
}

// Without a disk nobody asks when a sync is due.
func TestMarksAreFewWithoutADisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := Open(quiet(nil))
		for range 10_000 {
			put(t, o, 1, 10)
			if m, ok := o.Next(); ok {
				defer o.Ack(m)
			}
			time.Sleep(2 * markEvery)
			if n := len(o.pace.marks); n > int(commitEvery/markEvery)+1 {
				t.Fatalf("%d marks", n)
			}
		}
	})
}

// The service may have sent and removed what a look at its folder has just listed.
func TestInspectAFolderThatIsInUse(t *testing.T) {
	dir := t.TempDir()
	o := Open(quiet(Folder(dir)))
	put(t, o, 900, 1000)
	o.step(time.Now())
	defer o.close()
	seen := map[string]int{}
	report, err := Inspect(dir, func(file string, _ uint64, _, _ []byte) {
		if seen[file]++; len(seen) > 1 || seen[file] > 1 {
			return
		}
		for _, name := range []string{fileName(o.disk.last), fileName(o.disk.last - 1)} {
			if err := os.Remove(filepath.Join(dir, name)); err != nil {
				t.Error(err)
			}
		}
	})
	if err != nil || report.Waiting != 900 || len(seen) != len(report.Segments)-2 {
		t.Errorf("%d of %d segments were seen, %v", len(seen), len(report.Segments), err)
	}
}
