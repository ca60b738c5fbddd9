package client

import (
	"maps"
	"time"

	"vedette/infer"
	"vedette/infer/wire"
)

// Stats are counts since the client was made. Each frame submitted ends up in exactly one of Results, Damaged, Failed,
// Reclaimed, or is InFlight.
type Stats struct {
	Submitted uint64
	Results   uint64
	Damaged   uint64 // pictures whose bytes were damaged
	Failed    uint64 // pictures on which the inference failed
	Runs      uint64 // of the model, each on a frame or several
	Reclaimed uint64 // frames whose worker or stream ended first
	InFlight  int
	Rejected  map[wire.Reason]uint64 // messages that were of no use
	Ready     int                    // workers that take frames
	Copy      time.Duration          // sum of the time that copies into rings took
	Stages    infer.Timings          // sums over Results
}

// Stats is safe to call from any goroutine.
func (c *Client) Stats() Stats {
	c.mu.Lock()
	defer c.mu.Unlock()
	stats := c.stats
	stats.Rejected = maps.Clone(c.stats.Rejected)
	for _, l := range c.links {
		stats.InFlight += l.submitted()
	}
	_, _, stats.Ready = c.place()
	return stats
}

func (s *Stats) reject(reason wire.Reason) (first bool) {
	if s.Rejected == nil {
		s.Rejected = make(map[wire.Reason]uint64)
	}
	s.Rejected[reason]++
	return s.Rejected[reason] == 1
}

func (s *Stats) add(t infer.Timings) {
	s.Stages.Queue += t.Queue
	s.Stages.Preprocess += t.Preprocess
	s.Stages.Infer += t.Infer
	s.Stages.Decode += t.Decode
	s.Stages.Total += t.Total
}
