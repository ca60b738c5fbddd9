// Command agent runs in the guest what comes in on a port, until whoever holds the other end hangs up.
package main

import (
	"fmt"
	"os"

	"vedette/test/vm/remote"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: agent PORT")
		os.Exit(2)
	}
	if err := run(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "agent:", err)
		os.Exit(1)
	}
}

func run(path string) error {
	port, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("cannot open the port: %w", err)
	}
	defer port.Close()
	return remote.Serve(port)
}
