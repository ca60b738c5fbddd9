package pipeline

import (
	"fmt"
	"maps"
	"slices"

	"vedette/capture"
	"vedette/infer/client"
	"vedette/mqtt/payload"
	"vedette/supervisor"
)

// Health says whether the service does its work.
func (p *Pipeline) Health() payload.Health {
	return health(p.State(), p.mqtt.Status().Connected)
}

// health judges by what an integrator would look at: a worker that runs the model, every camera's frames, a broker that
// takes messages. connected is whether one does. A worker that is on standby, or on its way there, is not missed.
func health(state payload.State, connected bool) payload.Health {
	h := payload.Health{V: payload.Version, Health: payload.HealthGood, Reasons: []string{}}
	bad := func(format string, args ...any) {
		h.Health, h.Reasons = payload.HealthBad, append(h.Reasons, fmt.Sprintf(format, args...))
	}
	pending := func(format string, args ...any) {
		if h.Health == payload.HealthGood {
			h.Health = payload.HealthPending
		}
		h.Reasons = append(h.Reasons, fmt.Sprintf(format, args...))
	}
	for _, w := range state.Workers {
		if w.Role == string(client.RoleStandby) {
			continue
		}
		switch supervisor.State(w.State) {
		case supervisor.Ready:
		case supervisor.Starting, supervisor.Building:
			pending("worker %s is %s", w.Name, w.State)
			h.Building = h.Building || supervisor.State(w.State) == supervisor.Building
		default:
			why := ""
			if w.LastFault != nil {
				why = ": " + w.LastFault.Kind + ": " + w.LastFault.Message
			}
			bad("worker %s is %s%s", w.Name, w.State, why)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(state.Cameras)) {
		c := state.Cameras[name]
		if c.Disabled { // as it is meant to be
			continue
		}
		switch capture.State(c.State) {
		case capture.Streaming:
		case capture.Opening:
			pending("camera %s is opening", name)
		default:
			why := ""
			if c.LastError != "" {
				why = ": " + c.LastError
			}
			bad("camera %s is %s%s", name, c.State, why)
		}
	}
	if !connected {
		pending("no broker is connected")
	}
	return h
}
