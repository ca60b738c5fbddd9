package pipeline

import (
	"slices"
	"testing"
)

func TestMemoryIsShedStepByStep(t *testing.T) {
	looks := func(n int, available float64) []float64 { return slices.Repeat([]float64{available}, n) }
	for _, c := range []struct {
		name  string
		spare bool
		looks []float64
		want  []memoryStep
	}{
		{"enough", true, looks(100, 0.5), nil},
		{"a moment's lack", true, slices.Concat(looks(2, 0.01), looks(1, 0.05), looks(2, 0.01)), nil},
		{"the spare first, then a worker", true, looks(6, 0.01), []memoryStep{memoryShed, memoryRestart}},
		{"without a spare", false, looks(3, 0.01), []memoryStep{memoryRestart}},
		{"not again at once", false, looks(3+memoryRest-1, 0.01), []memoryStep{memoryRestart}},
		{"again after a rest", false, looks(3+memoryRest, 0.01), []memoryStep{memoryRestart, memoryRestart}},
		{
			"the spare comes back when there is plenty", true,
			slices.Concat(looks(3, 0.01), looks(100, 0.06), looks(memoryRest, 0.2)),
			[]memoryStep{memoryShed, memoryRestore},
		},
	} {
		guard := memoryGuard{spare: c.spare}
		var got []memoryStep
		for _, available := range c.looks {
			if step := guard.look(available); step != memoryNothing {
				got = append(got, step)
			}
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}
