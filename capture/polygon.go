package capture

import "fmt"

// The most corners of a polygon, which is what painting it and looking whether something is in it cost.
const maxCorners = 64

// polygonProblem says what is wrong with a polygon; empty where nothing is. One that crosses itself has parts of which
// nobody can tell whether they are meant to be inside.
func polygonProblem(polygon []Point) string {
	n := len(polygon)
	if n < 3 || n > maxCorners {
		return fmt.Sprintf("a polygon has 3 to %d corners, not %d", maxCorners, n)
	}
	for i, corner := range polygon {
		if !inUnit(corner[:]) {
			return fmt.Sprintf("corner %d is not two numbers x, y in 0..1", i+1)
		}
	}
	for i := range polygon {
		for j := range i {
			if polygon[i] == polygon[j] {
				return fmt.Sprintf("corners %d and %d are the same", j+1, i+1)
			}
		}
	}
	for i := range polygon {
		for j := range i {
			a, b, c, d := polygon[j], polygon[j+1], polygon[i], polygon[(i+1)%n]
			if j+1 == i || (i+1)%n == j {
				if turnsBack(a, b, c, d) {
					return fmt.Sprintf("its edges run back over each other at corner %d", at(i, j, n)+1)
				}
				continue
			}
			if touch(a, b, c, d) {
				return fmt.Sprintf("it crosses itself: the edges from corner %d and from corner %d meet", j+1, i+1)
			}
		}
	}
	return ""
}

// at is the corner that two neighbouring edges share.
func at(i, j, n int) int {
	if (i+1)%n == j {
		return j
	}
	return i
}

// turnsBack tells whether two edges that share a corner, as every edge of a polygon does with the next, lie over each other.
func turnsBack(a, b, c, d Point) bool {
	if b != c { // the other way round: the second leads to the first
		a, b, d = c, a, b
	}
	return turn(a, b, d) == 0 && (a[0]-b[0])*(d[0]-b[0])+(a[1]-b[1])*(d[1]-b[1]) > 0
}

// turn is more than 0 where the way from a over b to c turns right, less than 0 where left, y growing downwards.
func turn(a, b, c Point) float64 {
	return (b[0]-a[0])*(c[1]-a[1]) - (b[1]-a[1])*(c[0]-a[0])
}

// touch tells whether the segments ab and cd have a point in common (O'Rourke, "Computational Geometry in C", 1998, 1.5.2).
func touch(a, b, c, d Point) bool {
	abc, abd, cda, cdb := sign(turn(a, b, c)), sign(turn(a, b, d)), sign(turn(c, d, a)), sign(turn(c, d, b))
	if abc != abd && cda != cdb {
		return true
	}
	return abc == 0 && between(a, b, c) || abd == 0 && between(a, b, d) ||
		cda == 0 && between(c, d, a) || cdb == 0 && between(c, d, b)
}

func sign(v float64) int {
	switch {
	case v > 0:
		return 1
	case v < 0:
		return -1
	}
	return 0
}

// between tells whether c, which lies on the line through a and b, lies between the two.
func between(a, b, c Point) bool {
	return min(a[0], b[0]) <= c[0] && c[0] <= max(a[0], b[0]) && min(a[1], b[1]) <= c[1] && c[1] <= max(a[1], b[1])
}
