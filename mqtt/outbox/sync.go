package outbox

import "time"

// syncing is a sync of what was written before it began. It has a goroutine of its own, as a disk may take seconds for it: events
// and acknowledgements go on being handed to the file system meanwhile, where the end of the process does not reach them.
type syncing struct {
	began time.Time
	upTo  uint64 // messages, in the order of the log
	parts []part
	err   error
}

// part is what a sync covers of a segment.
type part struct {
	segment *segment
	file    File
	written int
	done    bool
}

// sync brings to the disk what is written and not acknowledged.
func (o *Outbox) sync(now time.Time) error {
	s := &syncing{began: now}
	o.mu.Lock()
	s.upTo = o.pace.appended
	o.mu.Unlock()
	if err := o.write(); err != nil {
		return err
	}
	o.mu.Lock()
	for _, seg := range o.disk.open {
		if !seg.gone && seg.depth() > 0 && seg.synced < seg.written {
			s.parts = append(s.parts, part{segment: seg, file: seg.file, written: seg.written})
		}
	}
	o.mu.Unlock()
	if !o.disk.aside || len(s.parts) == 0 {
		o.bring(s)
		return o.settle(s)
	}
	o.disk.syncing = s
	go func() {
		o.bring(s)
		o.disk.synced <- s
	}()
	return nil
}

// bring asks the disk. It touches nothing else.
func (o *Outbox) bring(s *syncing) {
	for i := range s.parts {
		p := &s.parts[i]
		if s.err = o.ask(&o.trouble.syncs, "sync the outbox", p.file.Sync); s.err != nil {
			return
		}
		p.done = true
	}
}

// settle notes what a sync has brought to the disk, and gives its error.
func (o *Outbox) settle(s *syncing) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, p := range s.parts {
		o.counts.Syncs++
		if !p.done {
			p.segment.written = p.segment.synced // after a failed sync the kernel may forget what it had: it is written again
			return s.err
		}
		p.segment.synced = p.written
	}
	o.pace.sync(s.upTo, s.began)
	return s.err
}
