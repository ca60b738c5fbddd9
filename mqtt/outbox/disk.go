package outbox

import (
	"context"
	"errors"
	"io"
	"slices"
	"syscall"
	"time"
)

// disk is what the goroutine that writes knows.
type disk struct {
	read   bool       // what was there at the start is known
	last   uint64     // number of the newest file
	open   []*segment // that have a file open
	proved bool       // it has taken something since it last failed
	left   mark       // how far another life's acknowledgement had come
	reread time.Time  // when the segment that the sender waits for is tried to be read again

	aside   bool          // syncs have a goroutine of their own
	syncing *syncing      // the one that is under way
	synced  chan *syncing // tells that it has ended
}

// mostOpen is how many files may be open while a sync is under way: none of them can be closed meanwhile.
const mostOpen = 8

// ageEvery is how often it is looked whether messages are too old.
const ageEvery = time.Minute

// Run does what has to do with the disk, until ctx ends; then it writes what there is and closes the outbox. A disk that hangs
// holds it up.
func (o *Outbox) Run(ctx context.Context) error {
	<-o.opened
	o.disk.aside, o.disk.synced = true, make(chan *syncing, 1)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return o.close()
		case s := <-o.disk.synced:
			o.disk.syncing = nil
			if now := time.Now(); o.settle(s) != nil {
				o.refused(s.err, now)
			}
		case <-o.wake:
		case <-timer.C:
		}
		timer.Reset(time.Until(o.step(time.Now())))
	}
}

// step does what is to be done now, and says when there may be more.
func (o *Outbox) step(now time.Time) (next time.Time) {
	next = now.Add(ageEvery)
	defer o.say()
	if o.opts.Files == nil {
		o.mu.Lock()
		defer o.mu.Unlock()
		o.age()
		return next
	}
	o.mu.Lock()
	resume := o.trouble.resume
	o.mu.Unlock()
	resting := now.Before(resume)
	if !o.disk.read {
		if resting {
			return resume
		}
		if err := o.survey(); err != nil {
			o.fail(err, now)
			return o.step(now)
		}
	}
	if again := o.load(now); !again.IsZero() {
		next = again
	}
	o.mu.Lock()
	o.age()
	o.mu.Unlock()
	if resting {
		return earlier(next, resume)
	}
	due, err := o.work(now)
	if err != nil {
		o.refused(err, now)
		return earlier(next, now.Add(leastRest))
	}
	if o.disk.proved && o.disk.syncing == nil {
		o.recovered()
	}
	if !due.IsZero() {
		next = earlier(next, due)
	}
	return next
}

// refused notes that the disk did not take something.
func (o *Outbox) refused(err error, now time.Time) {
	o.disk.proved = false
	o.fail(err, now)
	o.makeRoom(err)
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// work writes, syncs and removes what there is to be.
func (o *Outbox) work(now time.Time) (due time.Time, err error) {
	if o.disk.syncing != nil && len(o.disk.open) >= mostOpen {
		return due, nil // its end will be told
	}
	o.noteMark()
	if err := o.write(); err != nil {
		return due, err
	}
	o.mu.Lock()
	sync, due := o.pace.due(now)
	o.mu.Unlock()
	if sync && o.disk.syncing == nil {
		if err := o.sync(now); err != nil {
			return due, err
		}
	}
	if o.disk.syncing != nil {
		return time.Time{}, o.removeFiles()
	}
	o.closeFiles()
	return due, o.removeFiles()
}

// noteMark appends how far acknowledgement has come.
func (o *Outbox) noteMark() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.feed.moved {
		return
	}
	o.feed.moved = false
	s := o.active()
	var body []byte
	if o.feed.mark.epoch != s.header.epoch {
		body = o.feed.mark.epoch[:]
	}
	s.data = appendRecord(s.data, acknowledged, o.feed.mark.seq, body)
}

// write hands to the file system what is in memory alone.
func (o *Outbox) write() error {
	for {
		o.mu.Lock()
		i := slices.IndexFunc(o.segments, func(s *segment) bool {
			return s.unwritten() > 0 && (s.number != 0 || len(s.data) > headerSize || o.trouble.err != nil)
		})
		if i < 0 {
			o.mu.Unlock()
			return nil
		}
		s := o.segments[i]
		if s.number == 0 {
			s.number = o.disk.last + 1
			o.disk.last = s.number
		}
		at, data := s.written, s.data[s.written:]
		o.mu.Unlock()
		if err := o.writeTo(s, data, at); err != nil {
			return err
		}
		o.disk.proved = true
		o.mu.Lock()
		s.written = at + len(data)
		o.counts.Written += uint64(len(data))
		o.mu.Unlock()
	}
}

func (o *Outbox) writeTo(s *segment, data []byte, at int) error {
	if s.file == nil {
		err := o.ask(&o.trouble.writes, "make a file of the outbox", func() (err error) {
			s.file, err = o.opts.Files.Create(fileName(s.number))
			return err
		})
		if err != nil {
			o.mu.Lock()
			s.number = 0 // the next try makes another file: this one may be there nevertheless
			o.mu.Unlock()
			return err
		}
		o.disk.open = append(o.disk.open, s)
	}
	return o.ask(&o.trouble.writes, "write to the outbox", func() error {
		_, err := s.file.WriteAt(data, int64(at))
		return err
	})
}

// closeFiles closes the files that will not be written again, and frees the memory of what is on the disk.
func (o *Outbox) closeFiles() {
	var files []File
	o.mu.Lock()
	active := o.active()
	o.disk.open = slices.DeleteFunc(o.disk.open, func(s *segment) bool {
		if !s.gone && (s == active || s.synced < len(s.data)) {
			return false
		}
		files = append(files, s.file)
		s.file = nil
		if !s.gone && s.acked == 0 && s.next == headerSize {
			s.size, s.data = int64(len(s.data)), nil
		}
		return true
	})
	o.mu.Unlock()
	for _, file := range files {
		_ = file.Close() // it is synced, or not wanted
	}
}

// removeFiles removes what is acknowledged or given up. The newest file stays, so that no number is used twice.
func (o *Outbox) removeFiles() error {
	o.mu.Lock()
	doomed := slices.Clone(o.doomed)
	o.mu.Unlock()
	for _, number := range doomed {
		if number == o.disk.last {
			continue
		}
		err := o.ask(&o.trouble.writes, "remove a file of the outbox", func() error { return o.opts.Files.Remove(fileName(number)) })
		if err != nil {
			return err
		}
		o.mu.Lock()
		o.doomed = slices.DeleteFunc(o.doomed, func(n uint64) bool { return n == number })
		o.mu.Unlock()
	}
	return nil
}

// makeRoom gives up what is oldest on a disk that is full, once memory fills up as well.
func (o *Outbox) makeRoom(err error) {
	if !errors.Is(err, syscall.ENOSPC) && !errors.Is(err, syscall.EDQUOT) {
		return
	}
	o.mu.Lock()
	memory := 0
	for _, s := range o.segments {
		memory += s.unwritten()
	}
	oldest := o.segments[0]
	if memory > o.opts.Memory/2 && oldest != o.active() && oldest.number != 0 {
		o.giveUp(oldest, "the disk is full")
	}
	doomed := len(o.doomed)
	o.mu.Unlock()
	if doomed > 0 {
		if o.disk.syncing == nil {
			o.closeFiles()
		}
		_ = o.removeFiles() // what cannot be removed is tried again with the rest
	}
}

// close ends the outbox in good order: the next one continues its epoch.
func (o *Outbox) close() error {
	if o.opts.Files == nil {
		return nil
	}
	var err error
	o.disk.aside = false
	if o.disk.syncing != nil {
		err = o.settle(<-o.disk.synced)
		o.disk.syncing = nil
	}
	if o.disk.read {
		err = o.finish() // what a sync did not bring to the disk is written again
	}
	for _, s := range o.disk.open {
		err = errors.Join(err, s.file.Close())
	}
	o.disk.open = nil
	if closer, ok := o.opts.Files.(io.Closer); ok {
		err = errors.Join(err, closer.Close())
	}
	if n := o.Status().InMemory; n > 0 {
		o.opts.Logger.Error("messages are lost: the disk has not taken them", "bytes", n, "error", err)
	}
	return err
}

// finish writes everything, and that this was the end.
func (o *Outbox) finish() error {
	if _, err := o.work(time.Now()); err != nil {
		return err
	}
	o.mu.Lock()
	s := o.active()
	s.data = appendRecord(s.data, closed, max(o.seq, 1), nil)
	o.mu.Unlock()
	if err := o.write(); err != nil {
		return err
	}
	for _, s := range o.disk.open {
		if err := o.ask(&o.trouble.syncs, "sync the outbox", s.file.Sync); err != nil {
			return err
		}
	}
	return nil
}
