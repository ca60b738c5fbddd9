package homeassistant

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// What follows is Home Assistant's documentation (integrations/mqtt and the pages of its platforms) as rules, apart from the
// code that makes messages. Home Assistant itself takes keys that it does not know, and passes over them: here they are mistakes.

// platform is what an entity of a kind has to have, and may have beside what all may.
type platform struct {
	needs   []string // of each, one of the alternatives that | parts
	may     []string
	classes []string // device classes
	writes  bool     // it has a command topic: it may be of the category config
}

func platforms() map[string]platform {
	return map[string]platform{
		"binary_sensor": {
			needs: []string{"stat_t"}, may: []string{"val_tpl", "dev_cla", "pl_on", "pl_off", "exp_aft", "frc_upd", "off_dly"},
			classes: []string{
				"battery", "battery_charging", "carbon_monoxide", "cold", "connectivity", "door", "garage_door", "gas", "heat", "light",
				"lock", "moisture", "motion", "moving", "occupancy", "opening", "plug", "power", "presence", "problem", "running",
				"safety", "smoke", "sound", "tamper", "update", "vibration", "window",
			},
		},
		"sensor": {
			needs:   []string{"stat_t"},
			may:     []string{"val_tpl", "dev_cla", "unit_of_meas", "stat_cla", "sug_dsp_prc", "exp_aft", "frc_upd", "ops", "lrst_val_tpl"},
			classes: []string{"temperature", "enum", "duration", "timestamp", "data_size", "humidity", "voltage", "power", "energy"},
		},
		"image": {needs: []string{"img_t|url_t"}, may: []string{"cont_type", "img_e", "url_tpl"}},
		"button": {
			needs: []string{"cmd_t"}, may: []string{"cmd_tpl", "pl_prs", "ret", "dev_cla"}, writes: true,
			classes: []string{"identify", "restart", "update"},
		},
		"switch": {
			needs: []string{"cmd_t"}, may: []string{"cmd_tpl", "stat_t", "val_tpl", "pl_on", "pl_off", "stat_on", "stat_off", "opt", "ret", "dev_cla"},
			classes: []string{"outlet", "switch"}, writes: true,
		},
		"update": {
			needs: nil, may: []string{"stat_t", "val_tpl", "l_ver_t", "l_ver_tpl", "cmd_t", "pl_inst", "rel_s", "rel_u", "tit", "ent_pic", "dev_cla", "dsp_prc"},
			classes: []string{"firmware"}, writes: true,
		},
	}
}

// common are keys of every entity.
var common = []string{
	"p", "unique_id", "name", "ent_cat", "ic", "en", "qos", "e", "json_attr_t", "json_attr_tpl", "obj_id", "def_ent_id",
	"avty", "avty_t", "avty_tpl", "avty_mode", "pl_avail", "pl_not_avail",
}

var (
	idPattern = regexp.MustCompile(`^[a-zA-Z0-9_-]+$`)
	config_   = regexp.MustCompile(`^[^#+]+/device/[a-zA-Z0-9_-]+/config$`)
)

// validate gives what Home Assistant would object to in a device's discovery.
func validate(topic string, text []byte) (problems []string) {
	object := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	if !config_.MatchString(topic) {
		object("topic %q is not <prefix>/device/<object id>/config", topic)
	}
	if len(text) == 0 {
		return problems // the device is removed
	}
	var m map[string]any
	decoder := json.NewDecoder(bytes.NewReader(text))
	if err := decoder.Decode(&m); err != nil {
		return append(problems, err.Error())
	}
	only(m, "the message", object, "dev", "o", "cmps", "avty", "avty_t", "avty_tpl", "avty_mode", "pl_avail", "pl_not_avail", "stat_t", "cmd_t", "qos", "e")
	device, _ := m["dev"].(map[string]any)
	only(device, "dev", object, "ids", "cns", "name", "mf", "mdl", "mdl_id", "hw", "sw", "sn", "sa", "cu", "via_device")
	if ids, _ := device["ids"].([]any); len(ids) == 0 {
		object("dev has neither ids nor cns")
	}
	origin, _ := m["o"].(map[string]any)
	only(origin, "o", object, "name", "sw", "url")
	if name, _ := origin["name"].(string); name == "" {
		object("o has no name")
	}
	if _, both := m["avty"]; both && m["avty_t"] != nil {
		object("avty and avty_t exclude each other")
	}
	components, ok := m["cmps"].(map[string]any)
	if !ok {
		object("cmps is missing")
	}
	seen := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(components)) {
		c, _ := components[name].(map[string]any)
		checkComponent(name, c, seen, func(format string, args ...any) { object(name+": "+format, args...) })
	}
	return problems
}

func checkComponent(name string, c map[string]any, seen map[string]string, object func(string, ...any)) {
	kind, _ := c["p"].(string)
	rules, known := platforms()[kind]
	if !known {
		object("platform %q is none of those that are used here", kind)
		return
	}
	if len(c) == 1 {
		return // it is to be removed
	}
	unique, _ := c["unique_id"].(string)
	if !idPattern.MatchString(unique) || !idPattern.MatchString(name) {
		object("unique_id %q or key %q is not of [a-zA-Z0-9_-]", unique, name)
	}
	if other, twice := seen[kind+unique]; twice {
		object("unique_id %q is that of %s", unique, other)
	}
	seen[kind+unique] = name
	for _, need := range rules.needs {
		has := 0
		for _, one := range strings.Split(need, "|") {
			if _, there := c[one]; there {
				has++
			}
		}
		if has != 1 {
			object("needs one of %s", need)
		}
	}
	allowed := append(slices.Clone(common), rules.may...)
	for _, need := range rules.needs {
		allowed = append(allowed, strings.Split(need, "|")...)
	}
	only(c, "it", object, allowed...)
	if text, ok := c["name"].(string); !ok || text == "" {
		object("has no name")
	}
	if class, ok := c["dev_cla"].(string); ok && !slices.Contains(rules.classes, class) {
		object("device class %q is none of %s", class, kind)
	}
	switch category, _ := c["ent_cat"].(string); category {
	case "", "diagnostic":
	case "config":
		if !rules.writes {
			object("only what can be changed is of the category config")
		}
	default:
		object("category %q", category)
	}
	checkSensor(c, object)
	if _, of := c["cont_type"]; of && c["img_t"] == nil {
		object("cont_type goes with img_t")
	}
	for key, value := range c {
		text, _ := value.(string)
		switch {
		case strings.HasSuffix(key, "_t") && (text == "" || key == "cmd_t" && strings.ContainsAny(text, "+#")):
			object("%s is no topic: %q", key, text)
		case strings.HasSuffix(key, "_tpl") && (strings.Count(text, "{{") != strings.Count(text, "}}") || !strings.Contains(text, "{{")):
			object("%s is no template: %q", key, text)
		case key == "qos" && value != 0.0 && value != 1.0 && value != 2.0:
			object("qos %v", value)
		}
	}
}

func checkSensor(c map[string]any, object func(string, ...any)) {
	class, _ := c["stat_cla"].(string)
	if class != "" && !slices.Contains([]string{"measurement", "measurement_angle", "total", "total_increasing"}, class) {
		object("state class %q", class)
	}
	if c["dev_cla"] == "temperature" && !slices.Contains([]any{"°C", "°F", "K"}, c["unit_of_meas"]) {
		object("a temperature in %v", c["unit_of_meas"])
	}
	if c["dev_cla"] == "enum" && (class != "" || c["unit_of_meas"] != nil) {
		object("an enum has neither state class nor unit")
	}
}

func only(m map[string]any, what string, object func(string, ...any), keys ...string) {
	for key := range m {
		if !slices.Contains(keys, key) {
			object("%s has the key %q, which the documentation does not", what, key)
		}
	}
}
