// Package systemd_test checks the units that the packages install.
package systemd_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const (
	unit       = "vedette.service"
	healthUnit = "vedette-health.service"
)

// directive is a line of a unit, with its section and the comment right above it.
type directive struct{ section, key, value, comment string }

func directives(t *testing.T, path string) []directive {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var all []directive
	section, comment := "", ""
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(line, "#"):
			comment += line
		case strings.HasPrefix(line, "["):
			section, comment = strings.Trim(line, "[]"), ""
		case line == "":
			comment = ""
		default:
			key, value, ok := strings.Cut(line, "=")
			if !ok {
				t.Fatalf("%s: %q is no directive", path, line)
			}
			all = append(all, directive{section, key, value, comment})
			comment = ""
		}
	}
	return all
}

func dropIns(t *testing.T) []string {
	t.Helper()
	paths, err := filepath.Glob("examples/*.conf")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no examples: %v", err)
	}
	return paths
}

func TestEachLineSaysWhatItIsFor(t *testing.T) {
	tegra, err := filepath.Glob("../ota/tegra/*.conf")
	if err != nil || len(tegra) != 2 {
		t.Fatalf("the drop-ins for Jetsons' units are %v, %v", tegra, err)
	}
	for _, path := range append(append(dropIns(t), tegra...), unit, healthUnit) {
		for _, d := range directives(t, path) {
			if len(d.comment) < len("# It is so.") {
				t.Errorf("%s: no comment above %s=%s", path, d.key, d.value)
			}
		}
	}
}

// values are all of a key, in their order.
func values(all []directive, key string) []string {
	var found []string
	for _, d := range all {
		if d.key == key {
			found = append(found, d.value)
		}
	}
	return found
}

// A better score of `systemd-analyze security` is to be had by breaking one of these.
func TestHardeningLeavesTheServiceWhatItNeeds(t *testing.T) {
	all := directives(t, unit)
	for key, want := range map[string]string{
		"Type":                 "notify", // 252 knows no other that waits for READY=1
		"NotifyAccess":         "main",
		"Delegate":             "cpu cpuset memory pids",
		"ProtectControlGroups": "no",
		"RestrictNamespaces":   "no",
		"PrivateDevices":       "no",
		"ProcSubset":           "all",
		"ProtectClock":         "no",
		"OOMPolicy":            "continue",
		"KillMode":             "mixed",
		"Restart":              "always",
	} {
		if got := values(all, key); !slices.Equal(got, []string{want}) {
			t.Errorf("%s=%q, want %q", key, got, want)
		}
	}
	for _, key := range []string{"DelegateSubgroup", "FailureAction", "StartLimitAction", "RestartPreventExitStatus", "PrivateUsers"} {
		if got := values(all, key); got != nil {
			t.Errorf("%s=%q has no place in the unit", key, got)
		}
	}
}

func analyze(t *testing.T, args ...string) string {
	t.Helper()
	program, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("systemd-analyze is not installed (package systemd)")
	}
	out, err := exec.Command(program, args...).CombinedOutput()
	if err != nil {
		t.Errorf("systemd-analyze %s: %v", strings.Join(args, " "), err)
	}
	return string(out)
}

// allowed are the system calls that a group of systemd's stands for.
func allowed(t *testing.T, group string) []string {
	t.Helper()
	var calls []string
	for line := range strings.Lines(analyze(t, "syscall-filter", group)) {
		switch line = strings.TrimSpace(line); {
		case line == group, line == "", strings.HasPrefix(line, "#"):
		case strings.HasPrefix(line, "@"):
			calls = append(calls, allowed(t, line)...)
		default:
			calls = append(calls, line)
		}
	}
	return calls
}

func TestSystemCallsOfServiceAndWorkerAreAllowed(t *testing.T) {
	var calls []string
	for _, value := range values(directives(t, unit), "SystemCallFilter") {
		for _, name := range strings.Fields(value) {
			if strings.HasPrefix(name, "@") {
				calls = append(calls, allowed(t, name)...)
			} else {
				calls = append(calls, name)
			}
		}
	}
	for _, want := range []string{
		"adjtimex",                                      // identity.ClockSynced
		"memfd_create", "mmap", "sendmsg", "socketpair", // the ring and its way to the worker
		"clone3", "execve", "pidfd_open", "pidfd_send_signal", "waitid", // a worker's life
		"prlimit64", "sched_setaffinity", "prctl", // what it is limited by
		"seccomp", "landlock_create_ruleset", "landlock_add_rule", "landlock_restrict_self", // its sandbox
		"fsync", "renameat", "mbind", "ioctl",
	} {
		if !slices.Contains(calls, want) {
			t.Errorf("%s is refused", want)
		}
	}
	for _, not := range []string{"ptrace", "mount", "bpf", "reboot", "init_module", "settimeofday"} {
		if slices.Contains(calls, not) {
			t.Errorf("%s is allowed", not)
		}
	}
}

// staged is a copy of the unit with drop-ins, whose program is there.
func staged(t *testing.T, dropIns ...string) string {
	t.Helper()
	folder := t.TempDir()
	text, err := os.ReadFile(unit)
	if err != nil {
		t.Fatal(err)
	}
	const program = "ExecStart=/usr/bin/vedette "
	if !strings.Contains(string(text), program) {
		t.Fatalf("the unit does not start with %s", program)
	}
	here := strings.Replace(string(text), program, "ExecStart="+os.Args[0]+" ", 1)
	path := filepath.Join(folder, unit)
	if err := os.WriteFile(path, []byte(here), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(path+".d", 0o700); err != nil {
		t.Fatal(err)
	}
	for _, dropIn := range dropIns {
		text, err := os.ReadFile(dropIn)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(path+".d", filepath.Base(dropIn)), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return path
}

func TestSystemdAcceptsTheUnit(t *testing.T) {
	for _, c := range []struct {
		name    string
		dropIns []string
		newer   string // what an older systemd does not know
	}{
		{"alone", nil, ""},
		{"reboot", []string{"examples/reboot.conf"}, ""},
		{"notify-reload", []string{"examples/notify-reload.conf"}, "Failed to parse service type"},
	} {
		t.Run(c.name, func(t *testing.T) {
			said := analyze(t, "verify", "--man=no", staged(t, c.dropIns...))
			if c.newer != "" && strings.Contains(said, c.newer) {
				t.Skipf("this systemd is too old for it: %s", said)
			}
			if said != "" {
				t.Error(said)
			}
		})
	}
}

// Whoever waits for boot-complete.target waits for the service's health, and nobody else does.
func TestABootIsCompleteWhenTheServiceIsHealthy(t *testing.T) {
	all := directives(t, healthUnit)
	for key, want := range map[string]string{
		"Before": "boot-complete.target", "RequiredBy": "boot-complete.target", "After": "vedette.service", "WantedBy": "",
		"Type": "oneshot", "TimeoutStartSec": "infinity",
	} {
		if got := strings.Join(values(all, key), " "); got != want {
			t.Errorf("%s=%q, want %q", key, got, want)
		}
	}
}

// Whatever makes a slot good does so only after a good answer: ordered alone it would after a bad one too, required alone at the same time.
func TestWhatMakesASlotGoodWaitsForHealth(t *testing.T) {
	for path, awaited := range map[string]string{
		"../ota/rauc/rauc-mark-good.service":         "boot-complete.target",
		"../ota/tegra/nv_update_verifier.conf":       healthUnit,
		"../ota/tegra/nv-l4t-bootloader-config.conf": healthUnit,
	} {
		all := directives(t, path)
		for _, key := range []string{"Requires", "After"} {
			if got := values(all, key); !slices.Equal(got, []string{awaited}) {
				t.Errorf("%s: %s=%q, want %q", path, key, got, awaited)
			}
		}
	}
}

func TestTheVerifierSeesMistakes(t *testing.T) {
	mistake := filepath.Join(t.TempDir(), "mistake.conf")
	if err := os.WriteFile(mistake, []byte("[Service]\nProtectEverything=yes\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if said := analyze(t, "verify", "--man=no", staged(t, mistake)); !strings.Contains(said, "ProtectEverything") {
		t.Errorf("it says %q", said)
	}
}

// The score is no goal: it is written down in docs/OPERATIONS.md, and what a worker can do is tested in a whole machine.
func TestSecurityScore(t *testing.T) {
	lines := strings.Split(strings.TrimSpace(analyze(t, "security", "--no-pager", "--offline=true", staged(t))), "\n")
	t.Log(lines[len(lines)-1])
}
