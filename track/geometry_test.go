package track

import (
	"math"
	"testing"

	"vedette/infer"
)

func TestContainsByTheEvenOddRule(t *testing.T) {
	horseshoe := Polygon{{0.1, 0.1}, {0.9, 0.1}, {0.9, 0.9}, {0.6, 0.9}, {0.6, 0.4}, {0.4, 0.4}, {0.4, 0.9}, {0.1, 0.9}}
	for p, want := range map[Point]bool{
		{0.2, 0.5}: true, {0.5, 0.2}: true, {0.8, 0.8}: true, {0.5, 0.6}: false, {0.05, 0.5}: false, {0.95, 0.5}: false, {0.5, 0.95}: false,
	} {
		if got := horseshoe.Contains(p); got != want {
			t.Errorf("%v: %v", p, got)
		}
	}
	left, right := Polygon{{0, 0}, {0.5, 0}, {0.5, 1}, {0, 1}}, Polygon{{0.5, 0}, {1, 0}, {1, 1}, {0.5, 1}}
	for _, y := range []float32{0.1, 0.5, 0.9} {
		if p := (Point{0.5, y}); left.Contains(p) == right.Contains(p) {
			t.Errorf("%v is in both or in neither of two areas that touch there", p)
		}
	}
}

func TestShareOfABox(t *testing.T) {
	triangle := Polygon{{0, 0}, {1, 0}, {0, 1}}
	horseshoe := Polygon{{0, 0}, {1, 0}, {1, 1}, {0.75, 1}, {0.75, 0.5}, {0.25, 0.5}, {0.25, 1}, {0, 1}}
	var c clipper
	for _, k := range []struct {
		name string
		g    Polygon
		box  infer.Box
		want float32
	}{
		{"whole", triangle, infer.Box{X1: 0.1, Y1: 0.1, X2: 0.3, Y2: 0.3}, 1},
		{"half", triangle, infer.Box{X2: 1, Y2: 1}, 0.5},
		{"outside", triangle, infer.Box{X1: 0.8, Y1: 0.8, X2: 0.9, Y2: 0.9}, 0},
		{"two legs", horseshoe, infer.Box{Y1: 0.6, X2: 1, Y2: 1}, 0.5},
		{"all of a horseshoe", horseshoe, infer.Box{X2: 1, Y2: 1}, 0.75},
		{"nothing", triangle, infer.Box{X1: 0.1, Y1: 0.1, X2: 0.1, Y2: 0.3}, 0},
	} {
		if got := c.share(k.g, k.box); math.Abs(float64(got-k.want)) > 1e-5 {
			t.Errorf("%s: %v, not %v", k.name, got, k.want)
		}
	}
}

func polygonOf(data []byte) (g Polygon) {
	for ; len(data) >= 2 && len(g) < 64; data = data[2:] {
		g = append(g, Point{float32(data[0]) / 255, float32(data[1]) / 255})
	}
	return g
}

// FuzzZone: whatever the polygon, nothing fails; a box's share is the mean of its halves'; a polygon that is turned round is the
// same; of a convex one, a box that is all inside has its middle inside.
func FuzzZone(f *testing.F) {
	f.Add([]byte{0, 0, 255, 0, 255, 255}, byte(10), byte(20), byte(200), byte(250))
	f.Add([]byte{0, 0, 255, 0, 255, 255, 190, 255, 190, 128, 64, 128, 64, 255, 0, 255}, byte(0), byte(150), byte(255), byte(255))
	f.Add([]byte{0, 0, 255, 255, 255, 0, 0, 255}, byte(0), byte(0), byte(255), byte(255))
	f.Add([]byte{}, byte(1), byte(1), byte(2), byte(2))
	f.Fuzz(func(t *testing.T, corners []byte, x1, y1, x2, y2 byte) {
		g := polygonOf(corners)
		box := infer.Box{
			X1: float32(min(x1, x2)) / 255, Y1: float32(min(y1, y2)) / 255, X2: float32(max(x1, x2)) / 255, Y2: float32(max(y1, y2)) / 255,
		}
		var c clipper
		whole := c.share(g, box)
		if !(whole >= 0 && whole <= 1) {
			t.Fatalf("share %v", whole)
		}
		if box.Area() == 0 {
			return
		}
		back := make(Polygon, 0, len(g))
		for i := range g {
			back = append(back, g[len(g)-1-i])
		}
		if other := c.share(back, box); math.Abs(float64(whole-other)) > 1e-3 {
			t.Errorf("share %v, the other way round %v", whole, other)
		}
		left, right := box, box
		left.X2 = (box.X1 + box.X2) / 2
		right.X1 = left.X2
		// A polygon that crosses itself has parts that count against each other; the configuration lets none through.
		if halves := (c.share(g, left) + c.share(g, right)) / 2; simple(g) && math.Abs(float64(whole-halves)) > 2e-3 {
			t.Errorf("share %v, of its halves %v", whole, halves)
		}
		middle := Point{(box.X1 + box.X2) / 2, (box.Y1 + box.Y2) / 2}
		if simple(g) && whole > 0.9999 && box.X2-box.X1 > 0.02 && box.Y2-box.Y1 > 0.02 && !g.Contains(middle) {
			t.Errorf("box %v is inside %v, its middle is not", box, g)
		}
	})
}

// simple tells whether no two edges of a polygon have a point in common but for neighbours' corners.
func simple(g Polygon) bool {
	n := len(g)
	if n < 3 {
		return false
	}
	turn := func(a, b, c Point) float64 {
		return float64(b.X-a.X)*float64(c.Y-a.Y) - float64(b.Y-a.Y)*float64(c.X-a.X)
	}
	for i := range n {
		if turn(g[i], g[(i+1)%n], g[(i+2)%n]) == 0 {
			return false
		}
		for j := range i {
			a, b, c, d := g[j], g[j+1], g[i], g[(i+1)%n]
			if j+1 == i || (i+1)%n == j {
				continue
			}
			if turn(a, b, c)*turn(a, b, d) <= 0 && turn(c, d, a)*turn(c, d, b) <= 0 {
				return false
			}
		}
	}
	return true
}

func TestALineIsCrossedBetweenItsEnds(t *testing.T) {
	a, b := Point{0.4, 0.5}, Point{0.6, 0.5}
	if side(a, b, Point{0.5, 0.6}) <= 0 {
		t.Error("below a line that leads to the right is not its right side")
	}
	for _, c := range []struct {
		p, q Point
		want bool
	}{
		{Point{0.5, 0.4}, Point{0.5, 0.6}, true},
		{Point{0.45, 0.4}, Point{0.55, 0.6}, true},
		{Point{0.3, 0.4}, Point{0.3, 0.6}, false},
		{Point{0.7, 0.6}, Point{0.7, 0.4}, false},
	} {
		if got := meets(a, b, c.p, c.q); got != c.want {
			t.Errorf("%v to %v: %v", c.p, c.q, got)
		}
	}
}
