package cgroup

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Limits bound what a group may use.
type Limits struct {
	Memory int64   // bytes; 0: none
	CPU    float64 // cores' worth of time; 0: no limit
	CPUSet string  // as the kernel writes it, "0-2,5"; empty: every one
	PIDs   int     // processes and threads; 0: no limit
}

// setting is a value for a file of the group's. An optional one is passed over where the kernel lacks the file.
type setting struct {
	file, value string
	optional    bool
}

const (
	cpuPeriod   = 100_000 // microseconds, the kernel's own default
	noLimit     = "max"
	everyCPU    = "\n" // an empty write would not reach the kernel
	leastCPU    = 0.01 // of a core: the kernel takes no quota under 1 ms
	mostCPU     = 8192 // the kernel's largest NR_CPUS
	leastMemory = 16 << 20
	leastPIDs   = 8 // Go's own threads
	mostPIDs    = 1 << 20
)

// settings are the limits in the kernel's words, the missing ones too: a limit may be taken back.
func (l Limits) settings() []setting {
	memory, swap, pids, cpu, cpus := noLimit, noLimit, noLimit, noLimit, everyCPU
	if l.Memory > 0 {
		// Swap is no way round the limit: a worker that swaps is slower than its deadline.
		memory, swap = strconv.FormatInt(l.Memory, 10), "0"
	}
	if l.PIDs > 0 {
		pids = strconv.Itoa(l.PIDs)
	}
	if l.CPU > 0 {
		cpu = strconv.FormatInt(int64(math.Round(l.CPU*cpuPeriod)), 10)
	}
	if l.CPUSet != "" {
		cpus = l.CPUSet
	}
	return []setting{
		{file: "memory.max", value: memory},
		{file: "memory.swap.max", value: swap, optional: true}, // a kernel may be built without swap
		{file: "memory.oom.group", value: "1", optional: true}, // since Linux 4.19
		{file: "pids.max", value: pids},
		{file: "cpu.max", value: fmt.Sprintf("%s %d", cpu, cpuPeriod)},
		{file: "cpuset.cpus", value: cpus},
	}
}

// Text is limits as a person writes them. What is empty is no limit.
type Text struct {
	Memory string // "2GiB", "512MiB", or "60%" of the machine's
	CPU    string // "1.5" cores, or "150%" of one
	CPUSet string // "0-2,5"
	PIDs   int
}

// ParseLimits reads limits for a machine with total bytes of memory. It tells report each mistake: the key, and what is
// wrong with its value.
func ParseLimits(text Text, total int64, report func(key, problem string)) Limits {
	limits := Limits{CPUSet: text.CPUSet, PIDs: text.PIDs}
	var ok bool
	if limits.Memory, ok = parseMemory(text.Memory, total); !ok {
		report("memory", fmt.Sprintf("%q is no amount of memory of at least 16MiB, such as 512MiB, 2GiB or 60%%", text.Memory))
	}
	if limits.CPU, ok = parseCPU(text.CPU); !ok {
		report("cpu", fmt.Sprintf("%q is no number of cores of at least %g, such as 1.5 or 150%%", text.CPU, leastCPU))
	}
	if !isCPUSet(text.CPUSet) {
		report("cpuset", fmt.Sprintf("%q is no list of CPUs, such as 0-2,5", text.CPUSet))
	}
	if text.PIDs != 0 && (text.PIDs < leastPIDs || text.PIDs > mostPIDs) {
		report("pids", fmt.Sprintf("%d is outside %d to %d", text.PIDs, leastPIDs, mostPIDs))
	}
	return limits
}

func parseMemory(text string, total int64) (bytes int64, ok bool) {
	if text == "" {
		return 0, true
	}
	if number, found := strings.CutSuffix(text, "%"); found {
		percent, err := strconv.ParseFloat(number, 64)
		if err != nil || !(percent > 0 && percent <= 100) {
			return 0, false
		}
		return int64(float64(total) * percent / 100), true
	}
	for _, unit := range []struct {
		name  string
		shift uint
	}{{"KiB", 10}, {"MiB", 20}, {"GiB", 30}} {
		if number, found := strings.CutSuffix(text, unit.name); found {
			n, err := strconv.ParseUint(number, 10, 32)
			bytes = int64(n << unit.shift)
			return bytes, err == nil && bytes >= leastMemory
		}
	}
	return 0, false
}

func parseCPU(text string) (cores float64, ok bool) {
	if text == "" {
		return 0, true
	}
	number, percent := strings.CutSuffix(text, "%")
	cores, err := strconv.ParseFloat(number, 64)
	if percent {
		cores /= 100
	}
	return cores, err == nil && cores >= leastCPU && cores <= mostCPU
}

func isCPUSet(text string) bool {
	if text == "" {
		return true
	}
	for part := range strings.SplitSeq(text, ",") {
		low, high, isRange := strings.Cut(part, "-")
		first, err := strconv.ParseUint(low, 10, 16)
		last := first
		if err == nil && isRange {
			last, err = strconv.ParseUint(high, 10, 16)
		}
		if err != nil || first > last || last >= mostCPU {
			return false
		}
	}
	return true
}
