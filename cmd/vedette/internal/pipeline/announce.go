package pipeline

import (
	"context"
	"encoding/json"
	"math/rand/v2"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"vedette/cmd/vedette/internal/config"
	"vedette/cmd/vedette/internal/retained"
	"vedette/infer"
	"vedette/mqtt"
	"vedette/mqtt/frigate"
	"vedette/mqtt/homeassistant"
	"vedette/mqtt/payload"
	"vedette/track"
)

// announcer keeps what lies at the broker true: counts, what Home Assistant discovers, and no topic of what there is no more.
type announcer struct {
	p      *Pipeline
	ledger *retained.Ledger
	kicked chan struct{} // there may be something else to discover. One is enough: it is made anew

	model atomic.Pointer[string] // whose labels are known, by its hash

	mu     sync.Mutex // guards counts; taken after tracking's
	counts map[place]int
}

// place is where objects of a label are counted.
type place struct {
	camera, zone, label string
	class               int
}

// part is the label in topics.
func (p place) part() string { return payload.LabelPart(p.label, p.class) }

// ledgerFile is in the state directory.
const ledgerFile = "retained.json"

func (p *Pipeline) newAnnouncer() *announcer {
	path := ""
	if p.opts.Configuration != nil {
		path = filepath.Join(p.opts.Config.StateDir, ledgerFile)
	}
	ledger, err := retained.Open(path)
	if err != nil {
		p.opts.Logger.Warn("topics of earlier runs may stay at the broker", "error", err)
	}
	return &announcer{p: p, ledger: ledger, kicked: make(chan struct{}, 1), counts: map[place]int{}}
}

func (a *announcer) kick() {
	select {
	case a.kicked <- struct{}{}:
	default:
	}
}

// modelLoaded has topics of labels removed that a new model does not have.
func (a *announcer) modelLoaded(model *infer.Model) {
	if before := a.model.Swap(&model.SHA256); before == nil || *before != model.SHA256 {
		a.kick()
	}
}

// count publishes counts that have changed.
func (a *announcer) count(camera string, changed []track.Count) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, c := range changed {
		here := place{camera, c.Zone, c.Label, c.Class}
		a.counts[here] = c.N
		part := here.part()
		a.set(a.topic(camera, c.Zone, part), a.sum(func(p place) bool {
			return p.camera == camera && p.zone == c.Zone && p.part() == part
		}), retained.Entry{Camera: camera, Zone: c.Zone, Label: c.Label, Part: part})
		a.countFrigate(camera, c, part)
	}
}

func (a *announcer) topic(camera, zone, part string) string {
	if zone == "" {
		return a.p.topics.Count(camera, part)
	}
	return a.p.topics.ZoneCount(camera, zone, part)
}

// sum counts objects. Labels that are the same as parts of topics share one, and zones of one name share Frigate's.
func (a *announcer) sum(of func(place) bool) (n int) {
	for p, count := range a.counts {
		if of(p) {
			n += count
		}
	}
	return n
}

func (a *announcer) set(topic string, n int, e retained.Entry) {
	e.Topic, e.Kind = topic, retained.Count
	if a.ledger.Note(e) {
		a.kick()
	}
	a.p.mqtt.SetRetained(topic, strconv.AppendInt(nil, int64(max(n, 0)), 10))
}

// countFrigate publishes a count in Frigate's dialect: of a camera or a zone, and of all labels together.
func (a *announcer) countFrigate(camera string, c track.Count, part string) {
	if !a.p.opts.Config.MQTT.Speaks(mqtt.Frigate) {
		return
	}
	name, here := camera, func(p place) bool { return p.camera == camera && p.zone == "" }
	if c.Zone != "" {
		name, here = c.Zone, func(p place) bool { return p.zone == c.Zone }
	}
	e := retained.Entry{Camera: camera, Zone: c.Zone, Part: frigate.All}
	a.set(a.p.frigate.Count(name, frigate.All), a.sum(here), e)
	e.Label, e.Part = c.Label, part
	a.set(a.p.frigate.Count(name, part), a.sum(func(p place) bool { return here(p) && p.part() == part }), e)
}

// run sets right what earlier runs left, and announces the device whenever there is something new.
func (a *announcer) run(ctx context.Context) error {
	saved := make(chan struct{})
	go func() {
		defer close(saved)
		a.ledger.Run(ctx, a.p.opts.Logger)
	}()
	defer func() { <-saved }()
	if a.p.opts.Config.MQTT.HomeAssistant.Enabled {
		if text, err := homeassistant.Update(a.p.opts.Version); err == nil {
			a.p.mqtt.SetRetained(a.p.topics.Update(), text)
		}
	}
	a.prune()
	a.zero()
	a.discover()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-a.kicked:
			a.prune()
			a.discover()
		}
	}
}

// zero says of every count that an earlier run left that it is 0, but for those that this one has set.
func (a *announcer) zero() {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, e := range a.ledger.Entries(retained.Count) {
		if a.sum(func(p place) bool { return p.camera == e.Camera }) == 0 {
			a.p.mqtt.SetRetained(e.Topic, []byte("0"))
		}
	}
}

// prune removes the topics of cameras, zones and prefixes that the configuration no longer has, and of labels that no model has.
func (a *announcer) prune() {
	cfg := a.p.config()
	a.p.prunePictures()
	for _, e := range a.ledger.Entries(retained.Count) {
		if !a.wanted(e, cfg) {
			a.p.mqtt.SetRetained(e.Topic, nil)
			a.ledger.Forget(e.Topic)
		}
	}
}

func (a *announcer) wanted(e retained.Entry, cfg config.Config) bool {
	there := false
	for _, camera := range cfg.Cameras {
		_, zone := camera.Zones[e.Zone]
		there = there || camera.Name == e.Camera && (zone || e.Zone == "")
	}
	name := e.Camera
	if e.Zone != "" {
		name = e.Zone
	}
	ours := e.Topic == a.topic(e.Camera, e.Zone, e.Part)
	theirs := cfg.MQTT.Speaks(mqtt.Frigate) && e.Topic == a.p.frigate.Count(name, e.Part)
	return there && (ours || theirs) && a.p.knowsLabel(e.Label)
}

// discover publishes what Home Assistant finds of this device, and takes back what it has found elsewhere before.
func (a *announcer) discover() {
	cfg := a.p.config()
	ha := cfg.MQTT.HomeAssistant
	topic := homeassistant.Topic(ha.Prefix, a.p.device)
	removed := map[string]string{}
	for _, e := range a.ledger.Entries(retained.Discovery) {
		if e.Topic == topic && ha.Enabled {
			removed = e.Components
			continue
		}
		a.p.mqtt.SetRetained(e.Topic, nil)
		a.ledger.Forget(e.Topic)
	}
	if !ha.Enabled {
		return
	}
	device := homeassistant.Device{
		Name: a.p.device, Version: a.p.opts.Version, Topics: a.p.topics, Commands: cfg.MQTT.Commands, Temperature: temperature("/sys") != nil,
	}
	for _, camera := range cfg.Cameras {
		c := homeassistant.Camera{Name: camera.Name}
		for _, e := range a.ledger.Entries(retained.Count) {
			if e.Camera == camera.Name && e.Topic == a.topic(e.Camera, e.Zone, e.Part) {
				c.Counts = append(c.Counts, homeassistant.Place{Zone: e.Zone, Part: e.Part, Label: e.Label})
			}
		}
		for _, e := range a.ledger.Entries(retained.Picture) {
			if e.Topic == a.p.topics.Best(camera.Name, e.Part) {
				c.Pictures = append(c.Pictures, homeassistant.Place{Part: e.Part, Label: e.Label})
			}
		}
		device.Cameras = append(device.Cameras, c)
	}
	text, components, err := homeassistant.Discovery(device, removed)
	if err != nil {
		a.p.opts.Logger.Error("Home Assistant is not told of this device", "error", err)
		return
	}
	// What is removed stays in the list: Home Assistant may be away when it is said for the first time.
	for name, platform := range removed {
		if _, there := components[name]; !there {
			components[name] = platform
		}
	}
	a.ledger.Note(retained.Entry{Topic: topic, Kind: retained.Discovery, Components: components})
	a.p.mqtt.SetRetained(topic, text)
}

// welcomeWithin spreads the answers of many devices to one Home Assistant that comes up.
const welcomeWithin = 5 * time.Second

// homeAssistant hears Home Assistant come up, and announces everything anew.
func (a *announcer) homeAssistant() []mqtt.Subscription {
	ha := a.p.opts.Config.MQTT.HomeAssistant
	if !ha.Enabled {
		return nil
	}
	return []mqtt.Subscription{{Filter: homeassistant.Status(ha.Prefix), Handle: func(m mqtt.Received) {
		if string(m.Payload) == payload.Online && !m.Retained {
			time.AfterFunc(rand.N(welcomeWithin), a.kick)
		}
	}}}
}

// publishFrigate publishes an event in Frigate's dialect.
func (p *Pipeline) publishFrigate(camera string, e track.Event, frame frameTime) {
	if !p.opts.Config.MQTT.Speaks(mqtt.Frigate) {
		return
	}
	m := frigate.Event{Type: string(e.Type), Before: frigateObject(camera, e.Before, frame, false), After: frigateObject(camera, e.After, frame, e.Type == track.TypeEnd)}
	p.mqtt.PublishEvent(p.frigate.Events(), func(dst []byte, _ string, _ uint64) []byte { return m.AppendJSON(dst) })
}

func frigateObject(camera string, o *track.Object, frame frameTime, ended bool) *frigate.Object {
	if o == nil {
		return nil
	}
	f := &frigate.Object{
		ID: o.ID, Camera: camera, FrameTime: frigate.Seconds(frame.at(o.Last)), Label: o.Label, TopScore: frigate.Score(o.TopScore),
		StartTime: frigate.Seconds(frame.at(o.First)), Score: frigate.Score(o.Score), Active: !o.Stationary, Stationary: o.Stationary,
		CurrentZones: append([]string{}, o.Zones...), EnteredZones: append([]string{}, o.Entered...),
	}
	f.Place([4]float32{o.Box.X1, o.Box.Y1, o.Box.X2, o.Box.Y2}, frame.width, frame.height)
	if o.Stationary {
		f.MotionlessCount = 1
	}
	if ended {
		end := frigate.Seconds(frame.at(o.Last))
		f.EndTime = &end
	}
	return f
}

// publishFrigateStats publishes the state in Frigate's dialect.
func (p *Pipeline) publishFrigateStats(state payload.State) {
	if !p.opts.Config.MQTT.Speaks(mqtt.Frigate) {
		return
	}
	stats := frigate.Stats{
		Cameras: map[string]frigate.CameraStats{}, Detectors: map[string]frigate.DetectorStats{},
		Service: frigate.ServiceStats{Uptime: int(state.Uptime), Version: state.Version},
	}
	for name, c := range state.Cameras {
		stats.Cameras[name] = frigate.CameraStats{FPS: c.FPS, DetectionEnabled: c.State != "disabled"}
	}
	for _, w := range state.Workers {
		stats.Detectors[w.Name] = frigate.DetectorStats{PID: w.PID}
	}
	if text, err := json.Marshal(stats); err == nil {
		p.mqtt.PublishDetections(p.frigate.Stats(), text)
	}
}

// speakFrigate says online or offline in Frigate's dialect. A connection has one last will, which is Vedette's own: after a crash
// frigate/available stays as it was.
func (p *Pipeline) speakFrigate(word string) {
	if p.opts.Config.MQTT.Speaks(mqtt.Frigate) {
		p.mqtt.SetRetained(p.frigate.Available(), []byte(word))
	}
}
