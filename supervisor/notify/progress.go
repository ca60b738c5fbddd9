package notify

import (
	"fmt"
	"sync/atomic"
	"time"
)

// Progress is the sign of life of one loop. Its methods take no lock and may be called from any goroutine.
type Progress struct {
	began time.Time
	limit time.Duration
	made  atomic.Int64 // nanoseconds from began to the last progress
	ended atomic.Bool
}

// Made says that the loop has gone round.
func (p *Progress) Made() { p.made.Store(int64(time.Since(p.began))) }

// Ended says that the loop has come to its end, and that no more is to be expected of it.
func (p *Progress) Ended() { p.ended.Store(true) }

func (p *Progress) check() error {
	if p.ended.Load() {
		return nil
	}
	if silent := time.Since(p.began) - time.Duration(p.made.Load()); silent > p.limit {
		return fmt.Errorf("no progress for %s, and %s is the limit", silent.Round(time.Millisecond), p.limit)
	}
	return nil
}
