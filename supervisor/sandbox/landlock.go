package sandbox

import (
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The rights that a rule gives. A file takes no rights that are for folders.
const (
	readFile   = unix.LANDLOCK_ACCESS_FS_READ_FILE
	readRights = readFile | unix.LANDLOCK_ACCESS_FS_READ_DIR

	executeRights = readRights | unix.LANDLOCK_ACCESS_FS_EXECUTE

	writeFile   = readFile | unix.LANDLOCK_ACCESS_FS_WRITE_FILE | unix.LANDLOCK_ACCESS_FS_TRUNCATE
	writeRights = writeFile | readRights |
		unix.LANDLOCK_ACCESS_FS_MAKE_REG | unix.LANDLOCK_ACCESS_FS_MAKE_DIR | unix.LANDLOCK_ACCESS_FS_REMOVE_FILE |
		unix.LANDLOCK_ACCESS_FS_REMOVE_DIR | unix.LANDLOCK_ACCESS_FS_REFER

	deviceRights = readFile | unix.LANDLOCK_ACCESS_FS_WRITE_FILE | unix.LANDLOCK_ACCESS_FS_IOCTL_DEV

	fileRights = writeFile | unix.LANDLOCK_ACCESS_FS_EXECUTE | unix.LANDLOCK_ACCESS_FS_IOCTL_DEV
)

// landlockVersion is the version of the kernel's Landlock; an error says why there is none.
func landlockVersion() (int, error) {
	version, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION)
	switch errno {
	case 0:
		return int(version), nil
	case unix.ENOSYS:
		return 0, errors.New("this kernel is older than 5.13, or built without it (CONFIG_SECURITY_LANDLOCK)")
	case unix.EOPNOTSUPP:
		return 0, errors.New("this kernel has it, and was not told to use it: add landlock to lsm= of its command line")
	case unix.EPERM:
		return 0, errors.New("the service manager or the container forbids it: allow the system calls landlock_*")
	}
	return 0, fmt.Errorf("the kernel refuses it: %w", errno)
}

// handled is what a ruleset denies where no rule allows it: everything that this version of Landlock knows of, up to
// version 6. (landlock(7); Documentation/userspace-api/landlock.rst.)
func (p Policy) handled(version int) unix.LandlockRulesetAttr {
	const (
		first        = unix.LANDLOCK_ACCESS_FS_MAKE_SYM<<1 - 1 // version 1's rights are the lowest bits
		sinceRefer   = 2
		sinceShorten = 3
		sinceTCP     = 4
		sinceIoctl   = 5
		sinceScope   = 6
	)
	attr := unix.LandlockRulesetAttr{Handled_access_fs: first}
	if version >= sinceRefer {
		attr.Handled_access_fs |= unix.LANDLOCK_ACCESS_FS_REFER
	}
	if version >= sinceShorten {
		attr.Handled_access_fs |= unix.LANDLOCK_ACCESS_FS_TRUNCATE
	}
	if version >= sinceTCP && !p.Network {
		attr.Handled_access_net = unix.LANDLOCK_ACCESS_NET_BIND_TCP | unix.LANDLOCK_ACCESS_NET_CONNECT_TCP
	}
	if version >= sinceIoctl {
		attr.Handled_access_fs |= unix.LANDLOCK_ACCESS_FS_IOCTL_DEV
	}
	if version >= sinceScope {
		attr.Scoped = unix.LANDLOCK_SCOPE_SIGNAL
		if !p.Network {
			attr.Scoped |= unix.LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET
		}
	}
	return attr
}

// restrictFiles puts the calling thread under Landlock; version 0 is none.
func (p Policy) restrictFiles(version int) error {
	if version == 0 {
		return nil
	}
	attr := p.handled(version)
	// An older kernel takes a longer structure as long as what it does not know is 0.
	fd, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, uintptr(unsafe.Pointer(&attr)), unsafe.Sizeof(attr), 0)
	if errno != 0 {
		return fmt.Errorf("cannot make a Landlock ruleset: %w", errno)
	}
	ruleset := int(fd)
	defer func() { _ = unix.Close(ruleset) }()

	devices, err := expand(p.Devices)
	if err != nil {
		return err
	}
	for _, rule := range []struct {
		paths  []string
		rights uint64
	}{
		{p.Read, readRights},
		{p.ReadExecute, executeRights},
		{p.Write, writeRights},
		{devices, deviceRights},
	} {
		for _, path := range rule.paths {
			if err := allow(ruleset, path, rule.rights&attr.Handled_access_fs); err != nil {
				return err
			}
		}
	}
	if _, _, errno := unix.Syscall(unix.SYS_LANDLOCK_RESTRICT_SELF, uintptr(ruleset), 0, 0); errno != 0 {
		return fmt.Errorf("cannot enter the Landlock ruleset: %w", errno)
	}
	return nil
}

func expand(patterns []string) ([]string, error) {
	var paths []string
	for _, pattern := range patterns {
		found, err := filepath.Glob(pattern)
		if err != nil {
			return nil, fmt.Errorf("cannot find devices %s: %w", pattern, err)
		}
		paths = append(paths, found...)
	}
	return paths, nil
}

// allow adds a rule. What is not there, and what this user cannot reach, needs none.
func allow(ruleset int, path string, rights uint64) error {
	fd, err := unix.Open(path, unix.O_PATH|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.EACCES) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("cannot allow %s: %w", path, err)
	}
	defer func() { _ = unix.Close(fd) }()
	var stat unix.Stat_t
	if err := unix.Fstat(fd, &stat); err != nil {
		return fmt.Errorf("cannot allow %s: %w", path, err)
	}
	if stat.Mode&unix.S_IFMT != unix.S_IFDIR {
		rights &= fileRights
	}
	rule := unix.LandlockPathBeneathAttr{Allowed_access: rights, Parent_fd: int32(fd)}
	_, _, errno := unix.Syscall6(unix.SYS_LANDLOCK_ADD_RULE, uintptr(ruleset), unix.LANDLOCK_RULE_PATH_BENEATH,
		uintptr(unsafe.Pointer(&rule)), 0, 0, 0)
	runtime.KeepAlive(&rule)
	if errno != 0 {
		return fmt.Errorf("cannot allow %s: %w", path, errno)
	}
	return nil
}
