// Package vm boots Debian guests with systemd for tests: README.md beside it tells how.
package vm
