package mask

import (
	"iter"
	"math"
)

// outline is a closed polygon in cells.
type outline [][2]float64

// sliver is how far, in cells, a polygon may reach into a cell without touching it: more than the rounding of a
// product, so that an edge that is meant to lie between two cells touches neither.
const sliver = 1e-6

// cover is which cells of one row polygons touch.
type cover struct {
	touched []bool
	turns   []int // change of the winding number at a cell's centre against the one before; one more than cells
}

func newCover(columns int) *cover {
	return &cover{make([]bool, columns), make([]int, columns+1)}
}

func (c *cover) reset() { clear(c.touched) }

// add marks the cells of a row that the polygon touches: those that an edge runs through, and those whose centre is
// inside. A cell that is touched and has no edge in it lies inside as a whole.
func (c *cover) add(o outline, row int) {
	clear(c.turns)
	top, centre, bottom := float64(row)+sliver, float64(row)+0.5, float64(row)+1-sliver
	for i, b := range o {
		a := o[(i+len(o)-1)%len(o)]
		turn := 1
		if a[1] > b[1] {
			a, b, turn = b, a, -1
		}
		if b[1] < top || a[1] > bottom {
			continue
		}
		x1, x2 := a[0], b[0]
		if a[1] < top {
			x1 = crossing(a, b, top)
		}
		if b[1] > bottom {
			x2 = crossing(a, b, bottom)
		}
		c.touch(min(x1, x2), max(x1, x2))
		if a[1] <= centre && centre < b[1] {
			first := int(math.Ceil(crossing(a, b, centre) - 0.5))
			c.turns[min(max(first, 0), len(c.touched))] += turn
		}
	}
	winding := 0
	for i := range c.touched {
		winding += c.turns[i]
		if winding != 0 {
			c.touched[i] = true
		}
	}
}

// crossing is where an edge that is not level crosses a height.
func crossing(a, b [2]float64, y float64) float64 {
	return a[0] + (b[0]-a[0])*(y-a[1])/(b[1]-a[1])
}

// touch marks the cells from x1 to x2.
func (c *cover) touch(x1, x2 float64) {
	from, to := int(math.Floor(x1+sliver)), int(math.Ceil(x2-sliver))
	for i := max(from, 0); i < min(to, len(c.touched)); i++ {
		c.touched[i] = true
	}
}

// runs are the stretches of touched cells: from, and just behind.
func (c *cover) runs() iter.Seq2[int, int] {
	return func(yield func(int, int) bool) {
		for i := 0; i < len(c.touched); i++ {
			from := i
			for i < len(c.touched) && c.touched[i] {
				i++
			}
			if i > from && !yield(from, i) {
				return
			}
		}
	}
}
