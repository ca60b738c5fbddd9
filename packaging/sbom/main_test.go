package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"os"
	"runtime/debug"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestEachModuleIsListedWithItsHash(t *testing.T) {
	sum := sha256.Sum256([]byte("a module"))
	module := debug.Module{Path: "example.org/x", Version: "v1.0.0", Sum: "h1:" + base64.StdEncoding.EncodeToString(sum[:])}
	info := debug.BuildInfo{GoVersion: "go1.26.0", Deps: []*debug.Module{&module}}
	d, err := list(&info, "1.2.3", "2.1.5-2")
	if err != nil {
		t.Fatal(err)
	}
	if d.Metadata.Component.Version != "1.2.3" || len(d.Components) != 3 || len(d.Dependencies) != 1 || len(d.Dependencies[0].DependsOn) != 3 {
		t.Fatalf("got %+v", d)
	}
	want := component{
		Ref: "pkg:golang/example.org/x@v1.0.0", URL: "pkg:golang/example.org/x@v1.0.0", Type: "library", Name: "example.org/x",
		Version: "v1.0.0", Hashes: []hash{{"SHA-256", hex.EncodeToString(sum[:])}},
	}
	if diff := cmp.Diff(want, d.Components[2]); diff != "" {
		t.Error(diff)
	}
	module.Sum = ""
	if _, err := list(&info, "1.2.3", "2.1.5-2"); err == nil || !strings.Contains(err.Error(), "example.org/x has no hash") {
		t.Errorf("a module without a hash: %v", err)
	}
}

func TestABinaryTellsWhatItIsMadeOf(t *testing.T) {
	binary, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	if err := run([]string{binary, "1.2.3", "2.1.5-2"}, &text); err != nil || !strings.Contains(text.String(), `"bomFormat": "CycloneDX"`) {
		t.Errorf("%v: %s", err, &text)
	}
	if err := run([]string{"/etc/hostname", "1", "2"}, &text); err == nil {
		t.Error("a file that is no binary has parts")
	}
}
