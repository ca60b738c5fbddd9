package live

import (
	"time"

	"github.com/prometheus/procfs"
)

// measureEvery is how often the kernel is asked what it has to spare: its clock ticks 100 times a second.
const measureEvery = time.Second

// idle tells how many processors stood idle of late. It is for one goroutine.
type idle struct {
	at         time.Time
	spent      float64 // seconds that all processors together have idled since boot
	processors float64
}

// now gives how many processors idled in the last second or longer; 0 before that much is known.
func (i *idle) now() (float64, error) {
	now := time.Now()
	if now.Sub(i.at) < measureEvery {
		return i.processors, nil
	}
	proc, err := procfs.NewDefaultFS()
	if err != nil {
		return 0, err
	}
	stat, err := proc.Stat()
	if err != nil {
		return 0, err
	}
	spent := stat.CPUTotal.Idle + stat.CPUTotal.Iowait
	if !i.at.IsZero() {
		i.processors = max(spent-i.spent, 0) / now.Sub(i.at).Seconds()
	}
	i.at, i.spent = now, spent
	return i.processors, nil
}
