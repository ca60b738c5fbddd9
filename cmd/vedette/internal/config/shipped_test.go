package config

import (
	"os"
	"regexp"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// What it shows is what holds; and it says nothing, so that an image's own layer holds.
func TestTheShippedFileIsTheDefaults(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../../../packaging/vedette.yaml")
	if err != nil {
		t.Fatal(err)
	}
	got, err := Parse("vedette.yaml", text)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(Default(), got); diff != "" {
		t.Errorf("as shipped, it changes:\n%s", diff)
	}
	commented := regexp.MustCompile(`(?m)^#([^ \n]|  )`)
	if got, err = Parse("vedette.yaml", commented.ReplaceAll(text, []byte("$1"))); err != nil {
		t.Fatalf("without the comment signs: %v", err)
	}
	if len(got.Cameras) != 1 || len(got.MQTT.Brokers) != 1 {
		t.Errorf("the examples are not read: %+v", got)
	}
	got.Cameras, got.MQTT.Brokers = Default().Cameras, Default().MQTT.Brokers
	if diff := cmp.Diff(Default(), got); diff != "" {
		t.Errorf("what it shows is not the default:\n%s", diff)
	}
}
