package mqtt

import (
	"cmp"
	"time"
)

// disputeAfter is how often in a row each broker hangs up before the client id is thought to be another's as well.
const disputeAfter = 4

// hungUp counts a connection that the broker ended, and says once what the cause may be. MQTT 3.1.1 has no word for it: a broker
// that is asked for a second connection with a client id closes the first. Both come back for ever, ever more slowly.
func (c *Client) hungUp(broker string, inARow int) {
	disputed := 0
	if inARow >= disputeAfter*len(c.opts.Config.Brokers) {
		disputed = inARow
	}
	said := c.Status().Disputed > 0
	c.change(func(s *Status) { s.HangUps, s.Disputed = s.HangUps+1, disputed })
	if disputed == 0 || said {
		return
	}
	c.opts.Logger.Warn("the broker hangs up again and again: another client may use the same client id; give each device a name of its own (device)",
		"client_id", c.opts.ClientID, "broker", redact(broker), "times", inARow)
}

// undisputed takes the word back once a connection lasts for longer than any does in a quarrel.
func (c *Client) undisputed(since time.Time) {
	if time.Since(since) > cmp.Or(c.opts.Proven, quarrel) && c.Status().Disputed > 0 {
		c.change(func(s *Status) { s.Disputed = 0 })
	}
}
