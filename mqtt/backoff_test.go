package mqtt

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"
)

// try is a connection, or a try to make one.
type try struct {
	lasted time.Duration
	err    error
}

func TestBackoff(t *testing.T) {
	dead := errors.New("connection refused")
	refused := fmt.Errorf("cannot connect: %w", packets.ErrorRefusedBadUsernameOrPassword)
	barred := fmt.Errorf("cannot connect: %w", packets.ErrorRefusedNotAuthorised)
	hangUp := fmt.Errorf("%w: %w", errLost, io.EOF)
	reset := fmt.Errorf("%w: %w", errLost, syscall.ECONNRESET)
	fight := slices.Repeat([]try{{mostBackoff, hangUp}}, 20)
	for name, err := range map[string]error{"nothing": nil, "a refusal": dead, "a hang-up before": io.EOF} {
		if hungUp(err) {
			t.Errorf("%s is a connection that was hung up on", name)
		}
	}

	tests := map[string]struct {
		tries       []try // the wait after the last of them is
		least, most time.Duration
	}{
		"first":                             {[]try{{0, dead}}, 0, leastBackoff},
		"second":                            {[]try{{0, dead}, {0, dead}}, 0, 2 * leastBackoff},
		"fourth":                            {[]try{{0, dead}, {0, dead}, {0, dead}, {0, dead}}, 0, 8 * leastBackoff},
		"twentieth":                         {make([]try, 20), 0, mostBackoff},
		"after a good connection":           {append(make([]try, 20), try{time.Hour, dead}), 0, spread},
		"twice after a good connection":     {[]try{{time.Hour, dead}, {0, dead}}, 0, 2 * spread},
		"of two with one client id":         {fight, 0, mostBackoff},
		"of two, reset":                     {append(fight[:19:19], try{quarrel, reset}), 0, mostBackoff},
		"when the other has gone":           {append(fight[:20:20], try{quarrel + 1, hangUp}), 0, spread},
		"after a short connection":          {append(make([]try, 20), try{proven, dead}), 0, mostBackoff},
		"wrong password":                    {[]try{{0, refused}}, mostBackoff / 2, mostBackoff},
		"not let in":                        {[]try{{0, barred}}, mostBackoff / 2, mostBackoff},
		"after a wrong password":            {[]try{{0, refused}, {0, dead}}, 0, mostBackoff},
		"wrong password after it was right": {[]try{{time.Hour, refused}}, mostBackoff / 2, mostBackoff},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			least, most := time.Hour, time.Duration(0)
			for range 2000 {
				var b backoff
				var wait time.Duration
				for _, try := range test.tries {
					wait = b.after(try.lasted, try.err)
				}
				least, most = min(least, wait), max(most, wait)
			}
			spread := test.most - test.least
			if least < test.least || most > test.most {
				t.Errorf("waits are %v to %v, not %v to %v", least, most, test.least, test.most)
			}
			if least > test.least+spread/20 || most < test.most-spread/20 { // less likely than once in 10^40 runs
				t.Errorf("waits of %v to %v do not spread over %v to %v", least, most, test.least, test.most)
			}
		})
	}
}
