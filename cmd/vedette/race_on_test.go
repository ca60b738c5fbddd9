//go:build race

package main

// raceDetector makes pictures a tenth as often, as each takes ten times as long and may take no larger share of the machine.
const raceDetector = true
