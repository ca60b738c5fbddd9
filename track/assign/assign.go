// Package assign finds the matching of greatest gain between two sets of which few pairs are possible.
//
// It is the method of successive shortest augmenting paths with row and column prices of Jonker and Volgenant ("A shortest
// augmenting path algorithm for dense and sparse linear assignment problems", Computing 38, 1987), in the form that Crouse
// describes ("On implementing 2D rectangular assignment algorithms", IEEE Trans. AES 52(4), 2016), over the pairs that are
// there only. A search for a path stays within the rows and columns that are connected, so that a frame whose objects
// lie apart costs little more than looking at each pair once.
package assign

// Pair says that a row may be matched with a column, and what that gains: more than 0, and finite.
type Pair struct {
	Row, Col int32
	Gain     float64
}

// None is the column of a row that has no match.
const None = int32(-1)

// Solver keeps its memory between calls. It is used by one goroutine at a time.
type Solver struct {
	pairs []Pair
	first []int32 // by row: its first pair; one more than there are rows

	colOf, rowOf []int32   // the matching so far
	price        []float64 // of the columns, at most 0; of one without a match it is 0
	queue        []step    // a binary heap: columns that can be reached, the nearest first

	// Of one search, by column; reached tells which entries are of this one.
	distance []float64
	parent   []int32 // the row from which the column was reached
	reached  []int32
	settled  []int32 // columns whose distance is final
	done     []bool
}

// step is a column at a distance from the row at which a search began.
type step struct {
	distance float64
	col      int32
}

// Match gives for each row the column with which it is matched, or None, so that the sum of gains is the greatest there is.
// pairs are in the order of their rows, each at most once. Equal sums are decided by the order of pairs alone, so that the
// same input has the same output. The answer is valid until the next call.
func (s *Solver) Match(rows, cols int, pairs []Pair) []int32 {
	s.reset(rows, cols, pairs)
	for row := range rows {
		s.augment(int32(row))
	}
	return s.colOf
}

func (s *Solver) reset(rows, cols int, pairs []Pair) {
	s.pairs = pairs
	s.first = resize(s.first, rows+1)
	clear(s.first)
	for _, p := range pairs {
		s.first[p.Row+1]++
	}
	for row := range rows {
		s.first[row+1] += s.first[row]
	}
	s.colOf, s.rowOf = resize(s.colOf, rows), resize(s.rowOf, cols)
	for i := range s.colOf {
		s.colOf[i] = None
	}
	for j := range s.rowOf {
		s.rowOf[j] = None
	}
	s.price, s.distance = resize(s.price, cols), resize(s.distance, cols)
	s.parent, s.reached, s.done = resize(s.parent, cols), resize(s.reached, cols), resize(s.done, cols)
	clear(s.price)
	clear(s.reached)
	clear(s.done)
}

func resize[T any](list []T, n int) []T {
	if cap(list) < n {
		return make([]T, n, n+n/2)
	}
	return list[:n]
}

// augment brings one more row into the matching, by the cheapest of all ways: a free column at the end of an alternating
// path, or some row on such a path, itself perhaps, that stays without. A pair costs its gain less than nothing; to stay
// without costs nothing.
func (s *Solver) augment(start int32) {
	s.queue, s.settled = s.queue[:0], s.settled[:0]
	mark := start + 1 // tells this search's entries of reached from those of earlier ones
	row, at := start, 0.0
	// The cheapest end so far: the row that stays without a match.
	bestRow, best := start, 0.0
	end := None
	for {
		// The row's own price is what makes its matched pair cost nothing; the row that begins has none.
		own := 0.0
		if col := s.colOf[row]; col != None {
			own = s.reduced(s.pairOf(row, col))
		}
		for i := s.first[row]; i < s.first[row+1]; i++ {
			p := &s.pairs[i]
			d := at + s.reduced(p) - own
			if s.reached[p.Col] == mark && (s.done[p.Col] || s.distance[p.Col] <= d) {
				continue
			}
			s.reached[p.Col], s.distance[p.Col], s.parent[p.Col], s.done[p.Col] = mark, d, row, false
			s.push(step{d, p.Col})
		}
		col := s.nearest(mark)
		if col == None || s.distance[col] >= best {
			break
		}
		s.done[col] = true
		s.settled = append(s.settled, col)
		at = s.distance[col]
		if s.rowOf[col] == None {
			end, best = col, at
			break
		}
		row = s.rowOf[col]
		// If this row gave its column up and stayed without, it would save what its pair costs.
		if without := at - s.reduced(s.pairOf(row, col)); without < best {
			bestRow, best = row, without
		}
	}
	for _, col := range s.settled {
		if s.distance[col] < best {
			s.price[col] += s.distance[col] - best
		}
	}
	if end == None {
		end = s.colOf[bestRow]
		s.colOf[bestRow] = None
		if end == None {
			return // the row that began stays without
		}
	}
	for {
		row := s.parent[end]
		s.rowOf[end] = row
		s.colOf[row], end = end, s.colOf[row]
		if row == start {
			return
		}
	}
}

// reduced is what a pair costs at the column's price.
func (s *Solver) reduced(p *Pair) float64 { return -p.Gain - s.price[p.Col] }

func (s *Solver) pairOf(row, col int32) *Pair {
	i := s.first[row]
	for s.pairs[i].Col != col {
		i++
	}
	return &s.pairs[i]
}

// nearest takes the nearest column from the queue that is not settled, None where none is left.
func (s *Solver) nearest(mark int32) int32 {
	for len(s.queue) > 0 {
		top := s.pop()
		if s.reached[top.col] == mark && !s.done[top.col] && s.distance[top.col] == top.distance {
			return top.col
		}
	}
	return None
}

func (a step) before(b step) bool {
	return a.distance < b.distance || a.distance == b.distance && a.col < b.col
}

func (s *Solver) push(e step) {
	s.queue = append(s.queue, e)
	q, i := s.queue, len(s.queue)-1
	for i > 0 && q[i].before(q[(i-1)/2]) {
		q[i], q[(i-1)/2] = q[(i-1)/2], q[i]
		i = (i - 1) / 2
	}
}

func (s *Solver) pop() step {
	q := s.queue
	top, last := q[0], len(q)-1
	q[0], s.queue = q[last], q[:last]
	q = s.queue
	for i := 0; ; {
		least := i
		for child := 2*i + 1; child <= 2*i+2 && child < last; child++ {
			if q[child].before(q[least]) {
				least = child
			}
		}
		if least == i {
			return top
		}
		q[i], q[least] = q[least], q[i]
		i = least
	}
}
