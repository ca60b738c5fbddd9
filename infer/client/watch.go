package client

import (
	"fmt"
	"time"

	"vedette/infer/wire"
)

// slowStart is how many times as long a worker may be silent until its model is loaded. Its program is started twice, as it is confined
// in between, and reads a library and the model, perhaps while the whole machine boots: on one with ten times more to do than it can, 5 s
// were not enough.
const slowStart = 3

// watch holds one worker to its deadlines. It has no clock of its own: times are on CLOCK_MONOTONIC.
type watch struct {
	opts Options

	stage    wire.Stage
	built    bool          // whether it has ever said that it builds an engine
	began    time.Duration // when loading began
	heard    time.Duration // when the last good message came
	progress time.Duration // when the last result came
}

func newWatch(opts Options, now time.Duration) watch {
	return watch{opts: opts, stage: wire.StageLoading, began: now, heard: now, progress: now}
}

// check gives the failure that has come about, or how long none can come about. oldest is when the frame that is
// longest in flight was submitted, 0 where there is none.
//
// Frames wait for each other in the worker: the run deadline counts from the last result, or from the submission where
// that is later.
func (w *watch) check(now, oldest time.Duration) (*Failure, time.Duration) {
	silence := w.opts.HeartbeatTimeout
	if w.stage != wire.StageReady {
		silence *= slowStart
	}
	if now >= w.heard+silence {
		return &Failure{
			Kind: KindHang,
			Message: fmt.Sprintf("%s: no sign of life from the worker within the heartbeat deadline of %s",
				w.stageName(), silence),
		}, 0
	}
	// A frame that is submitted from now on cannot be overdue before a whole run deadline has passed; nor can a worker that is loaded
	// from now on have been silent for too long before that time has passed.
	next := min(w.heard+silence, now+min(w.opts.RunDeadline, w.opts.HeartbeatTimeout))
	if w.stage != wire.StageReady {
		limit, what := w.opts.LoadDeadline, "the model was not loaded within the load deadline"
		if w.built {
			limit, what = w.opts.BuildDeadline, "the engine was not built within the build deadline"
		}
		if now >= w.began+limit {
			return &Failure{Kind: KindHang, Message: fmt.Sprintf("%s: %s of %s", w.stageName(), what, limit)}, 0
		}
		return nil, min(next, w.began+limit) - now
	}
	if oldest > 0 {
		at := max(oldest, w.progress) + w.opts.RunDeadline
		if now >= at {
			return &Failure{
				Kind: KindHang,
				Message: fmt.Sprintf("%s: no result for a frame in flight within the run deadline of %s",
					w.stageName(), w.opts.RunDeadline),
			}, 0
		}
		next = min(next, at)
	}
	return nil, next - now
}

// stageName is what the worker is at, in a fault's words.
func (w *watch) stageName() string {
	switch {
	case w.stage == wire.StageReady:
		return "running"
	case w.built:
		return "building"
	}
	return "loading"
}

// forgive starts the deadlines anew, for a time in which this process itself did not run.
func (w *watch) forgive(now, lost time.Duration) {
	w.began += lost
	w.heard, w.progress = now, now
}
