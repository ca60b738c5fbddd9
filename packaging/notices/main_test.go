package main

import (
	"bytes"
	"os"
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
