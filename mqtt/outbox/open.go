package outbox

import (
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
		if err != nil { // the file stays: another time it may be readable
			f.damage.stretches++
			o.opts.Logger.Error("a segment of the outbox is passed over", "error", err)
			continue
		}
		f.add(number, data)
	}
	f.settle()
	o.disk.read = true
	o.adopt(f, o.beginOn(f))
	if depth := o.Status().Depth; depth > 0 || f.damage.stretches > 0 {
		o.opts.Logger.Info("messages wait from before the start", "messages", depth, "segments", len(f.segments),
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
		if s.messages == 0 {
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

// load reads the segment that the sender waits for.
func (o *Outbox) load() {
	o.mu.Lock()
	s := o.loading
	o.loading = nil
	if s == nil || s.gone || s.data != nil {
		o.mu.Unlock()
		return
	}
	o.mu.Unlock()
	data, err := o.readFile(s.number)
	messages := make([]byte, 0, len(data))
	n := 0
	scan(data, func(r record, at int) {
		if r.kind == message && r.seq > s.skip {
			messages = append(messages, data[at:at+recordHead+len(r.body)]...)
			n++
		}
	})
	if err != nil {
		o.opts.Logger.Error("a segment of the outbox is passed over", "error", err, "messages", s.messages)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if s.gone {
		return
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
