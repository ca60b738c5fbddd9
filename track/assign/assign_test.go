package assign_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"vedette/track/assign"
)

// best is the greatest sum of gains, found by trying every matching: row by row, with the set of columns that are taken.
func best(rows, cols int, pairs []assign.Pair) float64 {
	gain := make([][]float64, rows)
	for i := range gain {
		gain[i] = make([]float64, cols)
	}
	for _, p := range pairs {
		gain[p.Row][p.Col] = p.Gain
	}
	sums := map[int]float64{0: 0}
	for i := range rows {
		next := map[int]float64{}
		for taken, sum := range sums {
			next[taken] = max(next[taken], sum)
			for j := range cols {
				if gain[i][j] > 0 && taken&(1<<j) == 0 {
					next[taken|1<<j] = max(next[taken|1<<j], sum+gain[i][j])
				}
			}
		}
		sums = next
	}
	greatest := 0.0
	for _, sum := range sums {
		greatest = max(greatest, sum)
	}
	return greatest
}

// total checks that a matching is one, and gives its sum.
func total(t *testing.T, cols int, pairs []assign.Pair, match []int32) float64 {
	t.Helper()
	taken, sum := make([]bool, cols), 0.0
	for row, col := range match {
		if col == assign.None {
			continue
		}
		if taken[col] {
			t.Fatalf("column %d is matched twice", col)
		}
		taken[col] = true
		found := false
		for _, p := range pairs {
			if p.Row == int32(row) && p.Col == col {
				sum, found = sum+p.Gain, true
			}
		}
		if !found {
			t.Fatalf("row %d is matched with column %d, which is no pair", row, col)
		}
	}
	return sum
}

func random(r *rand.Rand, rows, cols int, density float64, gain func() float64) (pairs []assign.Pair) {
	for i := range rows {
		for j := range cols {
			if r.Float64() < density {
				pairs = append(pairs, assign.Pair{Row: int32(i), Col: int32(j), Gain: gain()})
			}
		}
	}
	return pairs
}

func TestNoMatchingGainsMore(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var solver assign.Solver
	for n := range 20000 {
		rows, cols := r.IntN(8), r.IntN(9)
		gain := r.Float64
		if n%2 == 0 { // many equal sums
			gain = func() float64 { return float64(1 + r.IntN(4)) }
		}
		pairs := random(r, rows, cols, r.Float64(), func() float64 { return max(gain(), 1e-9) })
		got := total(t, cols, pairs, solver.Match(rows, cols, pairs))
		if want := best(rows, cols, pairs); math.Abs(got-want) > 1e-9 {
			t.Fatalf("%d rows, %d columns, %v: gains %v, not %v", rows, cols, pairs, got, want)
		}
	}
}

func TestMatchTakesNoMemoryOfItsOwn(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	pairs := random(r, 100, 100, 0.05, r.Float64)
	var solver assign.Solver
	solver.Match(100, 100, pairs)
	if n := testing.AllocsPerRun(100, func() { solver.Match(100, 100, pairs) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

func FuzzMatch(f *testing.F) {
	f.Add([]byte{3, 3, 0, 0, 9, 0, 1, 8, 1, 0, 8, 1, 2, 1, 2, 2, 2})
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) < 2 {
			return
		}
		rows, cols := int(data[0]%9), int(data[1]%9)
		gain := make([]float64, rows*cols)
		for rest := data[2:]; len(rest) >= 2 && len(gain) > 0; rest = rest[2:] {
			gain[int(rest[0])%len(gain)] = float64(rest[1])
		}
		var pairs []assign.Pair
		for k, g := range gain {
			if g > 0 {
				pairs = append(pairs, assign.Pair{Row: int32(k / cols), Col: int32(k % cols), Gain: g})
			}
		}
		var solver assign.Solver
		if got, want := total(t, cols, pairs, solver.Match(rows, cols, pairs)), best(rows, cols, pairs); got != want {
			t.Errorf("%d rows, %d columns, %v: gains %v, not %v", rows, cols, pairs, got, want)
		}
	})
}

// BenchmarkMatch has every pair in one component, which is the worst there is: an object overlaps all others.
func BenchmarkMatch(b *testing.B) {
	for _, n := range []int{100, 500, 1000} {
		for _, each := range []float64{5, 50} {
			b.Run(fmt.Sprintf("%d/each with %g", n, each), func(b *testing.B) {
				r := rand.New(rand.NewPCG(5, 6))
				pairs := random(r, n, n, each/float64(n), r.Float64)
				var solver assign.Solver
				b.ReportAllocs()
				for b.Loop() {
					solver.Match(n, n, pairs)
				}
			})
		}
	}
}
