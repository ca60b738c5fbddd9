package pipeline

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"vedette/cmd/vedette/internal/config"
	"vedette/cmd/vedette/internal/identity"
	"vedette/infer"
	"vedette/mqtt"
	"vedette/mqtt/command"
	"vedette/mqtt/payload"
	"vedette/supervisor"
)

// Configuration is where the service's configuration comes from. The pipeline calls one method at a time.
type Configuration interface {
	// Read gives it as it is written now.
	Read() (config.Config, error)
	// Override changes overrides.yaml, where agree has no error for what comes of it, and gives that; undo puts back what was there.
	Override(change func(config.Overrides) error, agree func(config.Config) error) (cfg config.Config, undo func() error, err error)
}

var errNoConfiguration = errors.New("this service runs without a configuration file")

// Files of the state directory.
const (
	commandsFile = "commands"
	floorFile    = "time-floor"
)

// newDesk prepares for commands.
func (p *Pipeline) newDesk() {
	var commands, floor string
	if p.opts.Configuration != nil {
		commands = filepath.Join(p.opts.Config.StateDir, commandsFile)
		floor = filepath.Join(p.opts.Config.StateDir, floorFile)
	}
	var err error
	if p.floor, err = identity.OpenFloor(floor); err != nil {
		p.opts.Logger.Warn("it is not known how late it is at least", "error", err)
	}
	p.desk, err = command.New(command.Options{
		Topics: p.topics, Allowed: p.opts.Config.MQTT.Commands, File: commands,
		Clock: func() command.Clock {
			return command.Clock{Now: time.Now(), Synced: identity.ClockSynced(), Floor: p.floor.Now()}
		},
		Execute: func(ctx context.Context, r command.Request) error {
			longest := p.LongestChange()
			if r.Name == command.Model {
				longest += fetchWithin
			}
			ctx, cancel := context.WithTimeout(ctx, longest)
			defer cancel()
			return p.execute(ctx, r)
		},
		Answer: func(topic string, text []byte) {
			p.mqtt.PublishEvent(topic, func(dst []byte, _ string, _ uint64) []byte { return append(dst, text...) })
		},
		Logger: p.opts.Logger,
	})
	if err != nil {
		p.opts.Logger.Warn("commands of before this start could be replayed", "error", err)
	}
}

// runDesk carries out commands, and keeps the floor of the time.
func (p *Pipeline) runDesk(ctx context.Context) error {
	floor := make(chan struct{})
	go func() {
		defer close(floor)
		p.raiseFloor(ctx)
	}()
	defer func() { <-floor }()
	return p.desk.Run(ctx)
}

// floorEvery is how often the clock is looked at for the floor.
const floorEvery = time.Minute

func (p *Pipeline) raiseFloor(ctx context.Context) {
	ticker := time.NewTicker(floorEvery)
	defer ticker.Stop()
	said := false
	raise := func(last bool) {
		if !identity.ClockSynced() {
			return
		}
		if err := p.floor.Raise(time.Now(), last); err != nil && !said {
			said = true
			p.opts.Logger.Warn("after a restart it is not known how late it is at least", "error", err)
		}
	}
	for {
		raise(false)
		select {
		case <-ctx.Done():
			raise(true)
			return
		case <-ticker.C:
		}
	}
}

// execute carries out one command.
func (p *Pipeline) execute(ctx context.Context, r command.Request) error {
	switch r.Name {
	case command.Snapshot:
		return p.publishSnapshot(ctx, r.Camera)
	case command.RestartWorker:
		return p.restartWorkers(ctx)
	case command.Reload:
		return p.Reload(ctx)
	case command.Model:
		return p.installModel(ctx, r.URL, r.SHA256)
	case command.Enable:
		if p.camera(r.Camera) == nil {
			return p.noCamera(r.Camera)
		}
		return p.override(ctx, func(o config.Overrides) error {
			o.Camera(r.Camera)["disabled"] = !r.Enabled
			return nil
		})
	case command.Threshold:
		if err := mayChange(p.workers.model(), r.Label); err != nil {
			return err
		}
		return p.override(ctx, func(o config.Overrides) error {
			o.Section("infer", "thresholds")[r.Label] = r.Value
			return nil
		})
	}
	return fmt.Errorf("no command is called %q", r.Name) // the desk lets none through
}

// mayChange tells whether a threshold in the configuration has an effect with the model that runs; nil: none does yet.
func mayChange(model *infer.Model, label string) error {
	const rest = "default"
	if model == nil {
		return nil
	}
	if label != rest && !slices.Contains(model.Labels, label) {
		return fmt.Errorf("the model %s knows no label %q", model.Name, label)
	}
	if v, ok := model.Thresholds[rest]; ok && label == rest {
		return fmt.Errorf("the model %s has a default of its own in its manifest, %g, which comes first: change labels one by one",
			model.Name, v)
	}
	return nil
}

// restartWorkers restarts every worker and tells of those that did not come up.
func (p *Pipeline) restartWorkers(ctx context.Context) error {
	p.workers.restartInTurn(ctx, "command")
	var late []string
	for i, s := range p.workers.supervisors {
		if state := s.Status().State; state != supervisor.Ready && state != supervisor.Stopped {
			late = append(late, fmt.Sprintf("%s is %s", p.workers.name(i), state))
		}
	}
	if len(late) > 0 {
		return errors.New(strings.Join(late, ", "))
	}
	return nil
}

// camera finds a camera by its name; nil where there is none.
func (p *Pipeline) camera(name string) *camera {
	for _, cam := range p.list() {
		if cam.config.Name == name {
			return cam
		}
	}
	return nil
}

func (p *Pipeline) noCamera(name string) error {
	var names []string
	for _, cam := range p.list() {
		names = append(names, cam.config.Name)
	}
	return fmt.Errorf("there is no camera %q: it is one of %s", name, strings.Join(names, ", "))
}

// subscriptionsPart may be degraded.
const subscriptionsPart = "subscriptions"

func subscriptionsDegradation(denied []string) (payload.Degradation, bool) {
	if len(denied) == 0 {
		return payload.Degradation{}, false
	}
	return payload.Degradation{
		What: subscriptionsPart, Why: "the broker does not grant " + strings.Join(denied, ", ") + ": what comes there is not heard",
		Remedy: "let this client subscribe to them in the broker's ACL",
	}, true
}

// clientIDPart may be degraded.
const clientIDPart = "mqtt client id"

func clientIDDegradation(s mqtt.Status) (payload.Degradation, bool) {
	if s.Disputed == 0 {
		return payload.Degradation{}, false
	}
	return payload.Degradation{
		What: clientIDPart, Why: fmt.Sprintf("the broker has hung up %d times in a row, each time soon after it had let this client in: "+
			"another client uses the client id %s, or something between cuts connections", s.Disputed, s.ClientID),
		Remedy: "give each device a name of its own (device in the configuration; without it, the machine id, which a copied disk shares); " +
			"mosquitto's log says \"already connected, closing old connection\"",
	}, true
}
