package cgroup

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// fixture is a machine in a folder: the kernel's files as a tree of text. A path that ends in a slash is a folder.
func fixture(t *testing.T, files map[string]string) (root, proc string) {
	t.Helper()
	base := t.TempDir()
	for name, text := range files {
		path := filepath.Join(base, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(name, "/") {
			if err := os.MkdirAll(path, 0o755); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("42", filepath.Join(base, "proc/self")); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(base, "cgroup"), filepath.Join(base, "proc")
}

// machine is one on which a group is given to process 42, which has started 43.
func machine(changes map[string]string) map[string]string {
	const group = "cgroup/container/vedette/"
	files := map[string]string{
		"cgroup/cgroup.controllers":       "cpuset cpu io memory pids\n",
		group + "cgroup.controllers":      "cpuset cpu memory pids\n",
		group + "cgroup.subtree_control":  "",
		group + "cgroup.procs":            "42\n43\n44\n",
		group + "supervisor/cgroup.procs": "",
		"proc/42/cgroup":                  "0::/container/vedette\n",
		"proc/42/status":                  "Name:\tvedette\nPid:\t42\nPPid:\t1\n",
		"proc/43/status":                  "Name:\tffmpeg\nPid:\t43\nPPid:\t42\n",
		"proc/44/status":                  "Name:\tsh\nPid:\t44\nPPid:\t43\n",
		"proc/51/status":                  "Name:\tbash\nPid:\t51\nPPid:\t1\n",
		"proc/51/comm":                    "bash\n",
	}
	for name, text := range changes {
		name = strings.Replace(name, "GROUP/", group, 1)
		if text == "gone" {
			delete(files, name)
			continue
		}
		files[name] = text
	}
	return files
}

func content(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestOpenMovesTheServiceAside(t *testing.T) {
	root, proc := fixture(t, machine(nil))
	tree, err := Open(t.Context(), root, proc)
	if err != nil {
		t.Fatal(err)
	}
	if want := filepath.Join(root, "container/vedette"); tree.Dir() != want {
		t.Errorf("delegated group %s, want %s", tree.Dir(), want)
	}
	if got := content(t, filepath.Join(tree.Dir(), "supervisor/cgroup.procs")); got != "44" { // the last of 42, 43, 44
		t.Errorf("last process moved is %q", got)
	}
	if got := tree.Controllers(); !slices.Equal(got, []string{"memory", "pids", "cpu", "cpuset"}) || len(tree.Remarks()) != 0 {
		t.Errorf("controllers %q, remarks %q", got, tree.Remarks())
	}
}

func TestSomeControllersAreBetterThanNone(t *testing.T) {
	root, proc := fixture(t, machine(map[string]string{"GROUP/cgroup.controllers": "memory pids\n"}))
	tree, err := Open(t.Context(), root, proc)
	if err != nil {
		t.Fatal(err)
	}
	if got := tree.Controllers(); !slices.Equal(got, []string{"memory", "pids"}) {
		t.Errorf("controllers %q", got)
	}
	remarks := strings.Join(tree.Remarks(), "\n")
	if !strings.Contains(remarks, "controller cpu do not hold") || !strings.Contains(remarks, "controller cpuset do not") {
		t.Errorf("remarks %q", remarks)
	}
	g, err := tree.New("worker", 1)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"memory.max", "memory.swap.max", "pids.max"} { // memory.oom.group is not in old kernels
		if err := os.WriteFile(filepath.Join(g.Path(), name), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := g.Apply(Limits{Memory: 1 << 30, CPU: 1, CPUSet: "0", PIDs: 64}); err != nil {
		t.Error(err)
	}
	if got := content(t, filepath.Join(g.Path(), "memory.max")); got != "1073741824" {
		t.Errorf("memory.max is %q", got)
	}
	if err := os.Remove(filepath.Join(g.Path(), "pids.max")); err != nil {
		t.Fatal(err)
	}
	if err := g.Apply(Limits{PIDs: 64}); err == nil || !strings.Contains(err.Error(), "pids.max") {
		t.Errorf("a limit that cannot be set: error %v", err)
	}
}

func TestASubgroupOfSystemdsIsUnderstood(t *testing.T) {
	root, proc := fixture(t, machine(map[string]string{
		"proc/42/cgroup": "0::/container/vedette/supervisor\n", "GROUP/cgroup.procs": "",
		"GROUP/supervisor/cgroup.procs": "42\n",
	}))
	got, err := Find(root, proc)
	if err != nil || got != filepath.Join(root, "container/vedette") {
		t.Errorf("found %s, error %v", got, err)
	}
}

func TestUnavailableSaysWhyAndWhatToDo(t *testing.T) {
	for _, c := range []struct {
		name         string
		files        map[string]string
		reason, hint string
	}{
		{
			"version 1",
			map[string]string{"cgroup/memory/": "", "proc/42/cgroup": "4:memory:/x\n"},
			"is not cgroup v2", "unified_cgroup_hierarchy=1",
		},
		{
			"hybrid",
			map[string]string{"cgroup/cgroup.controllers": "hugetlb\n", "proc/42/cgroup": "4:memory:/x\n"},
			"names no cgroup v2 group", "unified_cgroup_hierarchy=1",
		},
		{
			"another namespace", machine(map[string]string{"proc/42/cgroup": "0::/../other\n"}),
			"outside its cgroup namespace", "Delegate=",
		},
		{
			"somebody else's processes", machine(map[string]string{"GROUP/cgroup.procs": "42\n51\n"}),
			"holds process 51 (bash)", "Delegate=",
		},
		{
			"a process of another namespace", machine(map[string]string{"GROUP/cgroup.procs": "42\n0\n"}),
			"holds process 0", "Delegate=",
		},
		{
			"no controller", machine(map[string]string{"GROUP/cgroup.controllers": "io\n"}),
			"none of the controllers memory, pids, cpu, cpuset", "Delegate=memory pids cpu cpuset",
		},
		{
			"no such group", machine(map[string]string{"GROUP/cgroup.subtree_control": "gone"}),
			"cgroup.subtree_control cannot be used", "Delegate=",
		},
	} {
		root, proc := fixture(t, c.files)
		_, err := Open(t.Context(), root, proc)
		var unavailable *Unavailable
		if !errors.As(err, &unavailable) {
			t.Errorf("%s: error %v", c.name, err)
			continue
		}
		if !strings.Contains(unavailable.Reason, c.reason) || !strings.Contains(unavailable.Remedy, c.hint) {
			t.Errorf("%s: %q, remedy %q; want %q, %q", c.name, unavailable.Reason, unavailable.Remedy, c.reason, c.hint)
		}
	}
}

func TestWithoutDelegationNothingIsWritten(t *testing.T) {
	root, proc := fixture(t, machine(map[string]string{"GROUP/cgroup.procs": "42\n"}))
	group := filepath.Join(root, "container/vedette")
	if err := os.RemoveAll(filepath.Join(group, "supervisor")); err != nil {
		t.Fatal(err)
	}
	for path, mode := range map[string]os.FileMode{group: 0o555, filepath.Join(root, "../.."): 0o755} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
	defer func() { _ = os.Chmod(group, 0o755) }()
	err := asNobody(func() error { _, err := Open(t.Context(), root, proc); return err })
	var unavailable *Unavailable
	if !errors.As(err, &unavailable) || !strings.Contains(unavailable.Reason, "is not delegated to this user") {
		t.Fatalf("error %v", err)
	}
	if _, err := os.Stat(filepath.Join(group, "supervisor")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("supervisor/ was made all the same: %v", err)
	}
}

func TestRootAsksWhetherSystemdHasDelegatedTheGroup(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can write to a group that nobody gave it")
	}
	files := machine(map[string]string{"proc/42/cgroup": "0::/vedette.service\n"})
	for _, name := range []string{"cgroup.procs", "cgroup.subtree_control", "cgroup.controllers"} {
		files["cgroup/vedette.service/"+name] = ""
	}
	root, proc := fixture(t, files)
	dir := filepath.Join(root, "vedette.service")
	if _, err := Find(root, proc); err == nil || !strings.Contains(err.Error(), "belongs to systemd, which has not delegated it") {
		t.Errorf("error %v", err)
	}
	if err := unix.Setxattr(dir, "user.delegate", []byte("1"), 0); err != nil {
		t.Skipf("the file system of %s has no attributes: %v", dir, err)
	}
	if got, err := Find(root, proc); got != dir || err != nil {
		t.Errorf("found %q, error %v", got, err)
	}
}

// asNobody calls f in a thread without root's powers, which ends with it.
func asNobody(f func() error) error {
	result := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread is thrown away
		const nobody = 65534
		if os.Getuid() == 0 {
			if _, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, nobody, nobody, nobody); errno != 0 {
				result <- fmt.Errorf("cannot become nobody: %w", errno)
				return
			}
		}
		result <- f()
	}()
	return <-result
}

func TestReadOnlyIsSaid(t *testing.T) {
	if u := notWritable("/sys/fs/cgroup/x", unix.EROFS); !strings.Contains(u.Error(), "read-only") {
		t.Errorf("%v", u)
	}
}

func TestAWorkersNameBecomesAGroupsName(t *testing.T) {
	root, proc := fixture(t, machine(nil))
	tree, err := Open(t.Context(), root, proc)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"inference-infer-worker-2-7", "inference-infer-worker-2-7.1"} { // the first is in use
		g, err := tree.New("infer-worker-2", 7)
		if err != nil {
			t.Fatal(err)
		}
		if filepath.Base(g.Path()) != want {
			t.Errorf("group %s, want %s", g.Path(), want)
		}
		if g.Dir().Name() != g.Path() {
			t.Errorf("folder %s of group %s", g.Dir().Name(), g.Path())
		}
	}
	for _, name := range []string{"", "../../etc", "a/b"} {
		if g, err := tree.New(name, 1); err == nil {
			t.Errorf("worker %q got the group %s", name, g.Path())
		}
	}
}
