package pipeline

import (
	"errors"
	"testing"
	"time"
)

// Between a change of the overrides and its refusal nobody may read them.
func TestAReloadWaitsForAChangeOfTheOverrides(t *testing.T) {
	unread := errors.New("it is not there")
	p := &Pipeline{opts: Options{Configuration: failing{unread}}}
	p.reloading.Lock()
	ended := make(chan error, 1)
	go func() { ended <- p.Reload(t.Context()) }()
	select {
	case err := <-ended:
		t.Errorf("it does not wait: %v", err)
	case <-time.After(100 * time.Millisecond):
	}
	p.reloading.Unlock()
	if err := <-ended; !errors.Is(err, unread) {
		t.Errorf("what is not there is taken: %v", err)
	}
}
