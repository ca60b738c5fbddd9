package track_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"vedette/infer"
	"vedette/track"
)

// actor is an object of a generated scene: it walks from one place to the next at a steady pace, and is in the picture as far
// as its box is.
type actor struct {
	id    int
	class int
	w, h  float64 // its box's size
	depth float64 // the nearer hides the farther: the greater the nearer
	path  []waypoint
}

// waypoint is where the middle of an actor's lower edge is at a time.
type waypoint struct{ at, x, y float64 } // seconds, 0..1

func (a *actor) box(at float64) (infer.Box, bool) {
	for i := 1; i < len(a.path); i++ {
		p, q := a.path[i-1], a.path[i]
		if at < p.at || at > q.at {
			continue
		}
		s := (at - p.at) / (q.at - p.at)
		x, y := p.x+s*(q.x-p.x), p.y+s*(q.y-p.y)
		b := infer.Box{X1: float32(x - a.w/2), Y1: float32(y - a.h), X2: float32(x + a.w/2), Y2: float32(y)}
		clipped := b.Clip()
		return clipped, clipped.Area() > 0.4*b.Area() // what is seen of it
	}
	return infer.Box{}, false
}

// sceneOptions are how a scene is seen.
type sceneOptions struct {
	seed    uint64
	rate    float64 // frames a second
	length  float64 // seconds
	jitter  float64 // one standard deviation of a box's edge, as a part of its size
	missed  float64 // the part of detections that are missing
	false_  float64 // false detections, as a part of all
	skip    int     // of so many frames only the last is processed; 0: all are
	occlude bool    // what is hidden for the most part is not detected
}

// sceneFrame is one processed frame: what is there, and what a detector says.
type sceneFrame struct {
	frame      track.Frame
	truth      []truth
	detections []infer.Detection
}

type truth struct {
	id  int
	box infer.Box
}

// occluded is how much of a box is hidden by another before a detector does not see it.
const occluded = 0.7

// film makes the frames of a scene.
func film(cast []actor, o sceneOptions) (frames []sceneFrame) {
	r := rand.New(rand.NewPCG(o.seed, 8))
	labels := []string{"person", "car"}
	for n := 0; float64(n)/o.rate < o.length; n++ {
		at := float64(n) / o.rate
		f := sceneFrame{frame: track.Frame{
			Sequence: uint32(n), Monotonic: time.Hour + time.Duration(at*float64(time.Second)), Labels: labels, Aspect: 16.0 / 9,
		}}
		type shown struct {
			*actor
			box infer.Box
		}
		var there []shown
		for i := range cast {
			if box, ok := cast[i].box(at); ok {
				there = append(there, shown{&cast[i], box})
				f.truth = append(f.truth, truth{cast[i].id, box})
			}
		}
		for _, a := range there {
			hidden := slices.ContainsFunc(there, func(b shown) bool {
				cut := infer.Box{
					X1: max(a.box.X1, b.box.X1), Y1: max(a.box.Y1, b.box.Y1), X2: min(a.box.X2, b.box.X2), Y2: min(a.box.Y2, b.box.Y2),
				}
				return b.depth > a.depth && cut.Area() > occluded*a.box.Area()
			})
			miss, score := r.Float64() < o.missed, 0.6+0.35*r.Float64()
			box := shake(r, a.box, o.jitter)
			if o.occlude && hidden || miss {
				continue
			}
			f.detections = append(f.detections, infer.Detection{Class: a.class, Score: float32(score), Box: box})
		}
		for range there {
			if r.Float64() >= o.false_ {
				continue
			}
			w, h := 0.02+0.06*r.Float64(), 0.05+0.2*r.Float64()
			x, y := r.Float64()*(1-w), r.Float64()*(1-h)
			f.detections = append(f.detections, infer.Detection{
				Class: 0, Score: float32(0.4 + 0.4*r.Float64()),
				Box: infer.Box{X1: float32(x), Y1: float32(y), X2: float32(x + w), Y2: float32(y + h)},
			})
		}
		if o.skip == 0 || n%o.skip == o.skip-1 {
			frames = append(frames, f)
		}
	}
	return frames
}

func shake(r *rand.Rand, b infer.Box, jitter float64) infer.Box {
	w, h := float64(b.X2-b.X1), float64(b.Y2-b.Y1)
	by := func(size float64) float32 { return float32(r.NormFloat64() * jitter * size) }
	b = infer.Box{X1: b.X1 + by(w), Y1: b.Y1 + by(h), X2: b.X2 + by(w), Y2: b.Y2 + by(h)}.Clip()
	if b.X2 <= b.X1 || b.Y2 <= b.Y1 {
		return infer.Box{X1: b.X1, Y1: b.Y1, X2: b.X1 + 0.01, Y2: b.Y1 + 0.01}.Clip()
	}
	return b
}

// crossing has pairs of people who walk towards each other, past each other, and out.
func crossing() (cast []actor) {
	for i := range 4 {
		y, start := 0.35+0.17*float64(i), 1.5*float64(i)
		w, h := 0.045+0.004*float64(i), 0.2+0.02*float64(i)
		cast = append(cast,
			actor{id: 2*i + 1, w: w, h: h, depth: y, path: []waypoint{{start, -0.05, y}, {start + 10, 1.05, y}}},
			actor{id: 2*i + 2, w: w, h: h, depth: y + 0.01, path: []waypoint{{start, 1.05, y + 0.01}, {start + 9, -0.05, y + 0.01}}})
	}
	return cast
}

// occlusion has people who walk behind a van that stands, and cars that pass each other. What is hidden counts as missed.
func occlusion() []actor {
	cast := []actor{{id: 1, class: 1, w: 0.1, h: 0.28, depth: 9, path: []waypoint{{0, 0.5, 0.7}, {30, 0.5, 0.7}}}}
	for i := range 5 {
		start, y := 3*float64(i), 0.62+0.008*float64(i)
		from, to := -0.05, 1.05
		if i%2 == 1 {
			from, to = to, from
		}
		cast = append(cast, actor{
			id: 10 + i, w: 0.05, h: 0.2, depth: y, path: []waypoint{{start, from, y}, {start + 11, to, y}},
		})
	}
	for i := range 4 {
		start, y := 4*float64(i)+1, 0.9+0.02*float64(i)
		from, to := -0.1, 1.1
		if i%2 == 0 {
			from, to = to, from
		}
		cast = append(cast, actor{
			id: 20 + i, class: 1, w: 0.18, h: 0.14, depth: y + 10, path: []waypoint{{start, from, y}, {start + 4, to, y}},
		})
	}
	return cast
}

// crowd has people who walk about a square, turn and stop, as chance has it.
func crowd(seed uint64, n int, length float64) (cast []actor) {
	r := rand.New(rand.NewPCG(seed, 9))
	for i := range n {
		y := 0.3 + 0.7*r.Float64()
		a := actor{id: i + 1, h: 0.06 + 0.16*y, depth: y}
		a.w = a.h * 0.22
		at, x := r.Float64()*length/2, r.Float64()
		if r.IntN(2) == 0 { // comes in by the side
			x = -0.02
			if r.IntN(2) == 0 {
				x = 1.02
			}
		}
		a.path = []waypoint{{at, x, y}}
		for at < length && len(a.path) < 8 {
			pace := (0.25 + 0.5*r.Float64()) * a.h // heights a second: 0.4 to 1.3 m/s
			toX, toY := 0.1+0.8*r.Float64(), y+0.1*(r.Float64()-0.5)
			if r.IntN(4) == 0 { // goes out
				toX = math.Round(r.Float64())*1.1 - 0.05
			}
			at += max(0.5, math.Abs(toX-x)*16/9/pace/1.5)
			x, y = toX, toY
			a.path = append(a.path, waypoint{at, x, y})
			if r.IntN(3) == 0 {
				at += 1 + 3*r.Float64()
				a.path = append(a.path, waypoint{at, x, y})
			}
			if x < 0 || x > 1 {
				break
			}
		}
		cast = append(cast, a)
	}
	return cast
}

func cos(i, n int) float64 { return math.Cos(2 * math.Pi * float64(i) / float64(n)) }
func sin(i, n int) float64 { return math.Sin(2 * math.Pi * float64(i) / float64(n)) }
