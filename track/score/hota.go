package score

import (
	"math"

	"vedette/track/assign"
)

// hota reckons HOTA over the overlaps 0.05, 0.1, … 0.95. In each frame a pair is preferred by how well its identities agree over the
// whole sequence, then by its overlap, as in TrackEval.
func (s *sequence) hota(r *Result) {
	if r.Truth == 0 || r.Tracked == 0 {
		return
	}
	alignment := s.alignment()
	const steps = 19
	for step := 1; step <= steps; step++ {
		alpha := 0.05 * float64(step)
		matched := 0
		together := map[[2]int]int{} // in how many frames a truth and a track are matched
		for k := range s.frames {
			f := &s.frames[k]
			for i, j := range s.matchAligned(f, alignment) {
				// TrackEval's tolerance for overlaps that are a threshold but for rounding.
				if j != assign.None && f.overlap[i][j] >= alpha-2.220446049250313e-16 {
					matched++
					together[[2]int{f.truth[i], f.track[j]}]++
				}
			}
		}
		deta := ratio(float64(matched), float64(r.Truth+r.Tracked-matched))
		assa := 0.0
		for pair, n := range together {
			assa += float64(n) * float64(n) / float64(s.ofTruth[pair[0]]+s.ofTrack[pair[1]]-n)
		}
		assa = ratio(assa, float64(matched))
		r.DetA += deta
		r.AssA += assa
		r.HOTA += math.Sqrt(deta * assa)
	}
	r.DetA, r.AssA, r.HOTA = r.DetA/steps, r.AssA/steps, r.HOTA/steps
}

// alignment is for each truth and track their matches over all frames as a Jaccard index, each frame's counted in part by how
// much the two overlap among all that overlap them.
func (s *sequence) alignment() [][]float64 {
	sum := make([][]float64, s.truths)
	for i := range sum {
		sum[i] = make([]float64, s.tracks)
	}
	for k := range s.frames {
		f := &s.frames[k]
		ofTruth, ofTrack := make([]float64, len(f.truth)), make([]float64, len(f.track))
		for i, row := range f.overlap {
			for j, overlap := range row {
				ofTruth[i] += overlap
				ofTrack[j] += overlap
			}
		}
		for i, row := range f.overlap {
			for j, overlap := range row {
				if either := ofTruth[i] + ofTrack[j] - overlap; either > 0 {
					sum[f.truth[i]][f.track[j]] += overlap / either
				}
			}
		}
	}
	for i, row := range sum {
		for j, both := range row {
			row[j] = both / (float64(s.ofTruth[i]+s.ofTrack[j]) - both)
		}
	}
	return sum
}

// matchAligned matches one frame by alignment times overlap, whatever the overlap: the threshold comes after.
func (s *sequence) matchAligned(f *frame, alignment [][]float64) []int32 {
	return s.match(f, func(i, j int) float64 { return alignment[f.truth[i]][f.track[j]] * f.overlap[i][j] })
}
