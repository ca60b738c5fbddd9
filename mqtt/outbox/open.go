package outbox

import (
	"errors"
	"io/fs"
	"slices"
	"time"
)

// survey reads what is on the disk at the start.
func (o *Outbox) survey() error {
	var names []string
	err := o.ask(&o.trouble.writes, "open the outbox", func() (err error) {
		names, err = o.opts.Files.List()
		return err
	})
	if err != nil {
		return err
	}
	var numbers []uint64
	for _, name := range names {
		if n, ok := fileNumber(name); ok {
			numbers = append(numbers, n)
		}
	}
	slices.Sort(numbers)
	var f found
	for _, number := range numbers {
		o.disk.last = number
		data, err := o.readFile(number)
		if err != nil { // load tries again when its turn comes
			o.opts.Logger.Warn("a segment of the outbox cannot be read; it is tried again", "error", err)
			f.addUnread(number)
			continue
		}
		f.add(number, data)
	}
	f.settle()
	o.disk.read, o.disk.left = true, f.mark
	o.adopt(f, o.beginOn(f))
	if depth := o.Status().Depth; depth > 0 {
		o.opts.Logger.Info("messages wait from before the start", "messages", depth, "segments", len(f.segments))
	}
	if f.damage.stretches > 0 {
		o.opts.Logger.Warn("the outbox was damaged; what is good of it is sent ('vedette outbox verify' tells more)",
			"damaged_stretches", f.damage.stretches, "damaged_bytes", f.damage.bytes)
	}
	return nil
}

func (o *Outbox) readFile(number uint64) (data []byte, err error) {
	err = o.ask(&o.trouble.writes, "read "+fileName(number)+" of the outbox", func() error {
		data, err = o.opts.Files.Read(fileName(number), maxSegment)
		return err
	})
	return data, err
}

// found is what another life has left.
type found struct {
	segments []*segment
	seqs     [][]uint64 // of each segment's messages
	useless  []uint64   // files that hold nothing to be sent
	mark     mark       // how far acknowledgement had come
	end      mark       // the last number that was given, where the last life closed in good order
	damage   damage
}

// add reads a file; they come in order.
func (f *found) add(number uint64, data []byte) {
	s := &segment{number: number, size: max(int64(len(data)), 1)}
	var seqs []uint64
	end := uint64(0)
	var acks []record
	h, d := scan(data, func(r record, at int) {
		switch r.kind {
		case message:
			seqs = append(seqs, r.seq)
		case acknowledged:
			acks = append(acks[:0], r)
		case closed:
			if at+recordHead == len(data) {
				end = r.seq
			}
		}
	})
	s.header, s.known = h, !d.header
	f.end = mark{}
	if s.known && d.stretches == 0 && end > 0 {
		f.end = mark{h.epoch, end}
	}
	for _, r := range acks {
		switch {
		case len(r.body) > 0:
			f.mark = mark{Epoch(r.body), r.seq}
		case s.known:
			f.mark = mark{h.epoch, r.seq}
		}
	}
	f.damage.stretches += d.stretches
	f.damage.bytes += d.bytes
	f.segments, f.seqs = append(f.segments, s), append(f.seqs, seqs)
}

// addUnread is for a file that cannot be read now. It may have gone on with the numbers of those before it.
func (f *found) addUnread(number uint64) {
	f.end = mark{}
	f.segments, f.seqs = append(f.segments, &segment{number: number, size: 1, unread: true}), append(f.seqs, nil)
}

// settle leaves out what is acknowledged: up to the mark, and whatever is older than the mark's epoch.
func (f *found) settle() {
	begins := slices.IndexFunc(f.segments, func(s *segment) bool {
		return f.mark.seq > 0 && s.known && s.header.epoch == f.mark.epoch
	})
	var waiting []*segment
	for i, s := range f.segments {
		if s.known && s.header.epoch == f.mark.epoch {
			s.skip = f.mark.seq
		}
		for _, seq := range f.seqs[i] {
			if seq > s.skip && i >= begins {
				s.messages++
			}
		}
		if s.messages == 0 && !s.unread {
			f.useless = append(f.useless, s.number)
			continue
		}
		waiting = append(waiting, s)
	}
	f.segments = waiting
}

// beginOn makes this life's first segment on the disk, which proves that the disk takes what it will be given. Where the last
// life closed in good order its epoch goes on: with this segment there, no later one can take that end for its own, and give
// numbers twice.
func (o *Outbox) beginOn(f found) *segment {
	o.mu.Lock()
	fixed, h := o.late || o.seq > 0, header{o.epoch, o.opts.Clock()}
	o.mu.Unlock()
	if fixed {
		return nil
	}
	if f.end.seq > 0 {
		h.epoch = f.end.epoch
	}
	s := newSegment(h)
	o.disk.last++
	s.number = o.disk.last
	err := o.writeTo(s, s.data, 0)
	if err == nil {
		err = o.ask(&o.trouble.syncs, "sync the outbox", s.file.Sync)
	}
	if err != nil {
		o.fail(err, time.Now())
		s.gone = true
		return s
	}
	s.written, s.synced, o.disk.proved = len(s.data), len(s.data), true
	return s
}

// adopt puts what was found before what there is.
func (o *Outbox) adopt(f found, first *segment) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.counts.Damaged += uint64(f.damage.stretches)
	o.doomed = append(o.doomed, f.useless...)
	if first != nil {
		o.counts.Syncs++
		o.counts.Written += uint64(first.written)
		if first.gone = first.gone || o.late || o.seq > 0; first.gone {
			if first.number != 0 {
				o.doomed = append(o.doomed, first.number)
			}
		} else {
			o.segments = []*segment{first}
			if f.end.seq > 0 {
				o.epoch, o.seq = f.end.epoch, f.end.seq
				o.text = o.epoch.String()
			}
		}
	}
	for _, s := range f.segments {
		o.pace.found(s.messages)
	}
	o.segments = append(f.segments, o.segments...)
	o.bound()
	kick(o.ready)
}

// How often a segment is tried to be read before its messages are given up, and how long after a failure. Those behind it wait.
const (
	readTries = 10
	readAgain = time.Second
)

// load reads the segment that the sender waits for, and says when to come again; zero: not for that.
func (o *Outbox) load(now time.Time) (again time.Time) {
	if now.Before(o.disk.reread) {
		return o.disk.reread
	}
	o.mu.Lock()
	s := o.loading
	o.loading = nil
	if s == nil || s.gone || s.data != nil {
		o.mu.Unlock()
		return again
	}
	o.mu.Unlock()
	data, err := o.readFile(s.number)
	if err != nil {
		if s.failed++; s.failed < readTries && !errors.Is(err, fs.ErrNotExist) {
			if s.failed == 1 {
				o.opts.Logger.Warn("a segment of the outbox cannot be read; it is tried again", "error", err, "messages", s.messages)
			}
			o.mu.Lock()
			o.loading = s
			o.mu.Unlock()
			o.disk.reread = now.Add(readAgain)
			return o.disk.reread
		}
		o.opts.Logger.Error("a segment of the outbox is given up: it cannot be read", "error", err, "messages", s.messages)
	}
	o.loadedFrom(s, data)
	return again
}

// loadedFrom gives the sender a segment's messages.
func (o *Outbox) loadedFrom(s *segment, data []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if s.gone {
		return
	}
	if s.unread && len(data) > 0 {
		s.header, s.known = readHeader(data)
		if s.known && s.header.epoch == o.disk.left.epoch {
			s.skip = o.disk.left.seq
		}
	}
	messages := make([]byte, 0, len(data))
	n := 0
	_, d := scan(data, func(r record, at int) {
		if r.kind == message && r.seq > s.skip {
			messages = append(messages, data[at:at+recordHead+len(r.body)]...)
			n++
		}
	})
	if s.unread {
		o.counts.Damaged += uint64(d.stretches)
		if len(data) == 0 {
			o.counts.Damaged++ // nobody knows how many messages it had
		}
		s.messages, s.unread = n, false
		o.pace.found(n)
	}
	if lost := s.messages - n; lost > 0 {
		o.counts.Unreadable += uint64(lost)
		o.pace.done(lost)
	}
	s.messages, s.data, s.loaded, s.next = n, messages, true, 0
	s.size = max(int64(len(data)), 1)
	if n == 0 {
		o.remove(s)
	}
	kick(o.ready)
}
