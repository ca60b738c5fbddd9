package mqtt

import (
	"cmp"
	"errors"
	"io"
	"math/rand/v2"
	"syscall"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"
)

const (
	leastBackoff = 500 * time.Millisecond
	mostBackoff  = 30 * time.Second
	proven       = 10 * time.Second // a connection of so long makes earlier failures forgotten
	// spread is the limit of the first wait after a connection that was proven: a whole fleet may have lost its broker with it.
	spread = 5 * time.Second
	// quarrel is how long a connection lasts at most while two clients take a client id from each other, each after mostBackoff.
	quarrel = 2 * mostBackoff
)

// errLost says that a connection ended that there was.
var errLost = errors.New("connection lost")

// hungUp tells whether the broker, or something before it, has ended a connection. In MQTT 3.1.1 that is all that a client hears
// whose client id another one uses.
func hungUp(err error) bool {
	return errors.Is(err, errLost) && (errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE))
}

// backoff says how long to wait between two tries. The zero value is ready.
type backoff struct {
	limit   time.Duration
	proven  time.Duration // in the place of the constants; 0: these hold
	hangUps int           // in a row, with no connection in between that was longer than a quarrel's
}

// after gives the wait after a connection, or a try, that lasted so long and ended with err. Its jitter is full: a fleet
// must not come back in step. But whom a broker refuses waits for half of the most at least: it may lock out who insists.
func (b *backoff) after(lasted time.Duration, err error) time.Duration {
	enough, first := cmp.Or(b.proven, proven), spread
	if b.proven != 0 {
		first = leastBackoff
	}
	if lasted > cmp.Or(b.proven, quarrel) {
		b.hangUps = 0
	}
	if hungUp(err) {
		b.hangUps++
		enough = cmp.Or(b.proven, quarrel)
	}
	switch {
	case errors.Is(err, packets.ErrorRefusedBadUsernameOrPassword), errors.Is(err, packets.ErrorRefusedNotAuthorised):
		b.limit = mostBackoff
		return mostBackoff/2 + rand.N(mostBackoff/2)
	case lasted > enough:
		b.limit = first
	case b.limit == 0:
		b.limit = leastBackoff
	}
	wait := rand.N(b.limit)
	b.limit = min(2*b.limit, mostBackoff)
	return wait
}
