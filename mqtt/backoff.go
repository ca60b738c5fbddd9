package mqtt

import (
	"cmp"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"
)

const (
	leastBackoff = 500 * time.Millisecond
	mostBackoff  = 30 * time.Second
	proven       = 10 * time.Second // a connection of so long makes earlier failures forgotten
)

// backoff says how long to wait between two tries. The zero value is ready.
type backoff struct {
	limit  time.Duration
	proven time.Duration // in the place of the constant; 0: that holds
}

// after gives the wait after a connection, or a try, that lasted so long and ended with err. Its jitter is full: a fleet
// must not come back in step. But whom a broker refuses waits for half of the most at least: it may lock out who insists.
func (b *backoff) after(lasted time.Duration, err error) time.Duration {
	switch {
	case errors.Is(err, packets.ErrorRefusedBadUsernameOrPassword), errors.Is(err, packets.ErrorRefusedNotAuthorised):
		b.limit = mostBackoff
		return mostBackoff/2 + rand.N(mostBackoff/2)
	case b.limit == 0 || lasted > cmp.Or(b.proven, proven):
		b.limit = leastBackoff
	}
	wait := rand.N(b.limit)
	b.limit = min(2*b.limit, mostBackoff)
	return wait
}
