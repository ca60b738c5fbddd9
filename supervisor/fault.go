package supervisor

import (
	"fmt"
	"strings"
	"syscall"
	"time"

	"vedette/supervisor/cgroup"
	"vedette/supervisor/process"
)

// Kind says what sort of failure a fault is.
type Kind string

// Every kind of fault.
const (
	KindPanic    Kind = "panic"    // Go code panicked
	KindSignal   Kind = "signal"   // a signal that nobody here sent
	KindOOM      Kind = "oom"      // the kernel's out-of-memory killer
	KindHang     Kind = "hang"     // no progress within the deadline
	KindExit     Kind = "exit"     // it ended without being asked to
	KindProtocol Kind = "protocol" // it sent what it may not send
	KindLoad     Kind = "load"     // it could not start its work: the model, the runtime, the program
)

// Kinds lists every kind, in a fixed order.
func Kinds() []Kind {
	return []Kind{KindPanic, KindSignal, KindOOM, KindHang, KindExit, KindProtocol, KindLoad}
}

// Fault is a worker's failure as a value: everything that is known of it when the worker is gone.
type Fault struct {
	Process    string // the worker's name
	Kind       Kind
	Exception  string // what was thrown: "runtime error", "fatal error", "panic", a signal's name; empty where nothing was
	Message    string // one line
	Traceback  string // empty where none is known
	Generation uint64
	ExitCode   int            // -1 when a signal ended it
	Signal     syscall.Signal // 0 when none did
	Uptime     time.Duration
	PeakRSS    int64    // bytes
	LastLog    []string // its last lines on standard error
	Time       time.Time
}

// Failure is what a conversation reports when it ends before its time.
type Failure struct {
	Kind      Kind
	Message   string
	Traceback string
}

// Error makes a Failure an error; Kind stays readable by errors.As.
func (f *Failure) Error() string { return fmt.Sprintf("%s: %s", f.Kind, f.Message) }

// newFault puts together what the conversation said, what the process left behind and who ended it. The process's own
// crash report is the better witness than the connection that broke because of it.
func newFault(name string, generation uint64, said *Failure, exit process.Exit, forced bool) Fault {
	fault := Fault{
		Process: name, Generation: generation,
		ExitCode: exit.Code, Signal: exit.Signal,
		Uptime: exit.Lifetime, PeakRSS: exit.PeakRSS, LastLog: exit.LastLog,
		Time: time.Now(),
	}
	crashed := strings.TrimSpace(exit.Crash) != ""
	switch {
	case crashed && process.CrashSignal(exit.Crash) != 0:
		fault.Kind, fault.Signal = KindSignal, process.CrashSignal(exit.Crash)
		fault.Exception = process.SignalName(fault.Signal)
		fault.Message, fault.Traceback = firstLine(exit.Crash), exit.Crash
		if exit.Native != "" {
			fault.Message += " in " + exit.Native
			fault.Traceback = "in native code at " + exit.Native + "\n" + exit.Crash
		}
	case crashed:
		fault.Kind, fault.Message, fault.Traceback = KindPanic, firstLine(exit.Crash), exit.Crash
		fault.Exception = exception(fault.Message)
	case exit.Signal != 0 && !forced:
		fault.Kind, fault.Message = KindSignal, exit.String()
		fault.Exception = process.SignalName(exit.Signal)
	case said != nil && said.Kind != KindExit:
		fault.Kind, fault.Message, fault.Traceback = said.Kind, said.Message, said.Traceback
	default:
		fault.Kind, fault.Message = KindExit, exit.String()
		if n := len(exit.LastLog); n > 0 {
			fault.Message += ": " + exit.LastLog[n-1]
		}
	}
	return fault
}

// blame takes what the worker's cgroup has used into account: a SIGKILL is the kernel's where the group's memory ran out.
func (f *Fault) blame(usage cgroup.Usage) {
	f.PeakRSS = max(f.PeakRSS, usage.Peak)
	if usage.OOMKills > 0 {
		f.Kind, f.Exception = KindOOM, ""
		f.Message = fmt.Sprintf("out of memory: it reached its cgroup's limit, %d MiB at the peak", usage.Peak>>20)
	}
}

// exception is the type of what a Go program's last words tell: "panic: runtime error: index out of range", "fatal error:
// concurrent map writes", "panic: main.failure{…}".
func exception(message string) string {
	kind, rest, _ := strings.Cut(message, ": ")
	if kind == "panic" && strings.HasPrefix(rest, "runtime error: ") {
		return "runtime error"
	}
	return kind
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(text), "\n")
	return line
}
