package pipeline

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"vedette/cmd/vedette/internal/metrics"
	"vedette/mqtt/payload"
)

// The parts of the service that may be degraded, as the state document names them.
const (
	webPart      = "web"
	masksPart    = "masks"
	providerPart = "execution provider"
	// ControlPart is Options.Degraded's to name.
	ControlPart = "control socket"
)

func cameraPart(name string) string { return "camera " + name }
func workerPart(name string) string { return "worker " + name }

func (p *Pipeline) runWeb(ctx context.Context) error {
	if p.web == nil {
		return nil
	}
	return p.web.Run(ctx)
}

// WebAddress is where the web page is served; empty where it is not.
func (p *Pipeline) WebAddress() string {
	if p.web == nil {
		return ""
	}
	return p.web.Status().Address
}

// Viewers is how many watch the live view.
func (p *Pipeline) Viewers() int { return p.hub.Stats().Viewers }

func (p *Pipeline) runHub(ctx context.Context) error {
	p.hub.Run(ctx)
	return nil
}

func (p *Pipeline) webDegradation() (payload.Degradation, bool) {
	if p.web == nil {
		return payload.Degradation{}, false
	}
	switch status := p.web.Status(); {
	case status.LastError != "":
		return payload.Degradation{
			What: webPart, Why: status.LastError,
			Remedy: "end the program that has the port, or give web.listen another; it is tried again by itself",
		}, true
	case status.Certificate != "":
		return payload.Degradation{
			What: webPart, Why: "the renewed certificate is not used: " + status.Certificate,
			Remedy: "put a certificate and its key into the files of web.tls; who connects a minute later has it",
		}, true
	}
	return payload.Degradation{}, false
}

// snapshot is what a scrape shows.
func (p *Pipeline) snapshot() metrics.Snapshot {
	s := metrics.Snapshot{
		State:    p.State(),
		Frames:   map[string]uint64{},
		Resident: map[string]int64{},
		Client:   p.client.Stats(),
		MQTT:     p.mqtt.Status(),
		Live:     p.hub.Stats(),
		Best:     p.best.Stats(),
		Withheld: p.withheld.counts(),
		Commands: p.desk.Counts(),
		May:      []string{webPart, masksPart, providerPart, ControlPart, LimitsPart, memoryPart, outboxPart, subscriptionsPart, clientIDPart},
	}
	if p.lives != nil {
		s.Open = p.lives.Stats()
	}
	for _, cam := range p.list() {
		s.Frames[cam.config.Name] = cam.loop.Status().Frames
		s.May = append(s.May, cameraPart(cam.config.Name))
	}
	for _, w := range s.State.Workers {
		s.Resident[w.Name] = residentBytes(w.PID)
		s.May = append(s.May, workerPart(w.Name))
	}
	return s
}

// readiness says in plain words why the service does not do its work, and what to do: what `vedette health` says, and the
// remedies that the state has. What is degraded beside the work, such as a kernel without Landlock, is no reason.
func readiness(h payload.Health, degraded []payload.Degradation) error {
	if h.Health == payload.HealthGood {
		return nil
	}
	lines := slices.Clone(h.Reasons)
	for _, d := range degraded {
		lines = append(lines, fmt.Sprintf("%s: %s", d.What, d.Remedy))
	}
	return errors.New(strings.Join(lines, "\n"))
}
