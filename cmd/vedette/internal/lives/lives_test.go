package lives

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func message(id, kind string, seq int) []byte {
	return fmt.Appendf(nil, `{"v":1,"type":%q,"id":%q,"camera":"yard","reason":"x","epoch":"e","seq":%d,"time":"2026-01-01T00:00:00.000000Z",`+
		`"clock":"synced","boot_id":"b","monotonic_ns":1,"sequence":2,"before":null,"after":{"label":"person","seq":%d}}`, kind, id, seq, seq)
}

// life runs a journal while f notes, and cuts it off where killed.
func life(t *testing.T, path string, f func(*Journal)) Left {
	t.Helper()
	j, left := Open(path, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- j.Run(ctx) }()
	f(j)
	synctest.Wait()
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	return left
}

func ids(messages []Message) (all []string) {
	for _, m := range messages {
		all = append(all, m.ID)
	}
	return all
}

func TestWhatIsOpenIsThereAtTheNextStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "open")
		life(t, path, func(j *Journal) {
			j.Note("a", "new", message("a", "new", 1))
			j.Note("b", "new", message("b", "new", 2))
			time.Sleep(10 * time.Second)
			j.Note("b", "update", message("b", "update", 3))
			j.Note("a", "end", message("a", "end", 4))
		})
		left := life(t, path, func(j *Journal) { j.Note("b", "end", message("b", "end", 5)) })
		if got := ids(left.Open); fmt.Sprint(got) != "[b]" {
			t.Errorf("open: %v", got)
		}
		if got := ids(left.Again); fmt.Sprint(got) != "[b a]" { // the new of each is 10 s old
			t.Errorf("to be sent again: %v", got)
		}
		if len(left.Open) == 1 && !strings.Contains(string(left.Open[0].Text), `"seq":3`) {
			t.Errorf("%s is not the last message", left.Open[0].Text)
		}
		if left := life(t, path, func(*Journal) {}); len(left.Open)+len(left.Again) > 0 {
			t.Errorf("after a stop in good order there is %+v", left)
		}
	})
}

func TestWhatHasSettledIsNotSentAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "open")
		life(t, path, func(j *Journal) {
			j.Note("a", "new", message("a", "new", 1))
			time.Sleep(5 * time.Second)
		})
		left := life(t, path, func(*Journal) {})
		if len(left.Again) != 0 || len(left.Open) != 1 {
			t.Errorf("%+v", left)
		}
	})
}

func TestTheFileDoesNotGrowForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "open")
		life(t, path, func(j *Journal) {
			j.Note("long", "new", message("long", "new", 1))
			for n := range 5000 {
				id := fmt.Sprint(n)
				j.Note(id, "new", message(id, "new", n))
				j.Note(id, "end", message(id, "end", n))
			}
			time.Sleep(5 * time.Second)
		})
		info, err := os.Stat(path)
		if err != nil || info.Size() > 4096 {
			t.Errorf("%d bytes, %v", info.Size(), err)
		}
		if left := life(t, path, func(*Journal) {}); fmt.Sprint(ids(left.Open)) != "[long]" {
			t.Errorf("%v", ids(left.Open))
		}
	})
}

func size(t *testing.T, path string) int64 {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}

// A busy camera leaves no pause in which the file could be tidied.
func TestTheFileDoesNotGrowWithoutAPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "open")
		j, _ := Open(path, slog.New(slog.DiscardHandler))
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- j.Run(ctx) }()
		most := int64(0)
		j.Note("long", "new", message("long", "new", 1))
		for n := range 2 * 3600 {
			j.Note("long", "update", message("long", "update", n))
			time.Sleep(500 * time.Millisecond)
			most = max(most, size(t, path))
		}
		stats := j.Stats()
		_, left := Open(path, slog.New(slog.DiscardHandler)) // as after a kill
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		text := uint64(len(message("long", "update", 1))) + 1
		if stats.Written < 2*3600*text || stats.Written > 2*3600*2*text || stats.Syncs == 0 || stats.Syncs > 60 {
			t.Errorf("an hour of updates, %d bytes each: %+v", text, stats) // updates alone are not synced, new files are
		}
		if most > rewriteAt+8<<10 {
			t.Errorf("the file had %d bytes", most)
		}
		if fmt.Sprint(ids(left.Open)) != "[long]" || len(left.Again) < 3 || len(left.Again) > 10 {
			t.Errorf("open: %v; %d are sent again, which is not what the last 2 to 4 s had", ids(left.Open), len(left.Again))
		}
	})
}

// What is written anew may have a message that waited at that time twice. An object ends once.
func TestAnObjectIsLeftOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "open")
	a, b := string(message("a", "new", 1))+"\n", string(message("b", "new", 2))+"\n"
	if err := os.WriteFile(path, []byte(b+a+mark+a+mark+a), 0o600); err != nil {
		t.Fatal(err)
	}
	_, left := Open(path, slog.New(slog.DiscardHandler))
	if got := ids(left.Open); fmt.Sprint(got) != "[b a]" {
		t.Errorf("open: %v", got)
	}
}

func TestWhatTheDiskDidNotTakeIsWrittenLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "state")
		path := filepath.Join(dir, "open")
		life(t, path, func(j *Journal) {
			j.Note("a", "new", message("a", "new", 1))
			time.Sleep(10 * time.Second)
			if err := os.Mkdir(dir, 0o700); err != nil {
				t.Error(err)
			}
			time.Sleep(10 * time.Second)
		})
		if left := life(t, path, func(*Journal) {}); fmt.Sprint(ids(left.Open)) != "[a]" {
			t.Errorf("open: %v", ids(left.Open))
		}
	})
}

// Where the disk takes nothing until no room is left, the file is made of what is open once it takes something again.
func TestWhatFoundNoRoomIsMadeGood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "state")
		path := filepath.Join(dir, "open")
		life(t, path, func(j *Journal) {
			j.Note("ends", "new", message("ends", "new", 1))
			for n := range maxWaiting / len(message("long", "update", 0)) {
				j.Note("long", "update", message("long", "update", n))
			}
			j.Note("ends", "end", message("ends", "end", 3))
			j.Note("late", "new", message("late", "new", 4))
			if err := os.Mkdir(dir, 0o700); err != nil {
				t.Error(err)
			}
			time.Sleep(10 * time.Second)
		})
		if left := life(t, path, func(*Journal) {}); fmt.Sprint(ids(left.Open)) != "[long late]" {
			t.Errorf("open: %v", ids(left.Open))
		}
	})
}

func TestATornLineSpoilsNoOther(t *testing.T) {
	for _, torn := range []string{"-", "{\"type\":\"end\",\"id\":\"a\"", string(message("a", "end", 3))} {
		synctest.Test(t, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "open")
			if err := os.WriteFile(path, []byte(mark+string(message("a", "new", 1))+"\n"+torn), 0o600); err != nil {
				t.Fatal(err)
			}
			left := life(t, path, func(j *Journal) { j.Note("b", "new", message("b", "new", 2)) })
			if fmt.Sprint(ids(left.Again)) != "[a]" {
				t.Errorf("behind it %q: %v are sent again", torn, ids(left.Again))
			}
			if left := life(t, path, func(*Journal) {}); !strings.HasSuffix(fmt.Sprint(ids(left.Open)), "b]") {
				t.Errorf("behind it %q: %v are open", torn, ids(left.Open))
			}
		})
	}
}

func TestADamagedFileGivesWhatIsWhole(t *testing.T) {
	path := filepath.Join(t.TempDir(), "open")
	text := string(message("a", "new", 1)) + "\nrubbish\n{\"type\":\n" + string(message("b", "new", 2)) + "\n{\"type\":\"new\",\"id\""
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	_, left := Open(path, slog.New(slog.DiscardHandler))
	if fmt.Sprint(ids(left.Open)) != "[a b]" {
		t.Errorf("%v", ids(left.Open))
	}
}

func TestAnEndIsMadeOfTheLastMessage(t *testing.T) {
	end, err := EndOf(message("a", "update", 7), "restarted")
	if err != nil {
		t.Fatal(err)
	}
	var m map[string]any
	if err := json.Unmarshal(end(nil, "next", 12), &m); err != nil {
		t.Fatal(err)
	}
	if m["type"] != "end" || m["reason"] != "restarted" || m["epoch"] != "next" || m["seq"] != 12.0 || fmt.Sprint(m["before"]) != fmt.Sprint(m["after"]) {
		t.Errorf("%v", m)
	}
	if _, err := EndOf([]byte(`{"type":"new"}`), "restarted"); err == nil {
		t.Error("a part of a message has an end")
	}
}

func FuzzOpen(f *testing.F) {
	f.Add([]byte(string(message("a", "new", 1)) + "\n-\n\n-"))
	f.Add([]byte("\n \n--\n{}\n-\n{\"id\":1}"))
	f.Fuzz(func(t *testing.T, text []byte) {
		path := filepath.Join(t.TempDir(), "open")
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		_, left := Open(path, slog.New(slog.DiscardHandler))
		for _, m := range left.Open {
			if end, err := EndOf(m.Text, "restarted"); err == nil && !json.Valid(end(nil, "e", 1)) {
				t.Errorf("the end of %q is no JSON", m.Text)
			}
		}
	})
}
