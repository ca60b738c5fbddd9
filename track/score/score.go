// Package score measures how well tracks agree with the truth.
//
// MOTA and its parts are those of the CLEAR MOT metrics (Bernardin and Stiefelhagen, "Evaluating Multiple Object Tracking
// Performance", EURASIP JIVP 2008), IDF1 is Ristani et al.'s ("Performance Measures and a Data Set for Multi-Target,
// Multi-Camera Tracking", ECCV Workshops 2016), HOTA is Luiten et al.'s ("HOTA: A Higher Order Metric for Evaluating
// Multi-Object Tracking", IJCV 2021). Where a definition leaves something open, what TrackEval does is done.
package score

import (
	"fmt"
	"slices"

	"vedette/infer"
	"vedette/track/assign"
)

// Item is one box of one frame with its object's identity.
type Item struct {
	Frame int
	ID    int
	Box   Rect
}

// Rect is a box in any unit, as long as all of one comparison have the same.
type Rect struct{ X1, Y1, X2, Y2 float64 }

// FromBox gives a box of the picture.
func FromBox(b infer.Box) Rect {
	return Rect{float64(b.X1), float64(b.Y1), float64(b.X2), float64(b.Y2)}
}

func (r Rect) area() float64 { return max(r.X2-r.X1, 0) * max(r.Y2-r.Y1, 0) }

// iou is the intersection of two boxes over their union.
func (r Rect) iou(o Rect) float64 {
	both := Rect{max(r.X1, o.X1), max(r.Y1, o.Y1), min(r.X2, o.X2), min(r.Y2, o.Y2)}.area()
	if union := r.area() + o.area() - both; union > 0 {
		return both / union
	}
	return 0
}

// Result is how tracks compare with the truth.
type Result struct {
	// MOTA is 1 - (misses + false + switches) / truth; it may be less than 0.
	MOTA     float64 `json:"mota"`
	MOTP     float64 `json:"motp"` // mean overlap of the matches
	Misses   int     `json:"misses"`
	False    int     `json:"false_positives"`
	Switches int     `json:"id_switches"`
	IDF1     float64 `json:"idf1"`
	IDP      float64 `json:"idp"` // precision and recall of identities
	IDR      float64 `json:"idr"`
	HOTA     float64 `json:"hota"` // the mean over overlaps of 0.05 to 0.95, as DetA and AssA
	DetA     float64 `json:"deta"`
	AssA     float64 `json:"assa"`
	Frames   int     `json:"frames"`
	Truth    int     `json:"truth_boxes"`
	Tracked  int     `json:"tracked_boxes"`
	Objects  int     `json:"truth_objects"`
	Tracks   int     `json:"tracks"`
}

// Overlap is the intersection over union from which a tracked box counts as the true one, for MOTA and IDF1.
const Overlap = 0.5

// Bounds of what is compared: tables of pairs, which are held in memory, of objects and tracks, and of boxes in the same frame. They are
// more than any benchmark's sequence needs.
const (
	maxIdentities = 1 << 26
	maxBoxes      = 1 << 28
)

// Compare measures tracks against the truth. Frames that only one of them has count as well. What is too much to compare is an error.
func Compare(truth, tracked []Item) (Result, error) {
	if err := bounded(truth, tracked); err != nil {
		return Result{}, err
	}
	s := newSequence(truth, tracked)
	r := Result{
		Frames: len(s.frames), Truth: len(truth), Tracked: len(tracked), Objects: s.truths, Tracks: s.tracks,
	}
	s.clear(&r)
	s.identity(&r)
	s.hota(&r)
	return r, nil
}

// bounded refuses what would take more memory than there is.
func bounded(truth, tracked []Item) error {
	identities := func(items []Item) int {
		ids := map[int]struct{}{}
		for _, item := range items {
			ids[item.ID] = struct{}{}
		}
		return len(ids)
	}
	if objects, tracks := identities(truth), identities(tracked); objects*tracks > maxIdentities {
		return fmt.Errorf("%d true objects and %d tracks are too many to compare each with each: cut the sequence into shorter ones", objects, tracks)
	}
	inFrame := map[int]int{}
	for _, item := range truth {
		inFrame[item.Frame]++
	}
	pairs := 0
	for _, item := range tracked {
		if pairs += inFrame[item.Frame]; pairs > maxBoxes {
			return fmt.Errorf("frames up to %d have more than %d pairs of boxes: cut the sequence into shorter ones", item.Frame, maxBoxes)
		}
	}
	return nil
}

// sequence is both sides frame by frame, with identities counted from 0.
type sequence struct {
	frames         []frame
	truths, tracks int
	ofTruth        []int // boxes, by identity
	ofTrack        []int
	solver         assign.Solver
	pairs          []assign.Pair
}

type frame struct {
	truth, track []int       // identities
	overlap      [][]float64 // by truth and track
}

func newSequence(truth, tracked []Item) *sequence {
	s := &sequence{}
	type sides struct{ truth, track []Item }
	by := map[int]*sides{}
	at := func(n int) *sides {
		if by[n] == nil {
			by[n] = &sides{}
		}
		return by[n]
	}
	for _, item := range truth {
		at(item.Frame).truth = append(at(item.Frame).truth, item)
	}
	for _, item := range tracked {
		at(item.Frame).track = append(at(item.Frame).track, item)
	}
	numbers := make([]int, 0, len(by))
	for n := range by {
		numbers = append(numbers, n)
	}
	slices.Sort(numbers)
	truthIDs, trackIDs := map[int]int{}, map[int]int{}
	number := func(ids map[int]int, counts *[]int, id int) int {
		n, ok := ids[id]
		if !ok {
			n = len(ids)
			ids[id] = n
			*counts = append(*counts, 0)
		}
		(*counts)[n]++
		return n
	}
	for _, n := range numbers {
		var f frame
		for _, item := range by[n].truth {
			f.truth = append(f.truth, number(truthIDs, &s.ofTruth, item.ID))
		}
		for _, item := range by[n].track {
			f.track = append(f.track, number(trackIDs, &s.ofTrack, item.ID))
		}
		for _, a := range by[n].truth {
			row := make([]float64, len(by[n].track))
			for j, b := range by[n].track {
				row[j] = a.Box.iou(b.Box)
			}
			f.overlap = append(f.overlap, row)
		}
		s.frames = append(s.frames, f)
	}
	s.truths, s.tracks = len(truthIDs), len(trackIDs)
	return s
}

// match finds the matching of one frame that gains the most; gain gives 0 for what is no pair.
func (s *sequence) match(f *frame, gain func(i, j int) float64) []int32 {
	s.pairs = s.pairs[:0]
	for i := range f.truth {
		for j := range f.track {
			if g := gain(i, j); g > 0 {
				s.pairs = append(s.pairs, assign.Pair{Row: int32(i), Col: int32(j), Gain: g})
			}
		}
	}
	return s.solver.Match(len(f.truth), len(f.track), s.pairs)
}

func ratio(a, b float64) float64 {
	if b == 0 {
		return 0
	}
	return a / b
}
