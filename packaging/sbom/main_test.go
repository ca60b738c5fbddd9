package main

import (
	"bytes"
	"encoding/json"
	"os"
	"strings"
	"testing"
)

// This test's own binary is made of modules, as every other.
func TestEachModuleIsListedWithItsHash(t *testing.T) {
	binary, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	if err := run([]string{binary, "1.2.3", "2.1.5-2"}, &text); err != nil {
		t.Fatal(err)
	}
	var d document
	if err := json.Unmarshal(text.Bytes(), &d); err != nil {
		t.Fatal(err)
	}
	if d.Metadata.Component.Version != "1.2.3" || len(d.Dependencies) != 1 || len(d.Dependencies[0].DependsOn) != len(d.Components) {
		t.Errorf("got %s", text.Bytes())
	}
	for _, c := range d.Components {
		if strings.HasPrefix(c.URL, "pkg:golang/github.com/") && (len(c.Hashes) != 1 || len(c.Hashes[0].Content) != 64) {
			t.Errorf("%s has no hash", c.Name)
		}
	}
	if err := run([]string{"/etc/hostname", "1", "2"}, &text); err == nil {
		t.Error("a file that is no binary has parts")
	}
}
