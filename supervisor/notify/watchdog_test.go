package notify

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

const period = 32 * time.Second

// bench runs a watchdog in the bubble's time, with a systemd that keeps time too.
type bench struct {
	*Watchdog
	folder string
	log    *bytes.Buffer
	pings  []time.Duration
	refuse atomic.Bool // whether pings fail
	began  time.Time
}

func startBench(t *testing.T) (b *bench, stop func()) {
	t.Helper()
	b = &bench{folder: filepath.Join(t.TempDir(), "state"), log: &bytes.Buffer{}, began: time.Now()}
	b.Watchdog = NewWatchdog(WatchdogOptions{
		Period: period, Folder: b.folder, Logger: slog.New(slog.NewTextHandler(b.log, nil)),
		Ping: func() error {
			if b.refuse.Load() {
				return errors.New("queue full")
			}
			b.pings = append(b.pings, time.Since(b.began))
			return nil
		},
	})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- b.Run(ctx) }()
	return b, func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

// killed is when systemd kills: a period after the last ping that came in time. 0: never until now.
func (b *bench) killed() time.Duration {
	last := time.Duration(0)
	for _, ping := range append(slices.Clone(b.pings), time.Since(b.began)) {
		if ping-last > period {
			return last + period
		}
		last = ping
	}
	return 0
}

func (b *bench) logged(text string) int { return strings.Count(b.log.String(), text) }

func TestAServiceThatMovesIsToldToLive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, stop := startBench(t)
		b.Check("capture yard", func() error { return nil })
		loop := b.Watch("supervisor", 15*time.Second)
		ticker := time.NewTicker(14 * time.Second)
		defer ticker.Stop()
		for time.Since(b.began) < time.Hour {
			<-ticker.C
			loop.Made()
		}
		stop()
		if b.killed() != 0 || !b.Alive() || b.log.Len() > 0 {
			t.Errorf("killed at %v; log: %s", b.killed(), b.log)
		}
		if n := len(b.pings); n < 224 || n > 226 { // one each 16 s
			t.Errorf("%d pings in an hour", n)
		}
	})
}

func TestAStuckLoopIsNamedOnceAndItsStacksAreKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, stop := startBench(t)
		b.Check("capture yard", func() error { return nil })
		loop := b.Watch("supervisor", 15*time.Second)
		for range 2 {
			time.Sleep(10 * time.Second)
			loop.Made()
		}
		time.Sleep(59 * time.Second)
		stop()
		// Stuck at 20 s, past its limit at 35 s, seen at 48 s; the last ping was at 32 s.
		if at := b.killed(); at != 64*time.Second {
			t.Errorf("killed at %v, want 1m4s: pings at %v", at, b.pings)
		}
		said := `check=supervisor error="no progress for 28s, and 15s is the limit" in=16s`
		if b.Alive() || b.logged(said) != 1 || b.logged("check fails") != 1 {
			t.Errorf("alive %t; log:\n%s", b.Alive(), b.log)
		}
		info, err := os.Stat(filepath.Join(b.folder, StacksFile))
		if err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(filepath.Join(b.folder, StacksFile))
		if err != nil {
			t.Fatal(err)
		}
		for _, part := range []string{"check supervisor: no progress", "last told", "goroutine ", "TestAStuckLoop"} {
			if !strings.Contains(string(text), part) {
				t.Errorf("the stacks do not say %q:\n%.300s", part, text)
			}
		}
		if info.Mode().Perm()&0o007 != 0 {
			t.Errorf("anybody may read it: %v", info.Mode())
		}
		written, err := time.Parse(time.RFC3339, strings.TrimSpace(cut(string(text), "stacks as of ", "\n")))
		if err != nil || written.Sub(b.began) != 56*time.Second {
			t.Errorf("written %v after the start, want 56s, which is 8 s before the kill: %v", written.Sub(b.began), err)
		}
	})
}

func cut(text, after, before string) string {
	_, text, _ = strings.Cut(text, after)
	text, _, _ = strings.Cut(text, before)
	return text
}

func TestAShortTroubleIsSurvivedAndToldOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, stop := startBench(t)
		fine := func() bool { s := time.Since(b.began); return s < 30*time.Second || s >= 38*time.Second }
		b.Check("capture yard", func() error {
			if fine() {
				return nil
			}
			return errors.New("its loop is 2 s behind")
		})
		time.Sleep(10 * time.Minute)
		stop()
		if b.killed() != 0 || !b.Alive() {
			t.Errorf("killed at %v: pings at %v", b.killed(), b.pings)
		}
		if b.logged(`check="capture yard" error="its loop is 2 s behind"`) != 1 || b.logged("passes again") != 1 ||
			b.logged(`check="capture yard" failed_for=6s`) != 1 {
			t.Errorf("log:\n%s", b.log)
		}
		if _, err := os.Stat(b.folder); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("a trouble that was soon over left stacks behind: %v", err)
		}
	})
}

func TestACheckThatDoesNotAnswerFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, stop := startBench(t)
		var lock sync.Mutex // that somebody never gives back
		release := make(chan struct{})
		asked := 0
		b.Check("state", func() error {
			asked++
			if time.Since(b.began) >= time.Minute {
				<-release
			}
			lock.Lock()
			defer lock.Unlock()
			return nil
		})
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if b.killed() == 0 || b.logged("does not answer") != 1 {
			t.Errorf("killed at %v; log:\n%s", b.killed(), b.log)
		}
		if asked > 5 {
			t.Errorf("it was asked %d times: goroutines pile up", asked)
		}
		close(release)
		time.Sleep(time.Minute)
		stop()
		if b.logged("passes again") != 1 || !b.Alive() {
			t.Errorf("it answers again; log:\n%s", b.log)
		}
	})
}

func TestALoopThatHasEndedIsNotMissed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, stop := startBench(t)
		b.Watch("supervisor", time.Second).Ended()
		time.Sleep(5 * time.Minute)
		stop()
		if b.killed() != 0 || b.log.Len() > 0 {
			t.Errorf("killed at %v; log: %s", b.killed(), b.log)
		}
	})
}

func TestAPingThatIsLostIsSentAgainInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, stop := startBench(t)
		time.Sleep(40 * time.Second)
		b.refuse.Store(true)
		time.Sleep(20 * time.Second) // the ping at 48 s is lost
		b.refuse.Store(false)
		time.Sleep(time.Minute)
		stop()
		if b.killed() != 0 || b.logged("queue full") != 1 {
			t.Errorf("killed at %v, pings at %v; log:\n%s", b.killed(), b.pings, b.log)
		}
	})
}

func TestNothingIsAskedWithoutAWatchdog(t *testing.T) {
	w := NewWatchdog(WatchdogOptions{})
	w.Check("never", func() error { t.Error("asked"); return nil })
	if err := w.Run(t.Context()); err != nil || !w.Alive() {
		t.Errorf("%v, alive %t", err, w.Alive())
	}
}

func TestTheOlderStacksAreKeptAndNoMore(t *testing.T) {
	folder := t.TempDir()
	for _, heading := range []string{"first\n", "second\n", "third\n"} {
		if _, err := writeStacks(folder, heading); err != nil {
			t.Fatal(err)
		}
	}
	entries, err := os.ReadDir(folder)
	if err != nil || len(entries) != 2 {
		t.Fatalf("%v, %v", entries, err)
	}
	for name, want := range map[string]string{StacksFile: "third", OlderStacksFile: "second"} {
		text, err := os.ReadFile(filepath.Join(folder, name))
		if err != nil || !strings.HasPrefix(string(text), want) {
			t.Errorf("%s: %.20q, %v, want %s", name, text, err, want)
		}
	}
}

func TestStacksAreBounded(t *testing.T) {
	release := make(chan struct{})
	var all sync.WaitGroup
	for range 20_000 {
		all.Go(func() { <-release })
	}
	runtime.Gosched()
	path, err := writeStacks(t.TempDir(), "")
	close(release)
	all.Wait()
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Size() < maxStacks || info.Size() > maxStacks+1024 {
		t.Errorf("%v, %v", info.Size(), err)
	}
}

func TestAStateDirectoryThatCannotBeMadeIsSaid(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := writeStacks(filepath.Join(file, "state"), ""); err == nil || !strings.Contains(err.Error(), file) {
		t.Errorf("%v", err)
	}
}
