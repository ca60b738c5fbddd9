package process

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"path"
	"regexp"
	"strconv"
	"strings"
)

// module is a file whose code a process has mapped.
type module struct {
	path       string
	start, end uint64 // addresses
	offset     uint64 // of start in the file
}

// Bounds on what is read of a process's mappings.
const (
	maxMappings = 4096
	maxMapsText = 1 << 20 // bytes
)

// NoteModules keeps where the child's code lies, so that the address in its crash report can be told as library and
// offset: when it has crashed, the kernel no longer says. It is best called when everything is loaded.
func (p *Process) NoteModules() error {
	file, err := os.Open(fmt.Sprintf("/proc/%d/maps", p.pid))
	if err != nil {
		return fmt.Errorf("cannot read the worker's mappings: %w", err)
	}
	defer file.Close()
	modules := readModules(io.LimitReader(file, maxMapsText))
	p.mu.Lock()
	defer p.mu.Unlock()
	p.modules = modules
	return nil
}

// readModules reads executable mappings of files. (proc_pid_maps(5): "start-end rwxp offset dev inode path".)
func readModules(r io.Reader) []module {
	var modules []module
	for lines := bufio.NewScanner(r); lines.Scan() && len(modules) < maxMappings; {
		fields := strings.Fields(lines.Text())
		if len(fields) < 6 || len(fields[1]) < 3 || fields[1][2] != 'x' || !strings.HasPrefix(fields[5], "/") {
			continue
		}
		from, to, _ := strings.Cut(fields[0], "-")
		start, startErr := strconv.ParseUint(from, 16, 64)
		end, endErr := strconv.ParseUint(to, 16, 64)
		offset, offsetErr := strconv.ParseUint(fields[2], 16, 64)
		if startErr == nil && endErr == nil && offsetErr == nil {
			modules = append(modules, module{fields[5], start, end, offset})
		}
	}
	return modules
}

// programCounter is what Go's runtime writes for a signal in code that is not Go's. (runtime/signal_unix.go.)
var programCounter = regexp.MustCompile(`(?m)^PC=0x([0-9a-f]+) `) //nolint:gochecknoglobals // a constant

// nativePlace says in which library a crash report's program counter lies, and at which offset of the file, as
// addr2line and objdump want it; empty where the report names none or it lies elsewhere.
func nativePlace(report string, modules []module) string {
	match := programCounter.FindStringSubmatch(report)
	if match == nil {
		return ""
	}
	pc, err := strconv.ParseUint(match[1], 16, 64)
	if err != nil {
		return ""
	}
	for _, m := range modules {
		if pc >= m.start && pc < m.end {
			return fmt.Sprintf("%s+%#x", path.Base(m.path), pc-m.start+m.offset)
		}
	}
	return ""
}
