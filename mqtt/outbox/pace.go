package outbox

import "time"

// How often the disk has to sync. A message is on the disk within a second: so much later than it was made a sync begins.
const (
	commitEvery = 900 * time.Millisecond
	commitGroup = 32 // or as soon as so many wait
	markEvery   = commitEvery / 16
)

// pace knows when to sync: not at all while the broker takes messages within commitEvery, as a sync of one small record costs
// the flash 8 KiB.
type pace struct {
	appended, acked uint64 // messages, in the order of the log
	marks           []moment
	behind          uint64 // up to this message the broker is too slow
	synced          uint64 // messages up to this one are on the disk
	since           time.Time
}

// moment is when messages were appended: the first of them.
type moment struct {
	at   time.Time
	last uint64
}

func (p *pace) append(now time.Time) {
	p.appended++
	if p.unsynced() == 1 {
		p.since = now
	}
	p.look(now)
	if p.acked < p.behind {
		p.behind = p.appended
		return
	}
	if n := len(p.marks); n == 0 || now.Sub(p.marks[n-1].at) >= markEvery {
		p.marks = append(p.marks, moment{at: now})
	}
	p.marks[len(p.marks)-1].last = p.appended
}

// found counts messages that were on the disk at the start.
func (p *pace) found(n int) {
	p.appended += uint64(n)
	p.behind, p.synced = p.appended, p.synced+uint64(n)
}

// done counts messages that the broker has, or that were given up.
func (p *pace) done(n int) { p.acked += uint64(n) }

// unsynced is how many messages only this machine's memory has.
func (p *pace) unsynced() int { return int(p.appended - min(max(p.synced, p.acked), p.appended)) }

// look forgets the marks of what the broker has, and sees whether it is too slow. No more than commitEvery/markEvery marks are
// left, also where nobody asks what is due.
func (p *pace) look(now time.Time) {
	n := 0
	for n < len(p.marks) && p.marks[n].last <= p.acked {
		n++
	}
	p.marks = append(p.marks[:0], p.marks[n:]...)
	if len(p.marks) > 0 && now.Sub(p.marks[0].at) >= commitEvery {
		p.behind, p.marks = p.appended, p.marks[:0]
	}
}

// due tells whether it is time to sync, and if not, when it may be. Zero: not before something is appended.
func (p *pace) due(now time.Time) (due bool, next time.Time) {
	p.look(now)
	switch {
	case p.acked < p.behind && p.unsynced() > 0:
		next = p.since.Add(commitEvery)
		return p.unsynced() >= commitGroup || !now.Before(next), next
	case len(p.marks) > 0:
		return false, p.marks[0].at.Add(commitEvery)
	}
	return false, time.Time{}
}

// sync says that messages up to this one are on the disk.
func (p *pace) sync(upTo uint64, now time.Time) {
	p.synced, p.since = max(p.synced, upTo), now
}
