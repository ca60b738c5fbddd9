package main

import (
	"context"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestMain lets the test's binary be the process that is killed.
func TestMain(m *testing.M) {
	if len(os.Args) > 2 && os.Args[1] == "-device" {
		if err := runMaker(context.Background(), os.Args[2]); err != nil {
			os.Stderr.WriteString(err.Error() + "\n")
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// The small form of what `make nightly` does with 100,000 events.
func TestNothingThatWasSyncedIsLost(t *testing.T) {
	if _, err := exec.LookPath("mosquitto"); err != nil {
		t.Skip("mosquitto is missing: install the package mosquitto")
	}
	var out strings.Builder
	o := options{events: 5000, restarts: 3, kills: 3, signal: syscall.SIGTERM, within: 10 * time.Minute, dir: t.TempDir()}
	err := run(t.Context(), o, &out)
	t.Log(out.String())
	if err != nil {
		t.Error(err)
	}
}

// An account that cannot fail would be none.
func TestTheAccountFindsWhatIsWrong(t *testing.T) {
	event := func(epoch string, seq string) []byte { return []byte(`{"epoch":"` + epoch + `","seq":` + seq + `}`) }
	a := newAccount()
	for _, seq := range []string{"1", "2", "2", "5", "4"} {
		a.take("yard", event("a", seq))
	}
	a.take("yard", event("b", "1"))
	a.take("yard", event("a", "6"))
	a.take("yard", []byte("no event"))
	f := a.figures([]told{{Epoch: "a", Made: 8, Kept: 6, Lost: 1}, {Epoch: "b", Made: 1, Kept: 1}}, 0)
	want := figures{made: 9, delivered: 6, duplicates: 1, given: 1, lost: 1, unkept: 2, disorder: 2, broken: 1}
	if f != want {
		t.Errorf("%+v, not %+v", f, want)
	}
	if err := f.verdict(); err == nil || strings.Count(err.Error(), "\n") != 4 {
		t.Errorf("the verdict is %v", err)
	}
}
