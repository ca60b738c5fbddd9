package pipeline

import (
	"testing"

	"vedette/infer"
)

func TestFramesArePreparedAheadWhereAProcessorIsFree(t *testing.T) {
	for _, c := range []struct {
		providers           []string
		workers, threads, n int
		want                bool
	}{
		{[]string{"cpu"}, 1, 0, 2, false},
		{[]string{"cpu"}, 1, 1, 2, true},
		{[]string{"cpu"}, 2, 1, 2, false},
		{[]string{"cpu"}, 1, 3, 4, true},
		{[]string{"cpu"}, 2, 2, 4, false},
		{[]string{"cpu"}, 1, 1, 1, false},
		{[]string{"cuda", "cpu"}, 1, 0, 2, true},
		{[]string{"tensorrt"}, 1, 0, 2, true},
	} {
		if got := ahead(infer.Config{Providers: c.providers, Workers: c.workers, Threads: c.threads}, c.n); got != c.want {
			t.Errorf("%+v: %v", c, got)
		}
		if ahead(infer.Config{Providers: c.providers, Workers: c.workers, Threads: c.threads, Preprocess: "graph"}, c.n) {
			t.Errorf("%+v: there is nothing to prepare for a graph that does", c)
		}
	}
}
