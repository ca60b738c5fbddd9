package cgroup

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Unavailable says why this process cannot have cgroups of its own.
type Unavailable struct {
	Reason string
	Remedy string // what a person can do
}

// Error puts the reason before the remedy.
func (u *Unavailable) Error() string { return u.Reason + ": " + u.Remedy }

const asService = "run vedette as its systemd service, whose unit has Delegate="

// Find gives the group that was delegated to this process. It changes nothing. root is where the kernel shows cgroup v2,
// /sys/fs/cgroup; proc is /proc. Its error is an *Unavailable.
func Find(root, proc string) (string, error) {
	if _, err := os.Stat(filepath.Join(root, "cgroup.controllers")); errors.Is(err, fs.ErrNotExist) {
		return "", &Unavailable{
			root + " is not cgroup v2",
			"boot with systemd.unified_cgroup_hierarchy=1 on the kernel's command line (JetPack 5 needs it)",
		}
	}
	dir, err := ownGroup(root, proc)
	if err != nil {
		return "", err
	}
	for _, name := range []string{"", "cgroup.procs", "cgroup.subtree_control"} {
		if err := unix.Access(filepath.Join(dir, name), unix.W_OK); err != nil {
			return "", notWritable(filepath.Join(dir, name), err)
		}
	}
	// root may write everywhere: it takes more to tell that a group is ours.
	if os.Geteuid() == 0 && isUnit(dir) && !isMarked(dir) {
		return "", &Unavailable{dir + " belongs to systemd, which has not delegated it", asService}
	}
	if err := refuseStrangers(dir, proc); err != nil {
		return "", err
	}
	return dir, nil
}

func ownGroup(root, proc string) (string, error) {
	membership := filepath.Join(proc, "self", "cgroup")
	text, err := os.ReadFile(membership)
	if err != nil {
		return "", &Unavailable{fmt.Sprintf("cannot read %s: %v", membership, err), "mount /proc"}
	}
	for line := range strings.Lines(string(text)) {
		path, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "0::")
		if !ok {
			continue
		}
		if slices.Contains(strings.Split(path, "/"), "..") {
			return "", &Unavailable{
				fmt.Sprintf("the process is in cgroup %s, outside its cgroup namespace", path), asService,
			}
		}
		dir := filepath.Join(root, path)
		if filepath.Base(dir) == supervisorName { // DelegateSubgroup=, or a program that started itself again
			dir = filepath.Dir(dir)
		}
		return dir, nil
	}
	return "", &Unavailable{
		membership + " names no cgroup v2 group",
		"boot with systemd.unified_cgroup_hierarchy=1 on the kernel's command line",
	}
}

func isUnit(dir string) bool {
	return slices.Contains([]string{".service", ".scope", ".slice"}, filepath.Ext(dir))
}

// isMarked tells whether systemd says that it keeps its hands off a group. What it has not delegated it turns controllers
// off in, at the next daemon-reload. systemd.io/CGROUP_DELEGATION names the attribute; version 251 and later set the
// one that needs no privilege to read, too.
func isMarked(dir string) bool {
	for _, name := range []string{"user.delegate", "trusted.delegate"} {
		value := make([]byte, 1)
		if n, err := unix.Getxattr(dir, name, value); err == nil && string(value[:n]) == "1" {
			return true
		}
	}
	return false
}

func notWritable(path string, err error) *Unavailable {
	switch {
	case errors.Is(err, unix.EROFS):
		return &Unavailable{
			path + " is on a read-only file system",
			"take ProtectControlGroups= out of the unit; in a container, mount the cgroup file system writable",
		}
	case errors.Is(err, fs.ErrPermission):
		return &Unavailable{path + " is not delegated to this user", asService}
	}
	return &Unavailable{fmt.Sprintf("%s cannot be used: %v", path, err), asService}
}

// refuseStrangers makes sure that moving every process out of the group disturbs nobody.
func refuseStrangers(dir, proc string) error {
	self, err := os.Readlink(filepath.Join(proc, "self"))
	if err != nil {
		return &Unavailable{fmt.Sprintf("cannot tell this process's number: %v", err), "mount /proc"}
	}
	own, err := strconv.Atoi(self)
	if err != nil {
		return &Unavailable{fmt.Sprintf("cannot tell this process's number: %v", err), "mount /proc"}
	}
	pids, err := processes(dir)
	if err != nil {
		return &Unavailable{err.Error(), asService}
	}
	for _, pid := range pids {
		if !descends(proc, pid, own) {
			return &Unavailable{
				fmt.Sprintf("%s also holds process %d (%s), which is not vedette's", dir, pid, command(proc, pid)), asService,
			}
		}
	}
	return nil
}

// descends tells whether pid is own or a child of it, at any depth. A process that is gone disturbs nobody either.
func descends(proc string, pid, own int) bool {
	if pid == 0 { // the kernel's word for a process outside this process's namespace
		return false
	}
	for pid != own {
		if pid <= 1 {
			return false
		}
		status, err := os.ReadFile(filepath.Join(proc, strconv.Itoa(pid), "status"))
		if err != nil {
			return errors.Is(err, fs.ErrNotExist)
		}
		_, rest, _ := strings.Cut(string(status), "\nPPid:")
		number, _, _ := strings.Cut(rest, "\n")
		if pid, err = strconv.Atoi(strings.TrimSpace(number)); err != nil {
			return false
		}
	}
	return true
}

func command(proc string, pid int) string {
	name, err := os.ReadFile(filepath.Join(proc, strconv.Itoa(pid), "comm"))
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(name))
}

// processes lists the processes of one group, without those of groups below it.
func processes(dir string) ([]int, error) {
	path := filepath.Join(dir, "cgroup.procs")
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("cannot list processes: %w", err)
	}
	var pids []int
	for _, field := range strings.Fields(string(text)) {
		pid, err := strconv.Atoi(field)
		if err != nil {
			return nil, fmt.Errorf("cannot list processes: %s says %q", path, field)
		}
		pids = append(pids, pid)
	}
	return pids, nil
}
