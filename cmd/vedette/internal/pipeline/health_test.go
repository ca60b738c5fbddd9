package pipeline

import (
	"strings"
	"testing"

	"vedette/mqtt/payload"
)

func TestHealthNamesWhatIsNotWell(t *testing.T) {
	worker := func(state string, fault *payload.Fault) []payload.Worker {
		return []payload.Worker{{Name: "infer-worker", State: state, LastFault: fault}}
	}
	cameras := func(state, why string) map[string]payload.Camera {
		return map[string]payload.Camera{"yard": {State: state, LastError: why}}
	}
	for _, c := range []struct {
		name      string
		state     payload.State
		connected bool
		want      string
		reason    string
	}{
		{"well", payload.State{Workers: worker("ready", nil), Cameras: cameras("streaming", "")}, true, "good", ""},
		{
			"no broker yet",
			payload.State{Workers: worker("ready", nil), Cameras: cameras("streaming", "")},
			false,
			"pending", "no broker is connected",
		},
		{
			"engine is built",
			payload.State{Workers: worker("building", nil), Cameras: cameras("streaming", "")},
			true,
			"pending", "worker infer-worker is building",
		},
		{
			"worker given up",
			payload.State{
				Workers: worker("degraded", &payload.Fault{Kind: "load", Message: "not ONNX"}),
				Cameras: cameras("opening", ""),
			},
			false, "bad",
			"worker infer-worker is degraded: load: not ONNX; camera yard is opening; no broker is connected",
		},
		{
			"spare is started anew",
			payload.State{
				Workers: append(worker("ready", nil), payload.Worker{Name: "infer-worker-2", State: "starting", Role: "standby"}),
				Cameras: cameras("streaming", ""),
			},
			true, "good", "",
		},
		{
			"camera gone",
			payload.State{Workers: worker("ready", nil), Cameras: cameras("lost", "no such device")},
			true,
			"bad", "camera yard is lost: no such device",
		},
	} {
		got := health(c.state, c.connected)
		if got.Health != c.want || strings.Join(got.Reasons, "; ") != c.reason {
			t.Errorf("%s: %s because %q, want %s because %q", c.name, got.Health, got.Reasons, c.want, c.reason)
		}
	}
}
