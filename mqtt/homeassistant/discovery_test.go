package homeassistant

import (
	"encoding/json"
	"maps"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"vedette/mqtt/payload"
	"vedette/mqtt/payload/schematest"
)

func device(t *testing.T) Device {
	t.Helper()
	topics, err := payload.NewTopics("vedette/{device}", "porch-7")
	if err != nil {
		t.Fatal(err)
	}
	person, gate := Place{Part: "person", Label: "person"}, Place{Zone: "gate", Part: "traffic_light", Label: "Traffic light"}
	return Device{
		Name: "porch-7", Version: "1.2.3", Topics: topics, Temperature: true,
		Commands: []string{"snapshot", "restart-worker", "enable"},
		Cameras: []Camera{
			{Name: "yard", Counts: []Place{person, gate}, Pictures: []Place{person}},
			{Name: "back_yard", Counts: []Place{person}},
		},
	}
}

// valid checks a message by the documentation's rules, and by this project's own schema.
func valid(t *testing.T, topic string, text []byte) map[string]map[string]any {
	t.Helper()
	for _, problem := range validate(topic, text) {
		t.Error(problem)
	}
	in, err := schematest.Load()
	if err != nil {
		t.Fatal(err)
	}
	if err := in.Check(topic, text); err != nil {
		t.Error(err)
	}
	var m struct {
		Components map[string]map[string]any `json:"cmps"`
	}
	if err := json.Unmarshal(text, &m); err != nil {
		t.Fatal(err)
	}
	return m.Components
}

func discovered(t *testing.T, d Device, removed map[string]string) (map[string]map[string]any, map[string]string) {
	t.Helper()
	text, components, err := Discovery(d, removed)
	if err != nil {
		t.Fatal(err)
	}
	return valid(t, Topic("homeassistant", d.Name), text), components
}

func TestEveryKindOfEntityIsAsHomeAssistantWantsIt(t *testing.T) {
	got, platforms := discovered(t, device(t), nil)
	kinds := map[string]int{}
	for name, c := range got {
		kinds[c["p"].(string)]++
		if platforms[name] != c["p"] {
			t.Errorf("%s is a %v, and told of as %q", name, c["p"], platforms[name])
		}
	}
	want := map[string]int{"binary_sensor": 7, "sensor": 8, "image": 3, "button": 3, "switch": 2, "update": 1}
	if diff := cmp.Diff(want, kinds); diff != "" {
		t.Error(diff)
	}
	if c := got["z_yard_gate_trafficUlight_occupancy"]; c["stat_t"] != "vedette/porch-7/yard/gate/traffic_light" ||
		c["unique_id"] != "vedette_porch-7_z_yard_gate_trafficUlight_occupancy" || c["dev_cla"] != "occupancy" {
		t.Errorf("%v", c)
	}
}

func TestNamesThatLookAlikeMakeTwoEntities(t *testing.T) {
	d := device(t)
	here := []Place{{Zone: "b_c", Part: "d"}, {Zone: "c", Part: "d"}, {Zone: "b", Part: "c_d"}}
	d.Cameras = []Camera{{Name: "a", Counts: here}, {Name: "a_b", Counts: here}}
	got, _ := discovered(t, d, nil) // the validator sees ids that are there twice
	n := 0
	for name := range got {
		if strings.HasPrefix(name, "z_") {
			n++
		}
	}
	if n != 2*len(here)*2 {
		t.Errorf("%d entities for %d zones with a count and an occupancy each", n, 2*len(here))
	}
}

func TestOnlyCommandsThatAreObeyedAreOffered(t *testing.T) {
	d := device(t)
	d.Commands = nil
	got, _ := discovered(t, d, nil)
	for name, c := range got {
		if c["cmd_t"] != nil || c["p"] == "button" || c["p"] == "switch" {
			t.Errorf("%s: %v", name, c)
		}
	}
}

func TestWhatIsGoneIsRemoved(t *testing.T) {
	d := device(t)
	_, before := discovered(t, d, nil)
	d.Cameras = d.Cameras[1:]
	got, after := discovered(t, d, before)
	for name, platform := range before {
		_, stays := after[name]
		if c := got[name]; stays == (len(c) == 1) || c["p"] != platform {
			t.Errorf("%s: %v", name, c)
		}
	}
	if len(after) >= len(before) || len(got) != len(before) {
		t.Errorf("%d components, then %d, of which %d are there", len(before), len(got), len(after))
	}
}

func TestUpdateHasNoKeyThatWouldCostTheMessage(t *testing.T) {
	text, err := Update("1.2.3")
	if err != nil {
		t.Fatal(err)
	}
	in, err := schematest.Load()
	if err != nil {
		t.Fatal(err)
	}
	if err := in.Check(device(t).Topics.Update(), text); err != nil {
		t.Error(err)
	}
}

// A validator that lets everything through would make the tests above worthless.
func TestTheValidatorRefuses(t *testing.T) {
	text, _, err := Discovery(device(t), nil)
	if err != nil {
		t.Fatal(err)
	}
	topic := Topic("homeassistant", "porch-7")
	for _, c := range []struct{ name, topic, old, replacement string }{
		{"a topic of the old kind", "homeassistant/sensor/porch/config", "", ""},
		{"an id with a slash", "homeassistant/device/a/b/config", "", ""},
		{"no identifiers", topic, `"ids":["vedette_porch-7"]`, `"ids":[]`},
		{"no origin", topic, `"o":{"name":"Vedette"`, `"o":{"name":""`},
		{"a key that is not known", topic, `"avty_t"`, `"availability_topics"`},
		{"no components", topic, `"cmps"`, `"components_"`},
		{"no platform", topic, `"p":"update"`, `"p":"upgrade"`},
		{"no unique id", topic, `"unique_id":"vedette_porch-7_worker"`, `"uid":"x"`},
		{"two of one id", topic, `"unique_id":"vedette_porch-7_worker"`, `"unique_id":"vedette_porch-7_degraded"`},
		{"a dot in an id", topic, `"unique_id":"vedette_porch-7_worker"`, `"unique_id":"vedette.worker"`},
		{"a device class of another", topic, `"dev_cla":"occupancy"`, `"dev_cla":"temperature"`},
		{"a category that is none", topic, `"ent_cat":"diagnostic"`, `"ent_cat":"system"`},
		{"a sensor to configure", topic, `"ent_cat":"diagnostic","name":"Worker"`, `"ent_cat":"config","name":"Worker"`},
		{"a temperature without its unit", topic, `"unit_of_meas":"°C"`, `"unit_of_meas":"C"`},
		{"an image of nothing", topic, `"img_t"`, `"im_t"`},
		{"half a template", topic, `else 'ON' }}`, `else 'ON' `},
		{"a wildcard to write to", topic, `"cmd_t":"vedette/porch-7/command/restart-worker"`, `"cmd_t":"vedette/+"`},
		{"QoS 3", topic, `"qos":1`, `"qos":3`},
		{"no JSON", topic, `{"dev"`, `"dev"`},
	} {
		changed := []byte(strings.Replace(string(text), c.old, c.replacement, 1))
		if c.old != "" && string(changed) == string(text) {
			t.Errorf("%s: there is no %s in %s", c.name, c.old, text)
		}
		if len(validate(c.topic, changed)) == 0 {
			t.Errorf("%s is let through", c.name)
		}
	}
	if problems := validate(topic, nil); len(problems) > 0 {
		t.Errorf("an empty message, which removes the device: %v", problems)
	}
}

// render is how Home Assistant reads templates: with Jinja. now() is one of its own.
const render = `
import datetime, json, sys
from jinja2.sandbox import ImmutableSandboxedEnvironment
environment = ImmutableSandboxedEnvironment()
environment.globals["now"] = lambda: datetime.datetime(2026, 1, 1, tzinfo=datetime.timezone.utc)
for case in json.load(sys.stdin):
    print(json.dumps(environment.from_string(case["template"]).render(value=case["value"], value_json=case["json"])))
`

// Jinja is the judge of templates, over the state as the service writes it.
func TestTemplatesSayWhatTheStateSays(t *testing.T) {
	if exec.Command("python3", "-c", "import jinja2").Run() != nil {
		t.Skip("python3-jinja2 is missing")
	}
	got, _ := discovered(t, device(t), nil)
	degrees := 51.5
	good, bad := state("ready", "streaming"), state("backing_off", "disabled")
	bad.Degraded = []payload.Degradation{{What: "camera yard"}}
	good.Resources.Temperature = &degrees
	type one struct {
		entity, key string
		value       any
		want        string
	}
	cases := []one{
		{"worker", "val_tpl", good, "OFF"},
		{"worker", "val_tpl", bad, "ON"},
		{"worker_state", "val_tpl", bad, "backing_off"},
		{"degraded", "val_tpl", good, "OFF"},
		{"degraded", "val_tpl", bad, "ON"},
		{"degraded", "json_attr_tpl", bad, `{"degraded": [{"remedy": "", "what": "camera yard", "why": ""}]}`},
		{"outbox", "val_tpl", good, "3"},
		{"temperature", "val_tpl", good, "51.5"},
		{"temperature", "val_tpl", bad, "None"},
		{"c_yard_connected", "val_tpl", good, "ON"},
		{"c_yard_connected", "val_tpl", bad, "OFF"},
		{"c_backUyard_connected", "val_tpl", good, "OFF"}, // the state does not have it
		{"c_yard_fps", "val_tpl", good, "24.9"},
		{"c_yard_enabled", "val_tpl", good, "true"},
		{"c_yard_enabled", "val_tpl", bad, "false"},
		{"l_yard_person_occupancy", "val_tpl", "2", "ON"},
		{"l_yard_person_occupancy", "val_tpl", "0", "OFF"},
		{"c_yard_enabled", "cmd_tpl", "false", `{"id":"ha-1767225600.000000","args":{"enabled":false } }`},
		{"c_yard_take_snapshot", "cmd_tpl", "", `{"id":"ha-1767225600.000000","args":{"camera":"yard"} }`},
		{"restart_worker", "cmd_tpl", "", `{"id":"ha-1767225600.000000","args":{} }`},
	}
	var input []map[string]any
	for _, c := range cases {
		text, _ := c.value.(string)
		template, ok := got[c.entity][c.key].(string)
		if !ok {
			t.Fatalf("%s has no %s: there are %v", c.entity, c.key, slices.Sorted(maps.Keys(got)))
		}
		input = append(input, map[string]any{"template": template, "value": text, "json": c.value})
	}
	text, err := json.Marshal(input)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "python3", "-c", render)
	cmd.Stdin = strings.NewReader(string(text))
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	for i, c := range cases {
		var got string
		if err := json.Unmarshal([]byte(lines[i]), &got); err != nil || got != c.want {
			t.Errorf("%s, %s: %q, want %q (%v)", c.entity, c.key, got, c.want, err)
		}
	}
}

func state(worker, camera string) payload.State {
	return payload.State{
		Worker:  payload.Worker{State: worker},
		Cameras: map[string]payload.Camera{"yard": {State: camera, FPS: 24.937}},
		Outbox:  payload.Outbox{Depth: 3}, Degraded: []payload.Degradation{},
	}
}
