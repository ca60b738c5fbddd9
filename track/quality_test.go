package track_test

import (
	"math"
	"testing"
	"time"

	"vedette/infer"
	"vedette/track"
	"vedette/track/score"
)

func sqrt(v float64) float64 { return math.Sqrt(v) }

// counted is how long after it was last seen an object's predicted box counts as output.
const counted = 500 * time.Millisecond

// compare follows a scene by Vedette's tracker and by SORT, both as they would be used live: what a frame's output is, is
// decided before the next is seen.
func compare(frames []sceneFrame, o track.Options) (ours, sorts score.Result) {
	tracker, peer := track.New(o), &sorter{width: 1280, height: 720}
	ids := map[string]int{}
	var truth, mine, theirs []score.Item
	var sightings []track.Sighting
	for n, f := range frames {
		for _, t := range f.truth {
			truth = append(truth, item(n, t.id, t.box))
		}
		tracker.Update(f.frame, f.detections)
		sightings = tracker.Sightings(sightings[:0])
		for _, s := range sightings {
			if s.Unseen > counted {
				continue
			}
			if ids[s.ID] == 0 {
				ids[s.ID] = len(ids) + 1
			}
			mine = append(mine, item(n, ids[s.ID], s.Box))
		}
		var sure []infer.Detection
		for _, d := range f.detections {
			if d.Score >= 0.4 {
				sure = append(sure, d)
			}
		}
		for _, b := range peer.update(sure) {
			theirs = append(theirs, item(n, b.id, b.box))
		}
	}
	for _, c := range []struct {
		of     *score.Result
		tracks []score.Item
	}{{&ours, mine}, {&sorts, theirs}} {
		var err error
		if *c.of, err = score.Compare(truth, c.tracks); err != nil {
			panic(err) // scenes are small
		}
	}
	return ours, sorts
}

func item(frame, id int, box infer.Box) score.Item {
	return score.Item{Frame: frame, ID: id, Box: score.FromBox(box)}
}

// TestScenes holds the tracker to how well it keeps objects apart, and to be better than SORT.
func TestScenes(t *testing.T) {
	noisy := sceneOptions{rate: 10, length: 30, jitter: 0.02, missed: 0.1, false_: 0.05, occlude: true}
	dropped := noisy
	dropped.skip = 2
	clean := sceneOptions{rate: 10, length: 20, occlude: true}
	for _, c := range []struct {
		name     string
		cast     func(seed uint64) []actor
		how      sceneOptions
		least    float64 // IDF1
		switches int     // at most, in all seeds; -1: any
	}{
		{"clean crossing", func(uint64) []actor { return crossing() }, clean, 0.95, 0},
		{"crossing, dropped frames", func(uint64) []actor { return crossing() }, dropped, 0.85, -1},
		{"crossing", func(uint64) []actor { return crossing() }, noisy, 0.95, -1},
		{"occlusion", func(uint64) []actor { return occlusion() }, noisy, 0.95, -1},
		{"occlusion, dropped frames", func(uint64) []actor { return occlusion() }, dropped, 0.85, -1},
		{"people in a square", func(seed uint64) []actor { return crowd(seed, 12, 30) }, noisy, 0.95, -1},
		{"people in a square, dropped frames", func(seed uint64) []actor { return crowd(seed, 12, 30) }, dropped, 0.85, -1},
	} {
		t.Run(c.name, func(t *testing.T) {
			const seeds = 20
			switches := 0
			mean, peer := 0.0, 0.0
			for seed := range uint64(seeds) {
				how := c.how
				how.seed = seed
				ours, sorts := compare(film(c.cast(seed), how), options())
				t.Logf("seed %d: IDF1 %.3f, MOTA %.3f, HOTA %.3f, %d switches, %d tracks of %d; SORT %.3f, %.3f, %.3f, %d, %d", seed,
					ours.IDF1, ours.MOTA, ours.HOTA, ours.Switches, ours.Tracks, ours.Objects,
					sorts.IDF1, sorts.MOTA, sorts.HOTA, sorts.Switches, sorts.Tracks)
				mean, peer = mean+ours.IDF1/seeds, peer+sorts.IDF1/seeds
				switches += ours.Switches
				if ours.IDF1 <= sorts.IDF1 {
					t.Errorf("seed %d: IDF1 %.3f, SORT's %.3f", seed, ours.IDF1, sorts.IDF1)
				}
			}
			t.Logf("mean IDF1 %.3f, SORT's %.3f", mean, peer)
			if mean < c.least {
				t.Errorf("mean IDF1 is %.3f, less than %.2f", mean, c.least)
			}
			if c.switches >= 0 && switches > c.switches {
				t.Errorf("%d identity switches", switches)
			}
		})
	}
}
