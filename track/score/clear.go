package score

import "vedette/track/assign"

// clear reckons MOTA. A pair that was matched in the last frame in which its truth was matched is kept while it overlaps enough;
// beyond that as many are matched as can be, and among such matchings the one of the greatest overlap is taken.
func (s *sequence) clear(r *Result) {
	// TrackEval's weight: a kept pair outweighs any sum of overlaps, and so does one more match.
	const kept, one = 1e6, 1e3
	last := make([]int, s.truths)  // the track that each truth was last matched with
	prior := make([]int, s.truths) // the same in the frame before
	for i := range last {
		last[i], prior[i] = -1, -1
	}
	overlaps, matches := 0.0, 0
	for k := range s.frames {
		f := &s.frames[k]
		match := s.match(f, func(i, j int) float64 {
			if f.overlap[i][j] < Overlap {
				return 0
			}
			if prior[f.truth[i]] == f.track[j] {
				return kept + one + f.overlap[i][j]
			}
			return one + f.overlap[i][j]
		})
		for i := range prior {
			prior[i] = -1
		}
		found := 0
		for i, j := range match {
			if j == assign.None {
				continue
			}
			found++
			overlaps += f.overlap[i][j]
			truth, track := f.truth[i], f.track[j]
			if last[truth] >= 0 && last[truth] != track {
				r.Switches++
			}
			last[truth], prior[truth] = track, track
		}
		matches += found
		r.Misses += len(f.truth) - found
		r.False += len(f.track) - found
	}
	r.MOTP = ratio(overlaps, float64(matches))
	if r.Truth > 0 {
		r.MOTA = 1 - float64(r.Misses+r.False+r.Switches)/float64(r.Truth)
	}
}

// identity reckons IDF1: each true object is given one track or none, for the whole sequence, so that the most boxes agree.
func (s *sequence) identity(r *Result) {
	agree := make([][]int, s.truths)
	for i := range agree {
		agree[i] = make([]int, s.tracks)
	}
	for k := range s.frames {
		f := &s.frames[k]
		for i, row := range f.overlap {
			for j, overlap := range row {
				if overlap >= Overlap {
					agree[f.truth[i]][f.track[j]]++
				}
			}
		}
	}
	s.pairs = s.pairs[:0]
	for i, row := range agree {
		for j, n := range row {
			if n > 0 {
				s.pairs = append(s.pairs, assign.Pair{Row: int32(i), Col: int32(j), Gain: float64(n)})
			}
		}
	}
	right := 0
	for i, j := range s.solver.Match(s.truths, s.tracks, s.pairs) {
		if j != assign.None {
			right += agree[i][j]
		}
	}
	r.IDP, r.IDR = ratio(float64(right), float64(r.Tracked)), ratio(float64(right), float64(r.Truth))
	r.IDF1 = ratio(2*float64(right), float64(r.Tracked+r.Truth))
}
