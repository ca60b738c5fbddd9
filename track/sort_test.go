package track_test

import (
	"vedette/infer"
	"vedette/track/assign"
)

// sorter is the peer: SORT as its paper and its reference code have it (Bewley et al., "Simple Online and Realtime Tracking",
// ICIP 2016): constant velocity per frame, intersection over union of 0.3 at least, max_age 1, min_hits 3. Its state is a box's
// centre, area and aspect, the last without a velocity; its noises are the reference code's, for boxes in pixels.
type sorter struct {
	width, height float64 // of the frame in pixels
	tracks        []*sortTrack
	frames, ids   int
	solver        assign.Solver
}

type sortTrack struct {
	id, hits, unseen int
	state            [3]pixelAxis // x, y, area
	aspect           pixelScalar
	box              infer.Box
}

// pixelAxis is a value with its velocity per frame; pixelScalar one without.
type (
	pixelAxis   struct{ x, v, pxx, pxv, pvv float64 }
	pixelScalar struct{ x, p float64 }
)

func (a *pixelAxis) predict(qx, qv float64) {
	a.x += a.v
	a.pxx += 2*a.pxv + a.pvv + qx
	a.pxv += a.pvv
	a.pvv += qv
}

func (a *pixelAxis) correct(z, r float64) {
	s := a.pxx + r
	k, l, d := a.pxx/s, a.pxv/s, z-a.x
	a.x, a.v = a.x+k*d, a.v+l*d
	a.pxx, a.pxv, a.pvv = (1-k)*a.pxx, (1-k)*a.pxv, a.pvv-l*a.pxv
}

func (s *sorter) measure(b infer.Box) (x, y, area, aspect float64) {
	w, h := float64(b.X2-b.X1)*s.width, float64(b.Y2-b.Y1)*s.height
	return float64(b.X1+b.X2) / 2 * s.width, float64(b.Y1+b.Y2) / 2 * s.height, w * h, w / h
}

// sortBox is one box that SORT gives out.
type sortBox struct {
	id  int
	box infer.Box
}

func (s *sorter) update(detections []infer.Detection) (out []sortBox) {
	s.frames++
	var pairs []assign.Pair
	for i, t := range s.tracks {
		if t.state[2].x+t.state[2].v <= 0 {
			t.state[2].v = 0
		}
		t.state[0].predict(1, 0.01)
		t.state[1].predict(1, 0.01)
		t.state[2].predict(1, 0.0001)
		t.aspect.p++
		t.box = s.boxOf(t)
		t.unseen++
		for j, d := range detections {
			if common := t.box.IoU(d.Box); common >= 0.3 {
				pairs = append(pairs, assign.Pair{Row: int32(i), Col: int32(j), Gain: float64(common)})
			}
		}
	}
	taken := make([]bool, len(detections))
	for i, j := range s.solver.Match(len(s.tracks), len(detections), pairs) {
		if j == assign.None {
			continue
		}
		t := s.tracks[i]
		x, y, area, aspect := s.measure(detections[j].Box)
		t.state[0].correct(x, 1)
		t.state[1].correct(y, 1)
		t.state[2].correct(area, 10)
		k := t.aspect.p / (t.aspect.p + 10)
		t.aspect.x, t.aspect.p = t.aspect.x+k*(aspect-t.aspect.x), (1-k)*t.aspect.p
		if t.unseen > 1 {
			t.hits = 0
		}
		t.hits++
		t.unseen, taken[j] = 0, true
		t.box = s.boxOf(t)
	}
	for j, d := range detections {
		if !taken[j] {
			s.ids++
			x, y, area, aspect := s.measure(d.Box)
			t := &sortTrack{id: s.ids, aspect: pixelScalar{aspect, 10}, box: d.Box}
			for k, v := range []float64{x, y, area} {
				t.state[k] = pixelAxis{x: v, pxx: 10, pvv: 10000}
			}
			s.tracks = append(s.tracks, t)
		}
	}
	kept := s.tracks[:0]
	for _, t := range s.tracks {
		if t.unseen < 1 && (t.hits >= 3 || s.frames <= 3) {
			out = append(out, sortBox{t.id, t.box.Clip()})
		}
		if t.unseen <= 1 {
			kept = append(kept, t)
		}
	}
	s.tracks = kept
	return out
}

func (s *sorter) boxOf(t *sortTrack) infer.Box {
	area := max(t.state[2].x, 1)
	w := sqrt(area * max(t.aspect.x, 0.01))
	h := area / w
	x, y := t.state[0].x, t.state[1].x
	return infer.Box{
		X1: float32((x - w/2) / s.width), Y1: float32((y - h/2) / s.height),
		X2: float32((x + w/2) / s.width), Y2: float32((y + h/2) / s.height),
	}
}
