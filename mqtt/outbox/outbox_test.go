package outbox

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// testClock is that of a machine that has just booted.
func testClock() Stamp { return Stamp{Uptime: time.Minute, Wall: time.Now(), Synced: true} }

func quiet(files Files) Options {
	return Options{Files: files, Clock: testClock, Logger: slog.New(slog.DiscardHandler)}
}

// put appends n messages of size bytes.
func put(t *testing.T, o *Outbox, n, size int) {
	t.Helper()
	for range n {
		err := o.Append("t", func(dst []byte, epoch string, seq uint64) []byte {
			return fmt.Appendf(dst, "%s %d %s", epoch, seq, strings.Repeat("x", size))
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// drain takes and acknowledges everything, and gives the numbers that came.
func drain(t *testing.T, o *Outbox) (seqs []uint64) {
	t.Helper()
	for {
		m, ok := o.Next()
		if !ok {
			o.step(time.Now())
			if m, ok = o.Next(); !ok {
				return seqs
			}
		}
		var epoch string
		var seq uint64
		if _, err := fmt.Sscan(string(m.Payload[:min(len(m.Payload), 40)]), &epoch, &seq); err != nil {
			t.Fatalf("%.40q: %v", m.Payload, err)
		}
		seqs = append(seqs, seq)
		o.Ack(m)
	}
}

func ascending(t *testing.T, seqs []uint64) {
	t.Helper()
	for i := 1; i < len(seqs); i++ {
		if seqs[i] <= seqs[i-1] {
			t.Fatalf("%d comes after %d", seqs[i], seqs[i-1])
		}
	}
}

// A real folder, lives that end in good order: everything comes once, in order, in one epoch.
func TestLivesOnADisk(t *testing.T) {
	dir := t.TempDir()
	var all []uint64
	var epoch string
	for life := range 3 {
		o := Open(quiet(Folder(dir)))
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- o.Run(ctx) }()
		if s := o.Status(); life > 0 && (s.Depth != 1000*life || s.Epoch != epoch) {
			t.Errorf("life %d begins with %+v", life, s)
		}
		epoch = o.Status().Epoch
		put(t, o, 2000, 500)
		for n := 0; n < 1000; {
			m, ok := o.Next()
			if !ok {
				<-o.Ready()
				continue
			}
			var seq uint64
			_, _ = fmt.Sscanf(string(m.Payload), epoch+" %d", &seq)
			all = append(all, seq)
			n++
			o.Ack(m)
		}
		stop()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	for i, seq := range all {
		if seq != uint64(i+1) {
			t.Fatalf("message %d has number %d", i, seq)
		}
	}
}

func TestTwoOutboxesDoNotShareAFolder(t *testing.T) {
	dir := t.TempDir()
	first := Open(quiet(Folder(dir)))
	second := Open(quiet(Folder(dir)))
	if why := second.Status().Failure; !strings.Contains(why, ErrInUse.Error()) {
		t.Errorf("the second says %q", why)
	}
	if err := first.close(); err != nil {
		t.Error(err)
	}
	if s := Open(quiet(Folder(dir))).Status(); s.Failure != "" || s.Epoch != first.Status().Epoch {
		t.Errorf("after the first has closed: %+v", s)
	}
}

// The disk does not take anything any more, in one way or the other, and then does.
func TestDiskThatFails(t *testing.T) {
	for name, fail := range map[string]func(d *fakeDisk, how bool){
		"full": func(d *fakeDisk, how bool) {
			if d.room = -1; how {
				d.room = 100_000
			}
		},
		"read-only": func(d *fakeDisk, how bool) {
			if d.broken = nil; how {
				d.broken = syscall.EROFS
			}
		},
		"broken": func(d *fakeDisk, how bool) {
			if d.broken = nil; how {
				d.broken = syscall.EIO
			}
		},
	} {
		for _, before := range []int{0, 1000} {
			t.Run(fmt.Sprintf("%s, %d before", name, before), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					disk := newFakeDisk()
					if before == 0 {
						fail(disk, true)
					}
					o := Open(quiet(disk))
					put(t, o, before, 1000)
					o.step(time.Now())
					fail(disk, true)
					for range 80 {
						put(t, o, 100, 1000)
						o.step(time.Now())
						time.Sleep(100 * time.Millisecond)
					}
					s := o.Status()
					if s.Failure == "" || s.Dropped == 0 || s.InMemory > DefaultMemory+2*segmentSize {
						t.Errorf("while it fails: %+v", s)
					}
					fail(disk, false)
					time.Sleep(mostRest)
					o.step(time.Now())
					if s = o.Status(); s.Failure != "" || s.InMemory > 0 {
						t.Errorf("when it works again: %+v", s)
					}
					seqs := drain(t, o)
					ascending(t, seqs)
					if made := before + 8000; uint64(len(seqs))+o.Status().Dropped != uint64(made) {
						t.Errorf("of %d came %d, and %d were given up", made, len(seqs), o.Status().Dropped)
					}
					if seqs[len(seqs)-1] != uint64(before+8000) {
						t.Error("the newest are not there")
					}
				})
			})
		}
	}
}

// Without a broker for a moment the disk is not asked to sync; without one for longer a second's messages share a sync.
func TestSyncsAreFew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := Open(quiet(newFakeDisk()))
		look := func() uint64 { o.step(time.Now()); return o.Status().Syncs - 1 } // one is the start's
		for range 100 {
			put(t, o, 1, 100)
			look()
			time.Sleep(500 * time.Millisecond)
			drain(t, o)
		}
		if n := look(); n != 0 {
			t.Errorf("%d syncs though the broker took everything within half a second", n)
		}
		put(t, o, 1, 100)
		next := o.step(time.Now())
		if wait := time.Until(next); wait > commitEvery {
			t.Errorf("it is looked again in %v", wait)
		}
		time.Sleep(time.Until(next))
		if n := look(); n != 1 || o.Status().Unsynced != 0 {
			t.Errorf("%d syncs, %d messages not on the disk", n, o.Status().Unsynced)
		}
		for range 9 { // 9 messages in 0.81 s
			put(t, o, 1, 100)
			look()
			time.Sleep(commitEvery / 10)
		}
		if n := look(); n != 1 {
			t.Errorf("%d syncs within a second", n)
		}
		time.Sleep(commitEvery / 10)
		if n := look(); n != 2 || o.Status().Unsynced != 0 {
			t.Errorf("%d syncs, %d messages not on the disk", n, o.Status().Unsynced)
		}
		put(t, o, commitGroup, 100)
		if n := look(); n != 3 || o.Status().Unsynced != 0 {
			t.Errorf("%d syncs, %d messages not on the disk", n, o.Status().Unsynced)
		}
	})
}

func TestBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		now := testClock()
		options := quiet(newFakeDisk())
		options.Size, options.Age = LeastSize, 8*time.Hour
		options.Clock = func() Stamp { return now }
		o := Open(options)
		for range 30 {
			put(t, o, 100, 1000)
			o.step(time.Now())
		}
		s := o.Status()
		if s.Bytes > LeastSize || s.Dropped == 0 || s.Depth+int(s.Dropped) != 3000 {
			t.Errorf("over the size: %+v", s)
		}
		now.Uptime += 8*time.Hour - time.Minute
		o.step(time.Now())
		if again := o.Status(); again.Dropped != s.Dropped {
			t.Errorf("%d are given up before their time", again.Dropped-s.Dropped)
		}
		put(t, o, 10, 100)
		now.Uptime += time.Hour + 2*time.Minute
		o.step(time.Now())
		if s := o.Status(); s.Depth != 10 {
			t.Errorf("%d wait, not the 10 that are an hour old", s.Depth)
		}
	})
}

// A board's clock is set when it has the network: by decades. Nothing becomes old by that.
func TestAgeDoesNotTrustAClockThatWasNotSet(t *testing.T) {
	boot := func(n byte) (id [16]byte) { id[0] = n; return id }
	made := Stamp{Boot: boot(1), Uptime: time.Hour, Wall: time.Unix(0, 0)}
	year := 365 * 24 * time.Hour
	for name, test := range map[string]struct {
		made, now Stamp
		old       bool
	}{
		"clock is set, same boot":      {made, Stamp{Boot: boot(1), Uptime: 2 * time.Hour, Wall: time.Unix(0, 0).Add(50 * year), Synced: true}, false},
		"same boot, later":             {made, Stamp{Boot: boot(1), Uptime: 100 * time.Hour, Wall: time.Unix(0, 0)}, true},
		"other boot, clock is set":     {made, Stamp{Boot: boot(2), Wall: time.Unix(0, 0).Add(50 * year), Synced: true}, false},
		"other boot, both set":         {Stamp{Boot: boot(1), Wall: time.Unix(0, 0), Synced: true}, Stamp{Boot: boot(2), Wall: time.Unix(0, 0).Add(year), Synced: true}, true},
		"other boot, clock not set":    {Stamp{Boot: boot(1), Wall: time.Unix(0, 0), Synced: true}, Stamp{Boot: boot(2), Wall: time.Unix(0, 0).Add(year)}, false},
		"other boot, both set, recent": {Stamp{Boot: boot(1), Wall: time.Unix(0, 0), Synced: true}, Stamp{Boot: boot(2), Wall: time.Unix(3600, 0), Synced: true}, false},
	} {
		s := newSegment(header{made: test.made})
		if got := s.old(test.now, 24*time.Hour); got != test.old {
			t.Errorf("%s: old is %v", name, got)
		}
	}
}

func TestOversized(t *testing.T) {
	o := Open(Options{Clock: testClock, Logger: slog.New(slog.DiscardHandler)})
	for _, n := range []int{maxMessage - 1, maxMessage + 1} {
		err := o.Append("t", func(dst []byte, _ string, _ uint64) []byte { return append(dst, make([]byte, n)...) })
		if tooLarge := n+1 > maxMessage; errors.Is(err, errOversized) != tooLarge {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
	put(t, o, 1, 10)
	if s := o.Status(); s.Oversized != 1 || s.Depth != 2 || s.Seq != 2 {
		t.Errorf("%+v", s)
	}
}

// What was taken over a connection that ended is given out again, in order; late acknowledgements change nothing.
func TestRewind(t *testing.T) {
	o := Open(Options{Clock: testClock, Logger: slog.New(slog.DiscardHandler)})
	put(t, o, 10, 10)
	var taken []Message
	for range 6 {
		m, _ := o.Next()
		taken = append(taken, m)
	}
	o.Ack(taken[0])
	o.Ack(taken[2]) // out of order: 1 is not acknowledged
	o.Rewind()
	o.Ack(taken[1])
	if seqs := drain(t, o); len(seqs) != 9 || seqs[0] != 2 {
		t.Errorf("came %v", seqs)
	}
}

func TestInspect(t *testing.T) {
	dir := t.TempDir()
	o := Open(quiet(Folder(dir)))
	put(t, o, 600, 1000)
	o.step(time.Now())
	for range 5 {
		m, _ := o.Next()
		o.Ack(m)
	}
	o.step(time.Now())
	var seqs []uint64
	report, err := Inspect(dir, func(_ string, seq uint64, topic, payload []byte) {
		if want := fmt.Sprintf("%s %d ", o.Status().Epoch, seq); string(topic) != "t" || !strings.HasPrefix(string(payload), want) {
			t.Errorf("%s %.40q", topic, payload)
		}
		seqs = append(seqs, seq)
	})
	if err != nil || report.Waiting != 595 || report.Damaged != 0 || len(report.Segments) != 3 {
		t.Errorf("%+v, %v", report, err)
	}
	if len(seqs) != 595 || seqs[0] != 6 {
		t.Errorf("%d are visited", len(seqs))
	}
	path := dir + "/" + report.Segments[1].File
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	data[100_000] ^= 1
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	after, err := Inspect(dir, nil)
	if err != nil || after.Damaged != 1 || after.Waiting != 594 || after.Segments[1].Damaged != 1 {
		t.Errorf("after a flipped bit: %+v, %v", after, err)
	}
}
