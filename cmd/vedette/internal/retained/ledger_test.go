package retained

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

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
