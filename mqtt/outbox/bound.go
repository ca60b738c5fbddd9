package outbox

import "slices"

// bound gives up the oldest segments until the rest is within the bounds. A segment goes as a whole.
func (o *Outbox) bound() {
	bytes, memory := int64(0), 0
	for _, s := range o.segments {
		bytes += s.bytes()
		memory += s.unwritten()
	}
	for bytes > o.opts.Size && len(o.segments) > 1 {
		oldest := o.segments[0]
		bytes -= oldest.bytes()
		memory -= oldest.unwritten()
		o.giveUp(oldest, "mqtt.outbox.size is reached")
	}
	if memory <= o.opts.Memory {
		return
	}
	why := "the disk does not take them, and memory for them is bounded"
	if o.opts.Files == nil {
		why = "the broker does not take them, and they are kept in memory alone, which is bounded"
	}
	for _, s := range slices.Clone(o.segments[:len(o.segments)-1]) {
		if n := s.unwritten(); n > 0 && memory > o.opts.Memory {
			memory -= n
			o.giveUp(s, why)
		}
	}
}

// age gives up what is too old.
func (o *Outbox) age() {
	limit := o.opts.Age
	if limit == 0 {
		return
	}
	now := o.opts.Clock()
	if s := o.active(); s.messages > 0 && s.old(now, limit/8) {
		o.roll()
	}
	for len(o.segments) > 1 && o.segments[0].old(now, limit+limit/8) {
		o.giveUp(o.segments[0], "mqtt.outbox.age is reached")
	}
}

// giveUp removes a segment whose messages nobody will have.
func (o *Outbox) giveUp(s *segment, why string) {
	if n := s.depth(); n > 0 {
		o.counts.Dropped += uint64(n)
		if o.dropping == "" {
			o.dropping, o.unsaid = why, true
			kick(o.wake)
		}
	}
	o.remove(s)
}

// say logs that messages are given up, once until all that is left has been sent; and those that went bad in memory.
func (o *Outbox) say() {
	o.mu.Lock()
	why, unsaid, dropped, depth := o.dropping, o.unsaid, o.counts.Dropped, o.depth()
	spoiled := o.spoiled
	o.unsaid, o.spoiled = false, 0
	o.mu.Unlock()
	if spoiled > 0 {
		o.opts.Logger.Error("messages are lost that this machine's memory has changed: it may be at fault", "messages", spoiled)
	}
	if unsaid {
		o.opts.Logger.Error("messages are given up, the oldest first", "why", why, "dropped", dropped, "depth", depth)
	}
}

func (o *Outbox) depth() (n int) {
	for _, s := range o.segments {
		n += s.depth()
	}
	return n
}
