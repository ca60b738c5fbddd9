package outbox

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// slowSync is a disk whose syncs wait until they are let go on.
type slowSync struct {
	Files
	began chan struct{}
	ends  chan error
}

type slowSyncFile struct {
	File
	disk slowSync
}

func (s slowSync) Create(name string) (File, error) {
	file, err := s.Files.Create(name)
	return slowSyncFile{file, s}, err
}

func (f slowSyncFile) Sync() error {
	if f.disk.began == nil {
		return f.File.Sync()
	}
	f.disk.began <- struct{}{}
	if err := <-f.disk.ends; err != nil {
		return err
	}
	return f.File.Sync()
}

// While the disk syncs, events are handed to the file system nevertheless: the end of the process takes none of them.
func TestWritesGoOnWhileTheDiskSyncs(t *testing.T) {
	for name, end := range map[string]error{"syncs at last": nil, "fails at last": errors.New("the disk is gone")} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				disk := slowSync{Files: newFakeDisk(), ends: make(chan error)}
				o := Open(quiet(disk))
				disk.began = make(chan struct{})
				o.disk.open[0].file = slowSyncFile{o.disk.open[0].file.(slowSyncFile).File, disk}
				ctx, stop := context.WithCancel(t.Context())
				done := make(chan error, 1)
				go func() { done <- o.Run(ctx) }()
				put(t, o, 10, 100)
				<-disk.began
				put(t, o, 10, 100)
				synctest.Wait()
				if s := o.Status(); s.InMemory != 0 || s.Unsynced != 20 {
					t.Errorf("while it syncs: %+v", s)
				}
				time.Sleep(2 * slow)
				if why := o.Status().Failure; !strings.Contains(why, "has not answered") {
					t.Errorf("it says %q of a disk that hangs", why)
				}
				disk.ends <- end
				<-disk.began // of the second ten, or of all once more
				if s := o.Status(); s.Unsynced != 10 && end == nil || s.Unsynced != 20 && end != nil {
					t.Errorf("afterwards: %+v", s)
				}
				disk.ends <- nil
				synctest.Wait()
				if s := o.Status(); s.Unsynced != 0 || end != nil && s.Failure != "" {
					t.Errorf("at last: %+v", s)
				}
				stop()
				<-disk.began
				disk.ends <- nil
				if err := <-done; err != nil {
					t.Error(err)
				}
			})
		})
	}
}
