package identity

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestTheFloorOutlastsARestartAndNeverFalls(t *testing.T) {
	path := filepath.Join(t.TempDir(), "time-floor")
	f, err := OpenFloor(path)
	if err != nil || !f.Now().IsZero() {
		t.Fatalf("at first: %v, %v", f.Now(), err)
	}
	at := time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)
	for _, now := range []time.Time{at, at.Add(-48 * time.Hour), at.Add(time.Minute)} {
		if err := f.Raise(now, false); err != nil {
			t.Fatal(err)
		}
	}
	if now := f.Now(); now.Before(at.Add(time.Minute)) {
		t.Errorf("%v", now)
	}
	if text, _ := os.ReadFile(path); string(text) != "2026-06-01T12:00:00Z\n" {
		t.Errorf("within an hour of the first it wrote %q", text)
	}
	if err := f.Raise(at.Add(2*time.Minute), true); err != nil {
		t.Fatal(err)
	}
	again, err := OpenFloor(path)
	if err != nil || again.Now().Before(at.Add(2*time.Minute)) {
		t.Errorf("after a restart: %v, %v", again.Now(), err)
	}
}

func TestAFloorThatCannotBeReadIsNone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "time-floor")
	if err := os.WriteFile(path, []byte("yesterday"), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := OpenFloor(path)
	if err == nil || !f.Now().IsZero() {
		t.Errorf("%v, %v", f.Now(), err)
	}
}

// A full disk now does not cost the floor for an hour.
func TestAFloorThatWasNotWrittenIsTriedAgain(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	f, err := OpenFloor(filepath.Join(dir, "time-floor"))
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)
	if err := f.Raise(at, false); err == nil {
		t.Fatal("it is written into a folder that is not there")
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := f.Raise(at.Add(time.Minute), false); err != nil {
		t.Fatal(err)
	}
	if text, _ := os.ReadFile(f.path); string(text) != "2026-06-01T12:01:00Z\n" {
		t.Errorf("it wrote %q", text)
	}
}
