package track

import "vedette/infer"

// Point is a place in the picture, in 0..1 of its width and height, y downwards.
type Point struct{ X, Y float32 }

// Polygon is the corners of an area in order; the last is joined to the first.
type Polygon []Point

// Contains tells whether a point lies inside, by counting the edges that a ray to its right crosses (the even-odd rule; W. R.
// Franklin, "PNPOLY", 1970). Of the points on an edge those of left and upper edges are inside, so that areas that touch share
// none.
func (g Polygon) Contains(p Point) bool {
	inside := false
	for i, j := 0, len(g)-1; i < len(g); j, i = i, i+1 {
		a, b := g[i], g[j]
		if (a.Y > p.Y) != (b.Y > p.Y) && p.X < (b.X-a.X)*(p.Y-a.Y)/(b.Y-a.Y)+a.X {
			inside = !inside
		}
	}
	return inside
}

// clipper keeps the memory in which polygons are cut.
type clipper struct{ from, to []Point }

// share is the part of a box's area that lies in a polygon, 0..1: the polygon is cut by the box's four sides (Sutherland and
// Hodgman, "Reentrant polygon clipping", 1974), and the rest measured by the shoelace formula. Where the polygon is not
// convex the cut may leave edges along the box's sides that are run through to and fro; they have no area.
func (c *clipper) share(g Polygon, box infer.Box) float32 {
	area := box.Area()
	if area <= 0 {
		return 0
	}
	c.from = append(c.from[:0], g...)
	c.cut(func(p Point) float32 { return p.X - box.X1 })
	c.cut(func(p Point) float32 { return box.X2 - p.X })
	c.cut(func(p Point) float32 { return p.Y - box.Y1 })
	c.cut(func(p Point) float32 { return box.Y2 - p.Y })
	// Corners are taken from the box's own: near 0 float32 has more places.
	twice := float32(0)
	for i, j := 0, len(c.from)-1; i < len(c.from); j, i = i, i+1 {
		ax, ay, bx, by := c.from[j].X-box.X1, c.from[j].Y-box.Y1, c.from[i].X-box.X1, c.from[i].Y-box.Y1
		twice += ax*by - bx*ay
	}
	return min(max(twice, -twice)/2/area, 1)
}

// cut keeps the half of the plane in which depth is not negative.
func (c *clipper) cut(depth func(Point) float32) {
	c.to = c.to[:0]
	for i, j := 0, len(c.from)-1; i < len(c.from); j, i = i, i+1 {
		a, b := c.from[j], c.from[i]
		da, db := depth(a), depth(b)
		if (da < 0) != (db < 0) {
			t := da / (da - db)
			c.to = append(c.to, Point{a.X + t*(b.X-a.X), a.Y + t*(b.Y-a.Y)})
		}
		if db >= 0 {
			c.to = append(c.to, b)
		}
	}
	c.from, c.to = c.to, c.from
}

// side tells on which side of the directed line through a and b a point lies: more than 0 to the right as one looks from a
// to b (y grows downwards), less than 0 to the left.
func side(a, b, p Point) float32 {
	return (b.X-a.X)*(p.Y-a.Y) - (b.Y-a.Y)*(p.X-a.X)
}

// meets tells whether the way from p to q, which ends on the other side of the line through a and b, leads between the two.
func meets(a, b, p, q Point) bool {
	return (side(p, q, a) >= 0) != (side(p, q, b) >= 0)
}

// ground is where an object stands: the middle of its box's lower edge.
func ground(b infer.Box) Point { return Point{(b.X1 + b.X2) / 2, b.Y2} }
