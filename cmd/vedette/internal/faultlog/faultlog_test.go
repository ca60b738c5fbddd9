package faultlog

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"vedette/mqtt/payload"
)

func fault(generation uint64) payload.Fault {
	return payload.Fault{
		V: payload.Version, Time: payload.Time{Time: time.Date(2026, 11, 24, 1, 2, 3, 4000, time.UTC)}, Clock: payload.Synced,
		Process: "infer-worker", Kind: "panic", Message: "panic: x", Generation: generation,
	}
}

func TestACrashLoopLeavesItsBeginningAndItsEnd(t *testing.T) {
	dir := t.TempDir()
	log := New(dir)
	if kept, err := log.Faults(); err != nil || len(kept) != 0 {
		t.Fatalf("an empty log has %v, %v", kept, err)
	}
	const crashes = 100
	for i := range uint64(crashes) {
		if err := New(dir).Add(fault(i + 1)); err != nil {
			t.Fatal(err)
		}
	}
	kept, err := log.Faults()
	if err != nil || len(kept) != maxFaults {
		t.Fatalf("%d faults are kept, %v", len(kept), err)
	}
	for i, f := range kept {
		want := uint64(i + 1)
		if i >= maxFaults/2 {
			want = crashes - maxFaults + uint64(i) + 1
		}
		if f.Generation != want || !f.Time.Equal(fault(0).Time.Time) {
			t.Errorf("fault %d is of generation %d at %v, want generation %d", i, f.Generation, f.Time, want)
		}
	}
	if entries, _ := os.ReadDir(filepath.Join(dir, "faults")); len(entries) != maxFaults {
		t.Errorf("%d files are left", len(entries))
	}
}

func TestWhatIsDamagedIsNamedAndTheRestIsRead(t *testing.T) {
	dir := t.TempDir()
	log := New(dir)
	for i := range uint64(3) {
		if err := log.Add(fault(i)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "faults", "00000002.json"), []byte(`{"v":1,`), 0o600); err != nil {
		t.Fatal(err)
	}
	kept, err := log.Faults()
	if len(kept) != 2 || err == nil {
		t.Errorf("%d faults are read, error %v", len(kept), err)
	}
}
