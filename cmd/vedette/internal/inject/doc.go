// Package inject makes a process fail on purpose, in builds with the tag faultinject only: what ships does not have it.
//
// A process that was built so takes orders as real-time signals (`kill -s RTMIN+1 PID`), because a signal needs no open
// descriptor, no file and no permission that the sandbox would have to leave open.
package inject

// marker is in every binary that can be made to fail, and in no other.
const marker = "vedette: built with fault injection: not for shipping"
