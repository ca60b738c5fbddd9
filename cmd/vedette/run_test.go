package main

import (
	"path/filepath"
	"testing"
	"time"
)

// Between a command's change of the overrides and its refusal nobody may read them.
func TestAReloadWaitsForAChangeOfTheOverrides(t *testing.T) {
	r := &running{file: filepath.Join(t.TempDir(), "none.yaml")}
	r.overriding.Lock()
	ended := make(chan error, 1)
	go func() { ended <- r.Reload(t.Context()) }()
	select {
	case err := <-ended:
		t.Errorf("it does not wait: %v", err)
	case <-time.After(100 * time.Millisecond):
	}
	r.overriding.Unlock()
	if err := <-ended; err == nil {
		t.Error("a configuration that is not there is taken")
	}
}
