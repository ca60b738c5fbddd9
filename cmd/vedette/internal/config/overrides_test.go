package config

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"
)

const operator = `
cameras:
  - name: yard
    rate: 5
    source: {scene: {size: 640x360, rate: 5}}
  - name: gate
    rate: 2
    source: {scene: {size: 640x360, rate: 5}}
infer: {thresholds: {default: 0.3}}
`

func overridden(t *testing.T, overrides string) (paths []string) {
	t.Helper()
	dir := t.TempDir()
	paths = []string{filepath.Join(dir, "vedette.yaml"), filepath.Join(dir, OverridesFile)}
	write(t, paths[0], operator)
	write(t, paths[1], overrides)
	return paths
}

func TestOverridesChangeACameraByItsName(t *testing.T) {
	paths := overridden(t, "cameras:\n  - name: gate\n    disabled: true\n    masks: [[[0,0],[1,0],[1,1]]]\n  - name: gone\n    rate: 1\n")
	got, err := Load(paths...)
	if err != nil {
		t.Fatal(err)
	}
	yard, gate := got.Cameras[0], got.Cameras[1]
	if len(got.Cameras) != 2 || yard.Rate != 5 || yard.Disabled || gate.Rate != 2 || !gate.Disabled || len(gate.Masks) != 1 ||
		gate.Source.Scene == nil || gate.Region[2] != 1 {
		t.Errorf("%+v", got.Cameras)
	}
	text, err := Origins(paths...)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"disabled: true # " + paths[1] + ":3\n", "rate: 2.0 # " + paths[0] + ":7\n", "rate: 5.0 # " + paths[0] + ":4\n"} {
		if !strings.Contains(string(text), want) {
			t.Errorf("%q is not in\n%s", want, text)
		}
	}
}

func TestMistakesInOverridesAreNamedWithTheirPlace(t *testing.T) {
	for _, c := range []struct{ text, says string }{
		{"cameras:\n  - name: gate\n    rate: -1\n", OverridesFile + ":3:11: cameras[1].rate: "},
		{"cameras:\n  - name: gate\n    ratte: 1\n", OverridesFile + `:3:5: unknown key "ratte": did you mean "rate"?`},
		{"cameras: 3\ninfer: {thread: 2}\n", OverridesFile + `:2:9: unknown key "thread"`},
		{"infer: {thresholds: {person: 4}}\n", OverridesFile + ":1:30: infer.thresholds.person"},
	} {
		_, err := Load(overridden(t, c.text)...)
		if err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%q: error %v, want %q", c.text, err, c.says)
		}
	}
}

func TestAThresholdOfOneLabelLeavesTheOthers(t *testing.T) {
	got, err := Load(overridden(t, "infer: {thresholds: {person: 0.7}}\n")...)
	if err != nil {
		t.Fatal(err)
	}
	if got.Infer.Thresholds.For("person") != 0.7 || got.Infer.Thresholds.For("cup") != 0.3 {
		t.Errorf("%v", got.Infer.Thresholds)
	}
}

func agreed(Config) error { return nil }

func TestOverrideIsWholeOrNotAtAll(t *testing.T) {
	paths := overridden(t, "")
	if err := os.Remove(paths[1]); err != nil {
		t.Fatal(err)
	}
	disable := func(disabled any) func(Overrides) error {
		return func(o Overrides) error { o.Camera("gate")["disabled"] = disabled; return nil }
	}
	got, _, err := Override(paths[1], paths[:1], disable(true), agreed)
	if err != nil || !got.Cameras[1].Disabled {
		t.Fatalf("%v %+v", err, got.Cameras)
	}
	first, _ := os.ReadFile(paths[1])
	if _, _, err := Override(paths[1], paths[:1], disable("perhaps"), agreed); err == nil {
		t.Error("a word is taken for a truth")
	}
	objection := errors.New("the model does not load")
	if _, _, err := Override(paths[1], paths[:1], disable(false), func(Config) error { return objection }); !errors.Is(err, objection) {
		t.Errorf("what is objected to: %v", err)
	}
	if now, _ := os.ReadFile(paths[1]); string(now) != string(first) {
		t.Errorf("what was refused is written: %s", now)
	}
	_, undo, err := Override(paths[1], paths[:1], func(o Overrides) error {
		o.Section("infer", "thresholds")["person"] = 0.9
		return disable(false)(o)
	}, agreed)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := Load(paths...); err != nil || got.Cameras[1].Disabled || got.Infer.Thresholds["person"] != 0.9 {
		t.Errorf("%v %+v", err, got)
	}
	if err := undo(); err != nil {
		t.Fatal(err)
	}
	if now, _ := os.ReadFile(paths[1]); string(now) != string(first) {
		t.Errorf("undone: %s, it was %s", now, first)
	}
}

func TestAModelThatWasNotOverriddenIsNotAfterwards(t *testing.T) {
	for text, was := range map[string]string{"{}": "", "infer: {model: yard}": "yard", "infer: {model: yard, threads: 2}": "yard"} {
		o, before := Overrides{}, Overrides{}
		if err := errors.Join(yaml.Unmarshal([]byte(text), &o), yaml.Unmarshal([]byte(text), &before)); err != nil {
			t.Fatal(err)
		}
		if got := o.SetModel("gate"); got != was || o.Section("infer")["model"] != "gate" {
			t.Errorf("%s: was %q, is %v", text, got, o)
		}
		if o.SetModel(was); !cmp.Equal(o, before) {
			t.Errorf("%s: it is %v afterwards", text, o)
		}
	}
}

func FuzzOverrides(f *testing.F) {
	f.Add([]byte("cameras: [{name: gate, disabled: true}]"))
	f.Add([]byte("cameras: {}\n"))
	f.Add([]byte("infer: {thresholds: {a: 1}}\n"))
	f.Add([]byte("[]"))
	f.Fuzz(func(t *testing.T, text []byte) {
		if len(text) > 4096 {
			return
		}
		config := Default()
		if err := config.apply([]layer{{"vedette.yaml", []byte(operator)}, {OverridesFile, text}}); err != nil && err.Error() == "" {
			t.Error("an error without a word")
		}
	})
}
