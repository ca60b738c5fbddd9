package bench

import (
	"math"
	"slices"
	"testing"
)

// The figures are NumPy's, of numpy.quantile with its default method.
func TestQuantile(t *testing.T) {
	for _, c := range []struct {
		values []float64
		q      float64
		want   float64
	}{
		{nil, 0.5, 0},
		{[]float64{3}, 0.99, 3},
		{[]float64{4, 1, 3, 2}, 0.5, 2.5},
		{[]float64{4, 1, 3, 2}, 0.25, 1.75},
		{[]float64{4, 1, 3, 2}, 0, 1},
		{[]float64{4, 1, 3, 2}, 1, 4},
		{[]float64{10, 20, 30, 40, 50}, 0.99, 49.6},
	} {
		before := slices.Clone(c.values)
		if got := quantile(c.values, c.q); math.Abs(got-c.want) > 1e-9 {
			t.Errorf("quantile %g of %v is %g, not %g", c.q, c.values, got, c.want)
		}
		if !slices.Equal(before, c.values) {
			t.Errorf("%v was changed to %v", before, c.values)
		}
	}
}

func TestConclude(t *testing.T) {
	m := measurements{
		raw: []float64{10, 20, 40}, pipeline: []float64{9, 10, 38}, ratio: []float64{0.9, 0.5, 0.95},
		rawCPU: []float64{50, 60, 70}, parent: []float64{1, 2, 3}, child: []float64{52, 61, 100},
		outside: []float64{3, 3, 33}, added: []float64{1, 2, 3, 4, 5},
	}
	var r Report
	m.conclude(&r)
	if r.Raw.FPS != 20 || r.Pipeline.FPS != 10 {
		t.Errorf("rates are %g and %g, not the medians 20 and 10", r.Raw.FPS, r.Pipeline.FPS)
	}
	if r.Ratio != 0.9 || r.RatioSpread != (Spread{0.5, 0.7, 0.925, 0.95}) {
		t.Errorf("ratio is %g %+v: it is to be the median of the blocks' own ratios", r.Ratio, r.RatioSpread)
	}
	if r.CPU.OutsideSession != 3 {
		t.Errorf("outside_session is %g: one bad block of three must not show", r.CPU.OutsideSession)
	}
	if r.Latency != (Latency{P50: 3, P99: 4.96, Samples: 5}) {
		t.Errorf("latency is %+v", r.Latency)
	}
}

// Lines as Linux 6.18 writes them.
const smaps = `00400000-00452000 r-xp 00000000 08:02 173521                             /usr/bin/vedette
Size:                328 kB
Rss:                 100 kB
Pss:                 100 kB
7f0000000000-7f0000700000 rw-s 00000000 00:01 1027                       /memfd:vedette:cam (deleted)
Size:               7168 kB
Rss:                7000 kB
Shared_Dirty:       7000 kB
7f1000000000-7f1000700000 rw-s 00000000 00:01 1028                       /memfd:other (deleted)
Rss:                  64 kB
7f2000000000-7f2000700000 r--s 00000000 00:01 1029                       /memfd:vedette:hall (deleted)
Rss:                  24 kB
VmFlags: rd sh mr mw me ms sd
`

func TestSharedFrames(t *testing.T) {
	if got, want := sharedFrames([]byte(smaps), "vedette:"), int64(7024<<10); got != want {
		t.Errorf("shared frames take %d bytes, not %d", got, want)
	}
}
