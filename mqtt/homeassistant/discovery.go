// Package homeassistant describes a device to Home Assistant.
//
// It makes device-based discovery messages: one retained message with every entity of the device, in abbreviated keys.
// (home-assistant.io, integrations/mqtt, "MQTT discovery".)
package homeassistant

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"vedette/mqtt/payload"
)

// Device is what there is to be discovered.
type Device struct {
	Name        string // [a-z0-9_-]{1,32}
	Version     string
	Topics      payload.Topics
	Cameras     []Camera
	Commands    []string // that are obeyed, as mqtt.commands lists them
	Temperature bool     // whether the board has a thermometer
}

// Camera is one camera of it.
type Camera struct {
	Name     string
	Counts   []Place
	Pictures []Place // best views
}

// Place is a label on a camera, or in one of its zones.
type Place struct {
	Zone  string // empty: the whole picture
	Part  string // the label as topics have it
	Label string // the label as a person reads it
}

// Topic is where a device's message goes.
func Topic(prefix, device string) string { return prefix + "/device/" + id(device) + "/config" }

// Status is where Home Assistant says that it has come up ("online"): then everything is announced anew.
func Status(prefix string) string { return prefix + "/status" }

// id makes a name from [a-zA-Z0-9_-] that no other software's device is likely to have.
func id(device string, parts ...string) string {
	return "vedette_" + key(append([]string{device}, parts...)...)
}

// key joins names of [a-z0-9_-]. A _ of theirs becomes U, or two lists of names could make one key.
func key(parts ...string) string {
	joined := ""
	for i, part := range parts {
		if i > 0 {
			joined += "_"
		}
		joined += strings.ReplaceAll(part, "_", "U")
	}
	return joined
}

// config is a component's, by key.
type config map[string]any

// message is the discovery message.
type message struct {
	Device struct {
		IDs          []string `json:"ids"`
		Name         string   `json:"name"`
		Manufacturer string   `json:"mf"`
		Model        string   `json:"mdl"`
		Version      string   `json:"sw"`
	} `json:"dev"`
	Origin struct {
		Name    string `json:"name"`
		Version string `json:"sw"`
	} `json:"o"`
	Availability string            `json:"avty_t"`
	Available    string            `json:"pl_avail"`
	NotAvailable string            `json:"pl_not_avail"`
	Components   map[string]config `json:"cmps"`
}

// Discovery gives the device's message, and its components with their platforms. removed are components that an earlier message
// had: each that is not there any more is listed with its platform alone, which makes Home Assistant remove it.
func Discovery(d Device, removed map[string]string) (text []byte, components map[string]string, err error) {
	var m message
	m.Device.IDs, m.Device.Name = []string{id(d.Name)}, "Vedette "+d.Name
	m.Device.Manufacturer, m.Device.Model, m.Device.Version = "Vedette", "Vedette", d.Version
	m.Origin.Name, m.Origin.Version = "Vedette", d.Version
	m.Availability, m.Available, m.NotAvailable = d.Topics.Status(), payload.Online, payload.Offline
	m.Components = map[string]config{}
	b := builder{d, m.Components}
	b.health()
	for _, camera := range d.Cameras {
		b.camera(camera)
	}
	components = map[string]string{}
	for name, c := range m.Components {
		components[name], _ = c["p"].(string)
	}
	for name, platform := range removed {
		if _, there := m.Components[name]; !there {
			m.Components[name] = config{"p": platform}
		}
	}
	if text, err = json.Marshal(m); err != nil {
		return nil, nil, fmt.Errorf("cannot describe the device to Home Assistant: %w", err)
	}
	return text, components, nil
}

// Update is the message of payload.Topics.Update: the installed version. Which one is the latest is not this device's to know:
// the same is named, so that the entity is not unknown.
func Update(version string) ([]byte, error) {
	return json.Marshal(map[string]string{"installed_version": version, "latest_version": version, "title": "Vedette"})
}

// builder collects components.
type builder struct {
	device Device
	into   map[string]config
}

// add completes a component by what all have.
func (b builder) add(platform, name string, c config, parts ...string) {
	c["p"], c["unique_id"], c["name"] = platform, id(b.device.Name, parts...), name
	b.into[key(parts...)] = c
}

func (b builder) allows(command string) bool { return slices.Contains(b.device.Commands, command) }

// health is the entities of the device as a whole.
func (b builder) health() {
	state := b.device.Topics.State()
	b.add("binary_sensor", "Worker", config{
		"stat_t": state, "dev_cla": "problem", "ent_cat": "diagnostic",
		"val_tpl": "{{ 'OFF' if value_json.worker.state == 'ready' else 'ON' }}",
	}, "worker")
	b.add("sensor", "Worker state", config{
		"stat_t": state, "ent_cat": "diagnostic", "val_tpl": "{{ value_json.worker.state }}",
	}, "worker", "state")
	b.add("binary_sensor", "Degraded", config{
		"stat_t": state, "dev_cla": "problem", "ent_cat": "diagnostic",
		"val_tpl":       "{{ 'ON' if value_json.degraded | length > 0 else 'OFF' }}",
		"json_attr_t":   state,
		"json_attr_tpl": "{{ {'degraded': value_json.degraded} | tojson }}",
	}, "degraded")
	b.add("sensor", "Waiting events", config{
		"stat_t": state, "stat_cla": "measurement", "ent_cat": "diagnostic", "val_tpl": "{{ value_json.outbox.depth }}",
	}, "outbox")
	if b.device.Temperature {
		b.add("sensor", "Temperature", config{
			"stat_t": state, "dev_cla": "temperature", "unit_of_meas": "°C", "stat_cla": "measurement", "ent_cat": "diagnostic",
			"val_tpl": "{{ value_json.resources.temperature_c | default(none) }}",
		}, "temperature")
	}
	b.add("update", "Software", config{"stat_t": b.device.Topics.Update(), "ent_cat": "diagnostic"}, "software")
	if b.allows("restart-worker") {
		b.add("button", "Restart worker", config{
			"cmd_t": b.device.Topics.Command("restart-worker"), "cmd_tpl": command("{}"), "qos": 1, "dev_cla": "restart", "ent_cat": "config",
		}, "restart", "worker")
	}
}

// command is the template of a command, with an id of its own each time.
func command(args string) string {
	// The space before the last brace keeps Jinja's braces and JSON's apart.
	return `{"id":"ha-{{ '%.6f' | format(now().timestamp()) }}","args":` + args + ` }`
}

// camera is the entities of one camera. Keys begin with c, l or z, so that none is another's.
func (b builder) camera(c Camera) {
	state, of := b.device.Topics.State(), "(value_json.cameras['"+c.Name+"'] | default({}))"
	b.add("binary_sensor", c.Name+" connected", config{
		"stat_t": state, "dev_cla": "connectivity", "ent_cat": "diagnostic",
		"val_tpl": "{{ 'ON' if " + of + ".state | default('') == 'streaming' else 'OFF' }}",
	}, "c", c.Name, "connected")
	b.add("sensor", c.Name+" frames a second", config{
		"stat_t": state, "stat_cla": "measurement", "ent_cat": "diagnostic", "unit_of_meas": "fps",
		"val_tpl": "{{ " + of + ".fps | default(0) | round(1) }}",
	}, "c", c.Name, "fps")
	if b.allows("snapshot") {
		b.add("image", c.Name+" snapshot", config{"img_t": b.device.Topics.Snapshot(c.Name), "cont_type": "image/jpeg"}, "c", c.Name, "snapshot")
		b.add("button", c.Name+" take a snapshot", config{
			"cmd_t": b.device.Topics.Command("snapshot"), "cmd_tpl": command(`{"camera":"` + c.Name + `"}`), "qos": 1,
		}, "c", c.Name, "take", "snapshot")
	}
	if b.allows("enable") {
		b.add("switch", c.Name+" enabled", config{
			"stat_t": state, "val_tpl": "{{ 'false' if " + of + ".state | default('') == 'disabled' else 'true' }}",
			"cmd_t": b.device.Topics.EnableCommand(c.Name), "cmd_tpl": command(`{"enabled":{{ value }} }`), "qos": 1,
			"pl_on": "true", "pl_off": "false", "ent_cat": "config",
		}, "c", c.Name, "enabled")
	}
	for _, p := range c.Counts {
		b.count(c, p)
	}
	for _, p := range c.Pictures {
		b.add("image", c.Name+" "+p.Label, config{"img_t": b.device.Topics.Best(c.Name, p.Part), "cont_type": "image/jpeg"},
			"l", c.Name, p.Part, "best")
	}
}

func (b builder) count(c Camera, p Place) {
	topic, where, at := b.device.Topics.Count(c.Name, p.Part), c.Name+" "+p.Label, []string{"l", c.Name, p.Part}
	if p.Zone != "" {
		topic, where = b.device.Topics.ZoneCount(c.Name, p.Zone, p.Part), c.Name+" "+p.Zone+" "+p.Label
		at = []string{"z", c.Name, p.Zone, p.Part}
	}
	b.add("sensor", where+" count", config{"stat_t": topic, "stat_cla": "measurement"}, append(slices.Clone(at), "count")...)
	b.add("binary_sensor", where, config{
		"stat_t": topic, "dev_cla": "occupancy", "val_tpl": "{{ 'ON' if value | int(0) > 0 else 'OFF' }}",
	}, append(slices.Clone(at), "occupancy")...)
}
