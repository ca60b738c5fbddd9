// Package stores measures the outbox beside the stores that one would take in its place: SQLite with a write-ahead log, and
// bbolt. It has a module of its own for their sake.
package stores
