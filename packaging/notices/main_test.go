package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

func TestTheCommittedNoticesAreThoseOfTheModules(t *testing.T) {
	var want bytes.Buffer
	if err := write(&want); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile("../../docs/licenses.txt")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want.Bytes()) {
		t.Error("docs/licenses.txt is not what the modules say: go run ./packaging/notices >docs/licenses.txt")
	}
}

func TestTheYoctoRecipeFetchesWhatGoModNames(t *testing.T) {
	const folder = "../../yocto/meta-vedette/recipes-vedette/vedette"
	modules, licences, err := yocto()
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string][]byte{yoctoModules: modules, yoctoLicences: licences} {
		got, err := os.ReadFile(filepath.Join(folder, name))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s is not what go.mod, go.sum and the modules say: go run ./packaging/notices -yocto yocto/meta-vedette/recipes-vedette/vedette", name)
		}
	}
}
