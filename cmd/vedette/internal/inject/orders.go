//go:build faultinject

package inject

import (
	"fmt"
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"
	"time"

	"vedette/supervisor"
)

// realtime is SIGRTMIN as the C library counts: it keeps the kernel's first two to itself. (nptl(7).)
const realtime = 34

// pathEnv names, for a worker, a file on a file system that will be frozen.
const pathEnv = "VEDETTE_INJECT_PATH"

// The service's environment: its patience, so that a test need not have as much.
const (
	goodLifeEnv = "VEDETTE_INJECT_GOOD_LIFE"
	degradedEnv = "VEDETTE_INJECT_DEGRADED_DELAY"
)

// Policy takes what the environment says in the place of a part of the policy.
func Policy(policy supervisor.Policy) supervisor.Policy {
	if d, err := time.ParseDuration(os.Getenv(goodLifeEnv)); err == nil {
		policy.GoodLife = d
	}
	if d, err := time.ParseDuration(os.Getenv(degradedEnv)); err == nil {
		policy.DegradedDelay = d
	}
	return policy
}

// Environment is what a worker has to be given of the service's environment.
func Environment() []string { return []string{pathEnv} }

// Worker makes a worker heed orders.
func Worker() {
	fmt.Fprintln(os.Stderr, marker)
	heed(map[int]func(){
		1:  func() { panic("injected: out of cheese") },
		2:  crash,
		3:  devour,
		4:  multiply,
		5:  spin,
		6:  writeToFrozen,
		7:  func() { os.Exit(3) },
		8:  babble,
		9:  attackRing,
		10: attackSandbox,
	})
}

var wedged atomic.Bool //nolint:gochecknoglobals // a build for tests

// Service makes the service heed orders: RTMIN+1 wedges the supervisor at its worker's next change.
func Service() {
	fmt.Fprintln(os.Stderr, marker)
	heed(map[int]func(){1: func() { wedged.Store(true) }})
}

// Wedge blocks its caller for good once it was ordered to.
func Wedge() {
	if wedged.Load() {
		select {}
	}
}

func heed(orders map[int]func()) {
	received := make(chan os.Signal, len(orders)) // an order may come while one is carried out
	for number := range orders {
		signal.Notify(received, syscall.Signal(realtime+number))
	}
	go func() {
		for order := range received {
			number := int(order.(syscall.Signal)) - realtime
			fmt.Fprintf(os.Stderr, "injected fault %d\n", number)
			go orders[number]()
		}
	}()
}
