//go:build faultinject

package inject

import (
	"context"
	"os"
	"strconv"
	"time"

	"vedette/mqtt/outbox"
)

// The service's environment.
const (
	eventsEnv = "VEDETTE_INJECT_EVENTS"
	slowEnv   = "VEDETTE_INJECT_SLOW"
	provenEnv = "VEDETTE_INJECT_PROVEN"
)

// slowness is what a worn flash may take for a sync.
const slowness = 2 * time.Second

// Events calls publish with the numbers of events that are made up, until ctx ends.
func Events(ctx context.Context, publish func(n uint64)) {
	rate, err := strconv.ParseFloat(os.Getenv(eventsEnv), 64)
	if err != nil || rate <= 0 {
		return
	}
	ticker := time.NewTicker(time.Duration(float64(time.Second) / rate))
	defer ticker.Stop()
	for n := uint64(1); ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			publish(n)
		}
	}
}

// Proven is how soon a connection to the broker counts as good: a test does not wait as long as a fleet.
func Proven() time.Duration {
	d, err := time.ParseDuration(os.Getenv(provenEnv))
	if err != nil {
		return 0
	}
	return d
}

// Files makes a disk slow on demand.
func Files(files outbox.Files) outbox.Files {
	path := os.Getenv(slowEnv)
	if path == "" {
		return files
	}
	return slowFiles{files, path}
}

type slowFiles struct {
	outbox.Files
	path string
}

func (f slowFiles) Create(name string) (outbox.File, error) {
	f.wait()
	file, err := f.Files.Create(name)
	if err != nil {
		return nil, err
	}
	return slowFile{file, f}, nil
}

func (f slowFiles) wait() {
	if _, err := os.Stat(f.path); err == nil {
		time.Sleep(slowness)
	}
}

type slowFile struct {
	outbox.File
	files slowFiles
}

func (f slowFile) WriteAt(data []byte, at int64) (int, error) {
	f.files.wait()
	return f.File.WriteAt(data, at)
}

func (f slowFile) Sync() error {
	f.files.wait()
	return f.File.Sync()
}
