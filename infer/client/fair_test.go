package client

import (
	"testing"
	"time"
)

// Cameras that all want more than there is get the same each, within a tenth, whatever their rates.
func TestOverloadIsSharedEvenly(t *testing.T) {
	for _, c := range []struct {
		name      string
		places    int
		occupancy time.Duration
		rates     []int // frames a second
	}{
		{"three rates, 9 frames a second to share", 1, 111 * ms, []int{30, 15, 10}},
		{"four rates, 20 frames a second to share", 2, 100 * ms, []int{30, 25, 15, 12}},
		{"eight alike, 15 frames a second to share", 2, 133 * ms, []int{30, 30, 30, 30, 30, 30, 30, 30}},
		{"one fast among slow ones, 10 frames a second to share", 2, 200 * ms, []int{60, 5, 5, 5}},
	} {
		var intervals []time.Duration
		for _, rate := range c.rates {
			intervals = append(intervals, time.Second/time.Duration(rate))
		}
		taken := sim(c.places, c.occupancy, 60*time.Second, intervals...)
		total := 0
		for _, n := range taken {
			total += n
		}
		share := total / len(taken)
		for i, n := range taken {
			if off := max(n-share, share-n); 10*off > share {
				t.Errorf("%s: the camera of %d frames a second got %d of %d, its share is %d: %v", c.name, c.rates[i], n, total, share, taken)
			}
		}
		t.Logf("%s: %v", c.name, taken)
	}
}
