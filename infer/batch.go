package infer

import (
	"fmt"
	"time"
)

// Batch lets several frames, of whichever cameras, be looked at in one run of the model.
type Batch struct {
	Max  int           `yaml:"max" json:"max"`      // frames in one run; 1: one after the other
	Wait time.Duration `yaml:"wait" json:"wait_ns"` // how long a frame may wait for others
}

// maxBatch is the most frames in one run: a worker has as many again in hand.
const maxBatch = 8

// maxInBatches bounds the frames that all workers run at a time: each camera's ring has room for them, and for as many again.
const maxInBatches = 16

// Check tells what is wrong with Max for a number of workers.
func (b Batch) Check(workers int) error {
	if b.Max < 1 || b.Max > maxBatch {
		return fmt.Errorf("%d is outside 1 to %d", b.Max, maxBatch)
	}
	if b.Max > 1 && b.Max*workers > maxInBatches {
		return fmt.Errorf("%d frames times %d workers are more than %d", b.Max, workers, maxInBatches)
	}
	return nil
}

func (b Batch) validate(c Config, report func(path, problem string)) {
	if err := b.Check(c.Workers); err != nil {
		report("max", err.Error())
	}
	if b.Max > 1 && c.Preprocess == "graph" {
		report("max", "with preprocess: graph a run takes one frame: leave it 1, or use preprocess: host")
	}
	if b.Wait < 0 || b.Wait > time.Second {
		report("wait", fmt.Sprintf("%v is outside 0s to 1s", b.Wait))
	} else if b.Max > 1 && b.Wait > c.Deadlines.Run/2 { // a frame that waits is no sign of a worker that hangs
		report("wait", fmt.Sprintf("%v is more than half of deadlines.run, %v", b.Wait, c.Deadlines.Run))
	}
}
