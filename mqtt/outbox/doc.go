// Package outbox keeps messages on disk until a broker has them.
//
// It is a log in segments, which docs/OUTBOX.md describes byte by byte. Whoever appends or takes messages only touches
// memory; one goroutine (Run) does what has to do with the disk. Where the disk fails, messages are kept in memory, as
// many as Options.Memory holds, until it works again.
package outbox
