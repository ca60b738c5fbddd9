//go:build race

package wire

// raceDetector tells that sync.Pool throws things away at random, so that allocations cannot be counted.
const raceDetector = true
