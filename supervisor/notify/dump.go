package notify

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"vedette/whole"
)

// The stacks of a service that hung: of the last time, and of the time before.
const (
	StacksFile      = "watchdog-stacks.txt"
	OlderStacksFile = "watchdog-stacks.older.txt"
	maxStacks       = 1 << 20 // bytes: some thousand goroutines
)

const leftBehind = time.Second // how long end waits for a file that is being written

// dump writes the stacks when a trouble has lasted.
type dump struct {
	timer   *time.Timer
	written chan struct{} // closed once it is written, or cannot be
}

// startDump arms it: a goroutine of its own writes, since the file system may be what hangs.
func startDump(opts WatchdogOptions, heading string) *dump {
	d := &dump{written: make(chan struct{})}
	d.timer = time.AfterFunc(opts.Period/dumpPart, func() {
		defer close(d.written)
		path, err := writeStacks(opts.Folder, heading)
		if err != nil {
			opts.Logger.Error("cannot keep the stacks of a service that hangs", "error", err)
			return
		}
		opts.Logger.Error("stacks of a service that hangs are kept", "file", path)
	})
	return d
}

// end calls it off, or waits a little for its end. It may be called on nil.
func (d *dump) end() {
	if d == nil || d.timer.Stop() {
		return
	}
	timer := time.NewTimer(leftBehind)
	defer timer.Stop()
	select {
	case <-d.written:
	case <-timer.C:
	}
}

// heading is what the file says besides the stacks.
func heading(failed []verdict, pinged time.Time) string {
	var text strings.Builder
	for _, v := range failed {
		if v.err != nil {
			fmt.Fprintf(&text, "check %s: %v\n", v.check.name, v.err)
		}
	}
	fmt.Fprintf(&text, "systemd was last told that the service lives at %s\n", pinged.UTC().Format(time.RFC3339))
	return text.String()
}

// writeStacks keeps every goroutine's stack in a file that survives the process and, once it gives no error, the machine.
func writeStacks(folder, heading string) (string, error) {
	text := make([]byte, maxStacks)
	n := runtime.Stack(text, true)
	path := filepath.Join(folder, StacksFile)
	heading = fmt.Sprintf("%sprocess %d, stacks as of %s\n\n", heading, os.Getpid(), time.Now().UTC().Format(time.RFC3339))
	if err := os.MkdirAll(folder, 0o750); err != nil {
		return "", fmt.Errorf("cannot make the state directory: %w", err)
	}
	temporary := path + ".new"
	if err := writeSynced(temporary, append([]byte(heading), text[:n]...)); err != nil {
		return "", fmt.Errorf("cannot write the stacks: %w", err)
	}
	if err := os.Rename(path, filepath.Join(folder, OlderStacksFile)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return "", fmt.Errorf("cannot keep the older stacks: %w", err)
	}
	if err := os.Rename(temporary, path); err != nil {
		return "", fmt.Errorf("cannot write the stacks: %w", err)
	}
	return path, whole.SyncFolder(folder)
}

func writeSynced(path string, text []byte) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o640)
	if err != nil {
		return err
	}
	_, err = file.Write(text)
	return errors.Join(err, file.Sync(), file.Close())
}
