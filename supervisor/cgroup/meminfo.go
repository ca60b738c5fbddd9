package cgroup

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Machine is the whole machine's memory, in bytes. On a board whose GPU shares it, what the GPU uses may be charged to no
// group: Available sees it.
type Machine struct {
	Total     int64
	Available int64 // what can be had without swapping
}

// ReadMachine reads proc's meminfo.
func ReadMachine(proc string) (Machine, error) {
	path := filepath.Join(proc, "meminfo")
	file, err := os.Open(path)
	if err != nil {
		return Machine{}, fmt.Errorf("cannot tell the machine's memory: %w", err)
	}
	defer file.Close()
	var m Machine
	wanted := map[string]*int64{"MemTotal:": &m.Total, "MemAvailable:": &m.Available}
	lines := bufio.NewScanner(file)
	for lines.Scan() && len(wanted) > 0 {
		fields := strings.Fields(lines.Text()) // MemTotal:  16384256 kB
		if len(fields) != 3 || wanted[fields[0]] == nil {
			continue
		}
		kib, err := strconv.ParseInt(fields[1], 10, 53)
		if err != nil {
			return Machine{}, fmt.Errorf("cannot tell the machine's memory: %s: %w", path, err)
		}
		*wanted[fields[0]] = kib << 10
		delete(wanted, fields[0])
	}
	if err := lines.Err(); err != nil {
		return Machine{}, fmt.Errorf("cannot tell the machine's memory: %w", err)
	}
	if len(wanted) > 0 {
		return Machine{}, fmt.Errorf("cannot tell the machine's memory: %s lacks MemTotal or MemAvailable", path)
	}
	return m, nil
}
