// Package remote runs commands at the other end of a byte stream.
//
// Both ends speak JSON, one message after the other. The client numbers its commands; any number may run at once.
package remote

// Command is what is to run.
type Command struct {
	Argv  []string
	Stdin []byte
}

// Result is what became of a command that was started.
type Result struct {
	Stdout, Stderr []byte
	ExitCode       int // 128 + the signal's number for a command that a signal ended, as shells have it
}

// Of each of a command's streams this much is passed on. A command that says more fails.
const maxOutput = 16 << 20

type request struct {
	ID     uint64   `json:"id"`
	Argv   []string `json:"argv,omitempty"`
	Stdin  []byte   `json:"stdin,omitempty"`
	Cancel bool     `json:"cancel,omitempty"` // instead of a new command: end this one
}

type reply struct {
	ID       uint64 `json:"id"`
	Stdout   []byte `json:"stdout,omitempty"`
	Stderr   []byte `json:"stderr,omitempty"`
	Ended    bool   `json:"ended,omitempty"` // the last reply to this command
	ExitCode int    `json:"exit_code,omitempty"`
	Failure  string `json:"failure,omitempty"` // why there is no exit code
}
