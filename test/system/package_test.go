//go:build system

package system

import (
	"bytes"
	"encoding/json"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"vedette/infer/onnxfile/tinymodel"
	"vedette/test/vm"
)

// One camera's picture is known, the other's goes through the kernel.
const packagedConfig = `
device: guest
cameras:
  - name: yard
    source: {scene: {size: 320x180, rate: 2}}
  - name: gate
    source: {v4l2: {size: 320x180, rate: 5}}
    rate: 1
infer:
  model: tiny
  deadlines: {run: 120s, load: 10m}
mqtt:
  brokers: [tcp://127.0.0.1:1883]
`

const (
	unitGroup  = "/sys/fs/cgroup/system.slice/vedette.service"
	stateModel = "/var/lib/vedette/models/tiny.onnx"
)

// packaged is a machine with the packages as they are built, the service as their unit runs it, and a subscriber outside.
type packaged struct {
	*watched
	before string // the files of that name before the packages came
}

// TestPackagesFromInstallToPurge is one machine's life. Each step builds on the one before.
func TestPackagesFromInstallToPurge(t *testing.T) {
	m := vm.Start(t, vm.Options{})
	p := &packaged{watched: fromOutside(t, m)}
	for _, step := range []struct {
		what string
		does func()
		long bool // left to the nightly run
	}{
		{"installed by apt, it says what it lacks", p.install, false},
		{"configured, it is active after READY, and a subscriber outside hears what it sees", p.configure, false},
		{"the worker is in a cgroup with its limits, without rights", p.limits, false},
		{"a worker that runs out of memory dies alone", p.outOfMemory, false},
		{"a boot is complete when the service is healthy", p.bootComplete, true},
		{"an upgrade while it runs loses no event", p.upgrade, false},
		{"systemd's watchdog starts a service again that hangs", p.hang, false},
		{"a downgrade while it runs loses no event", p.downgrade, true},
		{"a stop is clean", p.stop, false},
		{"it does its work on a root that is read-only", p.readOnly, true},
		{"removed, it leaves the operator's files", p.remove, true},
		{"purged, it leaves nothing", p.purge, false},
		{"apt installs it from a signed repository, and from no other", p.repository, true},
	} {
		if step.long && !nightly() {
			continue
		}
		began := time.Now()
		step.does()
		said := "seen"
		if t.Failed() {
			said = "not all is so"
		}
		t.Logf("%s, %.0f s: %s", said, time.Since(began).Seconds(), step.what)
	}
}

// debs are packages in a folder of build/deb, by pattern, as the guest sees them.
func (p *packaged) debs(folder string, patterns ...string) []string {
	p.t.Helper()
	var paths []string
	for _, pattern := range patterns {
		found, err := filepath.Glob(filepath.Join("../../build/deb", folder, pattern))
		if err != nil || len(found) != 1 {
			p.t.Fatalf("there are %d packages %s in build/deb/%s: 'make system-test' makes them", len(found), pattern, folder)
		}
		path := vm.Share + "/" + filepath.Base(found[0])
		p.Put(p.t.Context(), found[0], path)
		paths = append(paths, path)
	}
	return paths
}

func (p *packaged) apt(arguments ...string) {
	p.t.Helper()
	p.Succeed(p.t.Context(), append([]string{
		"env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "--quiet", "--yes", "--no-install-recommends",
	}, arguments...)...)
}

// named is every file of that name on the disk, but for the packages that lie in the share.
func (p *packaged) named() string {
	p.t.Helper()
	return p.Succeed(p.t.Context(), "find", "/", "-xdev", "-iname", "*vedette*")
}

func (p *packaged) property(name string) string {
	p.t.Helper()
	return p.Show(p.t.Context(), "vedette", name)[name]
}

// version is the program's, which has to be the package's.
func (p *packaged) version() string {
	p.t.Helper()
	var program struct{ Version string }
	if said := p.Succeed(p.t.Context(), "vedette", "version", "--json"); json.Unmarshal([]byte(said), &program) != nil {
		p.t.Fatalf("this is no JSON: %s", said)
	}
	if known := strings.TrimSpace(p.Succeed(p.t.Context(), "dpkg-query", "--show", "--showformat=${Version}", "vedette")); known != program.Version {
		p.t.Errorf("the program says it is %s, dpkg has %s", program.Version, known)
	}
	return program.Version
}

// sees waits for what becomes of both cameras' frames from now on, and holds those of the scene against it.
func (p *packaged) sees() {
	p.t.Helper()
	const topic = "vedette/guest/yard/detections"
	before := len(p.subscriber.Payloads(topic))
	p.detects("yard")
	p.detects("gate")
	for _, payload := range p.subscriber.Payloads(topic)[before:] {
		var message detections
		if err := json.Unmarshal([]byte(payload), &message); err != nil {
			p.t.Fatalf("%v: %s", err, payload)
		}
		if err := plausible(message); err != nil {
			p.t.Errorf("%v: %s", err, payload)
		}
	}
}

func (p *packaged) install() {
	ctx, arch := p.t.Context(), p.Guest.Arch
	p.before = p.named()
	p.apt(append([]string{"install"}, p.debs(arch, "vedette_*_"+arch+".deb", "vedette-onnxruntime_*_"+arch+".deb")...)...)
	p.version()
	// Nobody has said yet what it is to watch.
	p.until("the log says what is missing", func() bool {
		return strings.Contains(p.Journal(ctx, "vedette"), "no camera is configured: add one under cameras")
	})
	groups := strings.Fields(p.Succeed(ctx, "id", "--name", "--groups", "vedette"))
	if slices.Sort(groups); !slices.Equal(groups, []string{"render", "vedette", "video"}) {
		p.t.Errorf("the account is in %q", groups)
	}
}

func (p *packaged) configure() {
	ctx := p.t.Context()
	p.Succeed(ctx, "modprobe", "vivid", "n_devs=1", "node_types=0x1", "num_inputs=1", "input_types=0x0")
	var model bytes.Buffer
	if err := tinymodel.Write(&model, 64); err != nil {
		p.t.Fatal(err)
	}
	p.Write(ctx, stateModel, model.String())
	p.Write(ctx, configFile, packagedConfig)
	p.Succeed(ctx, "systemctl", "restart", "vedette") // of Type=notify: it returns after READY=1
	if state := p.Show(ctx, "vedette", "Type", "ActiveState", "SubState"); state["Type"] != "notify" || state["ActiveState"] != "active" || state["SubState"] != "running" {
		p.t.Errorf("after READY systemd has it as %v", state)
	}
	p.sees()
	p.Succeed(ctx, "vedette", "health", "--wait", "120s")
	p.until("systemctl status says what it does", func() bool {
		return strings.Contains(p.property("StatusText"), "2 cameras, 1 worker on cpu")
	})
}

// worker is the group of the only worker, or of the last one and the next.
func (p *packaged) worker() string {
	p.t.Helper()
	return strings.TrimSpace(p.Succeed(p.t.Context(), "sh", "-c", "echo "+unitGroup+"/inference-*"))
}

func (p *packaged) limits() {
	ctx, group := p.t.Context(), p.worker()
	for file, want := range map[string]string{"pids.max": "64", "memory.swap.max": "0", "memory.oom.group": "1"} {
		if got := strings.TrimSpace(string(p.Read(ctx, group+"/"+file))); got != want {
			p.t.Errorf("%s is %q, want %s", file, got, want)
		}
	}
	if memory, err := strconv.ParseInt(strings.TrimSpace(string(p.Read(ctx, group+"/memory.max"))), 10, 64); err != nil || memory <= 0 {
		p.t.Errorf("memory.max is %d, %v", memory, err)
	}
	for folder, argument := range map[string]string{group: "infer-worker", unitGroup + "/supervisor": "run"} {
		said := p.Succeed(ctx, "sh", "-c", "for p in $(cat "+folder+"/cgroup.procs); do tr '\\0' ' ' </proc/$p/cmdline; echo; "+
			"grep -E '^(CapEff|CapBnd|NoNewPrivs)' /proc/$p/status; done")
		command, rights, _ := strings.Cut(said, "\n")
		if !strings.Contains(command, argument) || rights != "CapEff:\t0000000000000000\nCapBnd:\t0000000000000000\nNoNewPrivs:\t1\n" {
			p.t.Errorf("in %s there is:\n%s", folder, said)
		}
	}
}

func (p *packaged) outOfMemory() {
	pid, group := p.property("MainPID"), p.worker()
	// The write itself waits for the kernel to have found memory; a group that is gone meanwhile fails it.
	p.Run(p.t.Context(), "sh", "-c", "echo 2M >"+group+"/memory.max")
	p.until("the service says what the worker died of", func() bool {
		return slices.ContainsFunc(p.subscriber.Payloads("vedette/guest/faults"), func(fault string) bool {
			return strings.Contains(fault, `"kind":"oom"`)
		})
	})
	p.sees()
	if now := p.worker(); now == group {
		p.t.Errorf("the worker is still in %s", group)
	}
	if now := p.Show(p.t.Context(), "vedette", "MainPID", "ActiveState"); now["MainPID"] != pid || now["ActiveState"] != "active" {
		p.t.Errorf("the service had process %s and is %v", pid, now)
	}
}

func (p *packaged) bootComplete() {
	ctx := p.t.Context()
	p.Succeed(ctx, "systemctl", "start", "boot-complete.target")
	if state := p.Show(ctx, "vedette-health", "ActiveState", "Result"); state["ActiveState"] != "active" || state["Result"] != "success" {
		p.t.Errorf("vedette-health is %v", state)
	}
	p.Succeed(ctx, "systemctl", "stop", "boot-complete.target", "vedette-health.service")
}

func (p *packaged) hang() {
	ctx := p.t.Context()
	pid, restarts := p.property("MainPID"), p.property("NRestarts")
	p.Succeed(ctx, "kill", "-STOP", pid)
	p.until("systemd has started it again", func() bool {
		now := p.Show(ctx, "vedette", "MainPID", "ActiveState", "NRestarts")
		return now["ActiveState"] == "active" && now["MainPID"] != pid && now["NRestarts"] != restarts
	})
	if journal := p.Journal(ctx, "vedette"); !strings.Contains(journal, "Watchdog timeout") {
		p.t.Errorf("it was not the watchdog:\n%s", journal)
	}
	p.sees()
}

func (p *packaged) stop() {
	ctx := p.t.Context()
	p.Succeed(ctx, "systemctl", "stop", "vedette")
	p.until("the broker hears of it", func() bool { return p.status() == "offline" })
	if state := p.Show(ctx, "vedette", "Result", "ActiveState"); state["Result"] != "success" || state["ActiveState"] != "inactive" {
		p.t.Errorf("systemd says %v", state)
	}
	if left := p.Run(ctx, "pgrep", "--list-full", "--exact", "vedette"); left.ExitCode != 1 {
		p.t.Errorf("there are processes left: %s", left.Stdout)
	}
	if left := p.Run(ctx, "test", "-e", unitGroup); left.ExitCode == 0 {
		p.t.Error("its cgroup is left")
	}
}

func (p *packaged) remove() {
	ctx := p.t.Context()
	p.Succeed(ctx, "systemctl", "start", "vedette")
	p.apt("remove", "vedette")
	if state := p.property("ActiveState"); state != "inactive" {
		p.t.Errorf("the service is %s", state)
	}
	if there := p.Run(ctx, "test", "-e", "/usr/bin/vedette"); there.ExitCode == 0 {
		p.t.Error("the program is still there")
	}
	for _, kept := range []string{configFile, stateModel} {
		p.Succeed(ctx, "test", "-e", kept)
	}
}

func (p *packaged) purge() {
	ctx := p.t.Context()
	p.apt("purge", "vedette", "vedette-onnxruntime")
	if left := p.named(); left != p.before {
		p.t.Errorf("before the packages there was\n%safter them\n%s", p.before, left)
	}
	for _, base := range []string{"passwd", "group"} {
		if left := p.Run(ctx, "getent", base, "vedette"); left.ExitCode == 0 {
			p.t.Errorf("the account is left: %s", left.Stdout)
		}
	}
	if state := p.Show(ctx, "vedette", "LoadState"); state["LoadState"] != "not-found" {
		p.t.Errorf("systemd still knows the unit: %v", state)
	}
}
