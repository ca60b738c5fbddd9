package retained

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestWhatIsNotedIsThereAfterARestart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "retained.json")
	l, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	count := Entry{Topic: "b", Kind: Count, Camera: "yard", Label: "person", Part: "person"}
	found := Entry{Topic: "a", Kind: Discovery, Components: map[string]string{"x": "sensor"}}
	if !l.Note(count) || l.Note(count) || !l.Note(found) || !l.Note(Entry{Topic: "c", Kind: Count}) {
		t.Error("what is new is not told from what is known")
	}
	changed := found
	changed.Components = map[string]string{"y": "image"}
	if !l.Note(changed) {
		t.Error("a change is not seen")
	}
	l.Forget("c")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	l.Run(ctx, slog.New(slog.DiscardHandler))
	again, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]Entry{changed, count}, again.all()); diff != "" {
		t.Error(diff)
	}
}

func FuzzOpen(f *testing.F) {
	f.Add([]byte(`[{"topic":"a","kind":"count"}]`))
	f.Add([]byte(`[`))
	f.Fuzz(func(t *testing.T, text []byte) {
		path := filepath.Join(t.TempDir(), "retained.json")
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		l, err := Open(path)
		if l == nil || err != nil && len(l.all()) > 0 {
			t.Errorf("%v", err)
		}
	})
}

// A label more than there is room for is not news at each count.
func TestAFullLedgerTellsOfNothingNew(t *testing.T) {
	l, err := Open("")
	if err != nil {
		t.Fatal(err)
	}
	for n := range maxEntries {
		if !l.Note(Entry{Topic: fmt.Sprint(n), Kind: Count}) {
			t.Fatalf("%d is known", n)
		}
	}
	for range 2 {
		if l.Note(Entry{Topic: "more", Kind: Count}) {
			t.Error("what is not remembered is said to be new")
		}
	}
	if !l.overflows() || !l.Note(Entry{Topic: "7", Kind: Picture}) {
		t.Error("what is remembered can no longer change")
	}
}

func TestWhatWasNotSavedIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "state")
		path := filepath.Join(dir, "retained.json")
		l, err := Open(path)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			l.Run(ctx, slog.New(slog.DiscardHandler))
		}()
		l.Note(Entry{Topic: "a", Kind: Count})
		time.Sleep(10 * time.Second)
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * saveAgain)
		if again, err := Open(path); err != nil || len(again.all()) != 1 {
			t.Errorf("%v, %v", again.all(), err)
		}
		cancel()
		<-done
	})
}
