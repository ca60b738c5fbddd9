package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// unit is the service as systemd runs it, by the unit that ships.
type unit struct {
	since time.Time
	fails bool // whether the row makes it fail for good
}

const (
	unitName   = "vedette.service"
	dropInFile = "/etc/systemd/system/vedette.service.d/row.conf"
	configFile = "/etc/vedette/vedette.yaml"
	unitState  = "/var/lib/vedette/" // its state directory
)

func newUnit(r row, config string) (*unit, error) {
	var dropIn strings.Builder
	dropIn.WriteString("[Service]\n")
	for _, pair := range r.env {
		fmt.Fprintf(&dropIn, "Environment=%s\n", pair)
	}
	dropIn.WriteString(r.unit)
	for path, text := range map[string]string{dropInFile: dropIn.String(), configFile: config} {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return nil, err
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			return nil, err
		}
	}
	return &unit{since: time.Now(), fails: r.ends}, nil
}

func systemctl(ctx context.Context, args ...string) (string, error) {
	out, err := exec.CommandContext(ctx, "systemctl", args...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("systemctl %v: %w: %s", args, err, out)
	}
	return strings.TrimSpace(string(out)), nil
}

// property is one that systemd shows of the service.
func property(ctx context.Context, name string) (string, error) {
	return systemctl(ctx, "show", unitName, "--value", "-p", name)
}

func (u *unit) launch(ctx context.Context) error {
	if _, err := systemctl(ctx, "daemon-reload"); err != nil {
		return err
	}
	_, err := systemctl(ctx, "start", "--no-block", unitName)
	return err
}

func (u *unit) pid(ctx context.Context) (int, error) {
	text, err := property(ctx, "MainPID")
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(text)
}

// stop ends the service, of which nothing may be left.
func (u *unit) stop() error {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	_, err := systemctl(ctx, "stop", unitName)
	if result, resultErr := property(ctx, "Result"); resultErr != nil || result != "success" && !u.fails {
		err = errors.Join(err, fmt.Errorf("systemd's result of the service is %q, %w", result, resultErr))
	}
	if group, globErr := filepath.Glob("/sys/fs/cgroup/system.slice/" + unitName + "/*/cgroup.procs"); len(group) > 0 || globErr != nil {
		err = errors.Join(err, fmt.Errorf("cgroups are left: %v", group))
	}
	_, resetErr := systemctl(ctx, "reset-failed")
	return errors.Join(err, resetErr)
}

func (u *unit) log() string {
	out, _ := exec.Command("journalctl", "--no-pager", "-o", "cat", "-u", unitName, //nolint:gosec // a time
		"--since", "@"+strconv.FormatInt(u.since.Unix(), 10)).Output()
	return string(out)
}
