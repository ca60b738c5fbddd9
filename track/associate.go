package track

import (
	"sort"
	"time"

	"vedette/infer"
	"vedette/track/assign"
)

// The least that a detection and an object's predicted box must have in common, as intersection over union: for sure
// detections, for doubtful ones, and for objects that are not believed yet. ByteTrack's are 0.2, 0.5 and 0.3.
const (
	overlapSure        = 0.2
	overlapDoubtful    = 0.5
	overlapUnconfirmed = 0.3
)

// associate finds for each object the detection that continues it.
func (t *Tracker) associate(detections []infer.Detection) {
	if cap(t.matched) < len(detections) {
		t.matched = make([]*object, len(detections), 2*len(detections))
	}
	t.matched = t.matched[:len(detections)]
	clear(t.matched)

	t.wait(func(o *object) bool { return o.confirmed() })
	t.match(detections, t.sure, overlapSure)
	// What was not seen in the frame before could be anywhere: a doubtful detection is not taken for it.
	t.wait(func(o *object) bool { return o.confirmed() && !o.seen && !o.lost })
	t.match(detections, t.doubtful, overlapDoubtful)
	t.recover(detections)
	t.wait(func(o *object) bool { return !o.confirmed() })
	t.match(detections, t.sure, overlapUnconfirmed)
}

// recoverWithin is how long after it was last seen an object may be found where that was.
const recoverWithin = 350 * time.Millisecond

// recover looks for objects that have just been lost where they were last seen: one that stops or turns round is not where it was to
// go. (OC-SORT's observation-centric recovery: Cao et al., CVPR 2023, section 4.3.)
func (t *Tracker) recover(detections []infer.Detection) {
	t.wait(func(o *object) bool {
		return o.confirmed() && !o.seen && t.frame.Monotonic-o.last <= recoverWithin
	})
	for _, o := range t.waiting {
		o.box = o.seenAs
	}
	t.match(detections, t.sure, overlapSure)
	for _, o := range t.waiting {
		o.box = o.motion.box()
	}
}

func (t *Tracker) wait(takes func(*object) bool) {
	t.waiting = t.waiting[:0]
	for _, o := range t.objects {
		if takes(o) {
			t.waiting = append(t.waiting, o)
		}
	}
}

// match gives waiting objects the detections of a list that are not taken, so that what they have in common sums up to the
// most.
func (t *Tracker) match(detections []infer.Detection, list []int32, least float32) {
	if len(t.waiting) == 0 || len(list) == 0 {
		return
	}
	widest := float32(0)
	for _, i := range list {
		widest = max(widest, detections[i].Box.X2-detections[i].Box.X1)
	}
	t.pairs = t.pairs[:0]
	for row, o := range t.waiting {
		// What is not known of where the object is makes both boxes larger: new objects and those out of sight for a while
		// are looked for further around. (Boxes grown by a constant are C-BIoU's: Yang et al., WACV 2023.)
		mx, my := o.margin()
		own := grow(o.box, mx, my)
		longLost := t.frame.Monotonic-o.last > recoverWithin
		from := sort.Search(len(list), func(k int) bool { return detections[list[k]].Box.X1+widest+mx >= own.X1 })
		for col := from; col < len(list); col++ {
			d := &detections[list[col]]
			if d.Box.X1-mx > own.X2 {
				break
			}
			if t.matched[list[col]] != nil || !t.comparable(o, d.Class) {
				continue
			}
			if longLost && o.motion.distance(d.Box) > farthest {
				continue
			}
			if common := own.IoU(grow(d.Box, mx, my)); common > least {
				t.pairs = append(t.pairs, assign.Pair{Row: int32(row), Col: int32(col), Gain: float64(common - least)})
			}
		}
	}
	if len(t.pairs) == 0 {
		return
	}
	for row, col := range t.solver.Match(len(t.waiting), len(list), t.pairs) {
		if col == assign.None {
			continue
		}
		o, i := t.waiting[row], list[col]
		o.motion.correct(detections[i].Box)
		o.take(detections[i], t.frame)
		t.matched[i] = o
	}
}

// farthest is how far a box may be from where an object was to be that was out of sight for a while, as a squared Mahalanobis
// distance over the box's four coordinates: 99% of a chi-squared distribution with 4 degrees of freedom. (DeepSORT gates so at 95%: Wojke
// et al., ICIP 2017, section 2.2.) Without it, what hides the object, or a false detection, is soon taken for it.
const farthest = 13.277

// margin is one standard deviation of where the object is, each way, half of its size at most.
func (o *object) margin() (x, y float32) {
	dx, dy := o.motion.doubt()
	return min(float32(dx), (o.box.X2-o.box.X1)/2), min(float32(dy), (o.box.Y2-o.box.Y1)/2)
}

func grow(b infer.Box, x, y float32) infer.Box {
	return infer.Box{X1: b.X1 - x, Y1: b.Y1 - y, X2: b.X2 + x, Y2: b.Y2 + y}
}
