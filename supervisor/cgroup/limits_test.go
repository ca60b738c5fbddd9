package cgroup

import (
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestLimitsInTheKernelsWords(t *testing.T) {
	for _, c := range []struct {
		name   string
		limits Limits
		want   []string
	}{
		{
			"none takes each limit back",
			Limits{},
			[]string{
				"memory.max=max", "memory.swap.max=max", "memory.oom.group=1", "pids.max=max", "cpu.max=max 100000",
				"cpuset.cpus=\n",
			},
		},
		{
			"each",
			Limits{Memory: 1 << 30, CPU: 1.5, CPUSet: "0-1,3", PIDs: 64},
			[]string{
				"memory.max=1073741824", "memory.swap.max=0", "memory.oom.group=1", "pids.max=64", "cpu.max=150000 100000",
				"cpuset.cpus=0-1,3",
			},
		},
		{
			"the least CPU is the kernel's least quota",
			Limits{CPU: leastCPU},
			[]string{
				"memory.max=max", "memory.swap.max=max", "memory.oom.group=1", "pids.max=max", "cpu.max=1000 100000",
				"cpuset.cpus=\n",
			},
		},
	} {
		var got []string
		for _, s := range c.limits.settings() {
			got = append(got, s.file+"="+s.value)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s:\n got %q\nwant %q", c.name, got, c.want)
		}
	}
}

func TestLimitsAsAPersonWritesThem(t *testing.T) {
	const total = 8 << 30
	for _, c := range []struct {
		text Text
		want Limits
		bad  string // the keys that are reported
	}{
		{text: Text{}},
		{text: Text{Memory: "60%"}, want: Limits{Memory: 5153960755}},
		{text: Text{Memory: "12.5%"}, want: Limits{Memory: 1 << 30}},
		{text: Text{Memory: "100%"}, want: Limits{Memory: total}},
		{text: Text{Memory: "2GiB"}, want: Limits{Memory: 2 << 30}},
		{text: Text{Memory: "512MiB"}, want: Limits{Memory: 512 << 20}},
		{text: Text{Memory: "65536KiB"}, want: Limits{Memory: 64 << 20}},
		{text: Text{Memory: "0%"}, bad: "memory"},
		{text: Text{Memory: "101%"}, bad: "memory"},
		{text: Text{Memory: "NaN%"}, bad: "memory"},
		{text: Text{Memory: "2"}, bad: "memory"}, // bytes, or a slip
		{text: Text{Memory: "2GB"}, bad: "memory"},
		{text: Text{Memory: "-2GiB"}, bad: "memory"},
		{text: Text{Memory: "1MiB"}, bad: "memory"},
		{text: Text{Memory: "9999999999GiB"}, bad: "memory"},
		{text: Text{Memory: "lots"}, bad: "memory"},
		{text: Text{CPU: "1.5"}, want: Limits{CPU: 1.5}},
		{text: Text{CPU: "150%"}, want: Limits{CPU: 1.5}},
		{text: Text{CPU: "2"}, want: Limits{CPU: 2}},
		{text: Text{CPU: "0"}, bad: "cpu"},
		{text: Text{CPU: "0.5%"}, bad: "cpu"},
		{text: Text{CPU: "-1"}, bad: "cpu"},
		{text: Text{CPU: "Inf"}, bad: "cpu"},
		{text: Text{CPU: "half"}, bad: "cpu"},
		{text: Text{CPUSet: "0"}, want: Limits{CPUSet: "0"}},
		{text: Text{CPUSet: "0-1,3"}, want: Limits{CPUSet: "0-1,3"}},
		{text: Text{CPUSet: "3-1"}, bad: "cpuset"},
		{text: Text{CPUSet: "0,"}, bad: "cpuset"},
		{text: Text{CPUSet: "0-"}, bad: "cpuset"},
		{text: Text{CPUSet: "0 1"}, bad: "cpuset"},
		{text: Text{CPUSet: "all"}, bad: "cpuset"},
		{text: Text{CPUSet: "8192"}, bad: "cpuset"},
		{text: Text{PIDs: 64}, want: Limits{PIDs: 64}},
		{text: Text{PIDs: 1}, bad: "pids"},
		{text: Text{PIDs: -1}, bad: "pids"},
		{text: Text{Memory: "x", CPU: "x", CPUSet: "x", PIDs: 1}, bad: "memory cpu cpuset pids"},
	} {
		var bad []string
		got := ParseLimits(c.text, total, func(key, problem string) {
			bad = append(bad, key)
			if !strings.Contains(problem, "such as") && key != "pids" {
				t.Errorf("%+v: %s does not say what would be right", c.text, problem)
			}
		})
		if strings.Join(bad, " ") != c.bad || c.bad == "" && got != c.want {
			t.Errorf("%+v: %+v with mistakes in %q, want %+v with %q", c.text, got, bad, c.want, c.bad)
		}
	}
}

func FuzzParseLimits(f *testing.F) {
	f.Add("60%", "1.5", "0-1,3", 64)
	f.Add("2GiB", "150%", "0", 8)
	f.Add("4294967295GiB", "8192", "0-8191", 1<<20)
	f.Add("1e-300%", "0x1p3", "00-01", 0)
	f.Fuzz(func(t *testing.T, memory, cpu, cpus string, pids int) {
		const total = 1 << 40
		bad := map[string]bool{}
		l := ParseLimits(Text{memory, cpu, cpus, pids}, total, func(key, _ string) { bad[key] = true })
		if !bad["memory"] && (l.Memory < 0 || l.Memory == 0 && !strings.HasSuffix(memory, "%") && memory != "") {
			t.Errorf("memory %q is %d bytes", memory, l.Memory)
		}
		if !bad["cpu"] && cpu != "" && !(l.CPU >= leastCPU && l.CPU <= mostCPU) {
			t.Errorf("cpu %q is %g cores", cpu, l.CPU)
		}
		if !bad["cpuset"] && strings.Trim(cpus, "0123456789,-") != "" {
			t.Errorf("cpuset %q is accepted", cpus)
		}
		if !bad["pids"] && pids != 0 && (pids < leastPIDs || pids > mostPIDs) {
			t.Errorf("pids %d is accepted", pids)
		}
		for _, s := range l.settings() {
			if len(bad) == 0 && (s.value == "" || strings.ContainsAny(strings.TrimSuffix(s.value, "\n"), "\n.-e") &&
				s.file != "cpuset.cpus") {
				t.Errorf("%s would be written %q", s.file, s.value)
			}
		}
		if math.IsNaN(l.CPU) && !bad["cpu"] {
			t.Error("NaN is accepted")
		}
	})
}

func TestTheMachinesMemory(t *testing.T) {
	for _, c := range []struct {
		name, text string
		want       Machine
		err        string
	}{
		{
			name: "a Jetson", text: "MemTotal:        7802808 kB\nMemFree:  1000 kB\nMemAvailable:    5242880 kB\nBuffers: 1 kB\n",
			want: Machine{7802808 << 10, 5 << 30},
		},
		{name: "incomplete", text: "MemTotal: 12 kB\n", err: "lacks MemTotal or MemAvailable"},
		{name: "no number", text: "MemTotal: much kB\n", err: `"much"`},
	} {
		proc := t.TempDir()
		if err := os.WriteFile(filepath.Join(proc, "meminfo"), []byte(c.text), 0o644); err != nil {
			t.Fatal(err)
		}
		got, err := ReadMachine(proc)
		if got != c.want || (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("%s: %+v, error %v; want %+v, %q", c.name, got, err, c.want, c.err)
		}
	}
}
