package pipeline

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"vedette/supervisor"
)

// Workers of the model before are neither the new one's proof nor its fault.
func TestWhatATrialSees(t *testing.T) {
	const old, on = "/models/old", "/models/on"
	for _, c := range []struct {
		name          string
		workers       []seenWorker
		runs, givenUp bool
	}{
		{"all run it", []seenWorker{{supervisor.Ready, on}, {supervisor.Ready, on}}, true, false},
		{"one still runs the old one", []seenWorker{{supervisor.Ready, on}, {supervisor.Ready, old}}, false, false},
		{"the old one was given up", []seenWorker{{supervisor.Degraded, old}, {supervisor.Ready, on}}, false, false},
		{"it is given up", []seenWorker{{supervisor.Degraded, on}, {supervisor.Ready, on}}, false, true},
		{"it loads", []seenWorker{{supervisor.Starting, on}}, false, false},
		{"the spare was shed", []seenWorker{{supervisor.Ready, on}, {supervisor.Stopped, old}}, true, false},
		{"nothing runs", []seenWorker{{supervisor.Stopped, ""}}, false, false},
	} {
		if runs, givenUp := onTrial(c.workers, on); runs != c.runs || givenUp != c.givenUp {
			t.Errorf("%s: it runs %v, is given up %v", c.name, runs, givenUp)
		}
	}
	var faults modelFaults
	faults.add(old)
	faults.add(on)
	faults.add(on)
	if faults.of(old) != 1 || faults.of(on) != 2 {
		t.Errorf("%d faults of the old one, %d of the new", faults.of(old), faults.of(on))
	}
	if faults.forget(on); faults.of(on) != 0 {
		t.Error("a second chance begins with the faults of the first")
	}
}

// Where the bundle in use is gone nobody chose what would run in its place.
func TestAModelThatIsGoneIsNotReplacedInSilence(t *testing.T) {
	state := t.TempDir()
	home := filepath.Join(state, "models", "yard")
	if err := os.MkdirAll(home, 0o755); err != nil {
		t.Fatal(err)
	}
	fallback := filepath.Join(state, "models", "yard.onnx")
	if err := os.WriteFile(fallback, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if path, err := ModelPath("yard", state); err != nil || path != fallback {
		t.Errorf("without a bundle: %s, %v", path, err)
	}
	if err := os.Symlink("sha256-"+strings.Repeat("0", 64), filepath.Join(home, "current")); err != nil {
		t.Fatal(err)
	}
	if path, err := ModelPath("yard", state); err == nil || !strings.Contains(err.Error(), "vedette model rollback yard") {
		t.Errorf("with a bundle that is gone: %s, %v", path, err)
	}
}
