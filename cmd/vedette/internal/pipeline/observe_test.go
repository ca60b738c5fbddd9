package pipeline

import (
	"testing"

	"vedette/mqtt/payload"
)

func TestReadinessIsHealthWithItsRemedies(t *testing.T) {
	masks := payload.Degradation{What: "masks", Why: "advisory", Remedy: "use a kernel with Landlock"}
	yard := payload.Degradation{What: "camera yard", Why: "no such device", Remedy: "check its cable"}
	for _, c := range []struct {
		name     string
		health   payload.Health
		degraded []payload.Degradation
		says     string // empty: ready
	}{
		{"all well", payload.Health{Health: payload.HealthGood}, nil, ""},
		{"degraded beside the work", payload.Health{Health: payload.HealthGood}, []payload.Degradation{masks}, ""},
		{
			"at the start",
			payload.Health{Health: payload.HealthPending, Reasons: []string{"worker w is starting", "no broker is connected"}},
			nil,
			"worker w is starting\nno broker is connected",
		},
		{
			"camera gone",
			payload.Health{Health: payload.HealthBad, Reasons: []string{"camera yard is lost: no such device"}},
			[]payload.Degradation{yard},
			"camera yard is lost: no such device\ncamera yard: check its cable",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := ""
			if err := readiness(c.health, c.degraded); err != nil {
				got = err.Error()
			}
			if got != c.says {
				t.Errorf("%q, want %q", got, c.says)
			}
		})
	}
}
