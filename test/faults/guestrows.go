package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// The worker's cache is the one folder that it may write: here it is a file system that can be frozen.
const cacheFolder = "/var/lib/vedette/cache"

func guestRows() []row {
	const slow = "deadlines: {run: 60s, load: 5m}"
	return []row{
		{
			3, "child in uninterruptible sleep", "guest", "",
			[]string{"VEDETTE_INJECT_PATH=" + cacheFolder + "/x", "VEDETTE_INJECT_DEGRADED_DELAY=3s"},
			"", uninterruptible, false,
		},
		{
			3, "the same, where the reboot policy is configured", "guest",
			"infer: {model: MODEL, " + slow + ", unreapable: exit}\n",
			[]string{"VEDETTE_INJECT_PATH=" + cacheFolder + "/x"},
			"RestartPreventExitStatus=75\n", unreapableExit, true,
		},
		{
			6, "child over memory.max", "guest", "infer: {model: MODEL, " + slow + ", limits: {memory: 192MiB}}\n", nil, "",
			outOfMemory, false,
		},
		{
			7, "child forks without end, and spins", "guest",
			"infer: {model: MODEL, " + slow + ", limits: {pids: 40, cpu: 50%}}\n", nil, "", greed, false,
		},
		{
			// Emulated, and with a fifth of a processor, the tiny model's load takes many seconds.
			11, "model load longer than TimeoutStartSec", "guest",
			"infer: {model: MODEL, " + slow + ", limits: {cpu: 20%}}\n", nil, "TimeoutStartSec=2s\n", slowLoad, false,
		},
		{12, "supervisor loop wedged", "guest", "", nil, "WatchdogSec=8s\n", wedge, false},
		{26, "child reaches for what is not its own", "guest", "", nil, "", reach, false},
		{20, "wall clock steps, fsync takes long", "guest", "", []string{impatient}, "", clockAndDisk, false},
	}
}

// run runs a command of the guest's.
func run(ctx context.Context, argv ...string) error {
	if out, err := exec.CommandContext(ctx, argv[0], argv[1:]...).CombinedOutput(); err != nil {
		return fmt.Errorf("%v: %w: %s", argv, err, out)
	}
	return nil
}

// frames is how many frames have been captured.
func (s *subject) frames(ctx context.Context) (float64, error) {
	return s.metric(ctx, "vedette_camera_frames_total")
}

func slowLoad(ctx context.Context, _ *subject) (string, error) {
	active, err := property(ctx, "ActiveState")
	if err != nil || active != "active" {
		return "", fmt.Errorf("the service is %s, %w", active, err)
	}
	restarts, err := property(ctx, "NRestarts")
	if err != nil || restarts != "0" {
		return "", fmt.Errorf("systemd started it again %s times, %w", restarts, err)
	}
	started, err := property(ctx, "ExecMainStartTimestampMonotonic")
	if err != nil {
		return "", err
	}
	ready, err := property(ctx, "ActiveEnterTimestampMonotonic")
	if err != nil {
		return "", err
	}
	from, fromErr := strconv.ParseInt(started, 10, 64)
	to, toErr := strconv.ParseInt(ready, 10, 64)
	took := time.Duration(to-from) * time.Microsecond
	if err := errors.Join(fromErr, toErr); err != nil || took <= 4*time.Second {
		return "", fmt.Errorf("ready after %v, %w", took, err)
	}
	return fmt.Sprintf("ready after %v with TimeoutStartSec=2s, not started again", took.Round(100*time.Millisecond)), nil
}

func wedge(ctx context.Context, s *subject) (string, error) {
	w, err := s.worker(ctx, 1)
	if err != nil {
		return "", err
	}
	parent, err := s.service.pid(ctx)
	if err != nil {
		return "", err
	}
	if err := s.order(parent, 1); err != nil {
		return "", err
	}
	if err := until(ctx, func() error {
		if !strings.Contains(s.service.log(), "injected fault 1") {
			return errors.New("the service has not heard the order")
		}
		return nil
	}); err != nil {
		return "", err
	}
	if err := syscall.Kill(w.PID, syscall.SIGKILL); err != nil {
		return "", err
	}
	if err := until(ctx, func() error {
		restarts, err := property(ctx, "NRestarts")
		if err == nil && restarts == "0" {
			err = errors.New("systemd has not started the service again")
		}
		return err
	}); err != nil {
		return "", err
	}
	stacks, err := os.ReadFile("/var/lib/vedette/watchdog-stacks.txt")
	if err != nil || !bytes.Contains(stacks, []byte("inject.Wedge")) {
		return "", fmt.Errorf("the stacks do not show the wedged loop: %d bytes, %w", len(stacks), err)
	}
	log := s.service.log()
	if !strings.Contains(log, "watchdog check fails") || !strings.Contains(log, "Watchdog timeout") {
		return "", errors.New("the journal tells of no watchdog")
	}
	return fmt.Sprintf("systemd's watchdog killed and restarted the service; the check is named in the journal, %d bytes of stacks kept",
		len(stacks)), nil
}

func clockAndDisk(ctx context.Context, s *subject) (string, error) {
	for _, step := range []string{"+1 day", "-2 days", "+1 day"} {
		w, err := s.worker(ctx, 1)
		if err != nil {
			return "", err
		}
		place := s.messages.count()
		if err := run(ctx, "date", "-s", step); err != nil {
			return "", err
		}
		if err := s.detects(ctx); err != nil {
			return "", fmt.Errorf("after a step of %s: %w", step, err)
		}
		if faults := s.messages.since(place, "faults"); len(faults) > 0 {
			return "", fmt.Errorf("a step of %s became a fault: %s", step, faults[0].payload)
		}
		if now, err := s.worker(ctx, 1); err != nil || now.PID != w.PID {
			return "", fmt.Errorf("a step of %s cost the worker, %w", step, err)
		}
	}
	_, err := s.messages.await(ctx, s.messages.count(), "yard/detections", func(text string) bool {
		return strings.Contains(text, `"clock":"unsynced"`)
	})
	if err != nil {
		return "", fmt.Errorf("times are not flagged: %w", err)
	}

	// A disk that takes long: the folder of faults is on a file system that is frozen for a while.
	w, err := s.worker(ctx, 1)
	if err != nil {
		return "", err
	}
	if err := run(ctx, "fsfreeze", "-f", faultsFolder); err != nil {
		return "", err
	}
	before, framesErr := s.frames(ctx)
	killErr := syscall.Kill(w.PID, syscall.SIGKILL)
	detectsErr := s.detects(ctx)
	after, moreErr := s.frames(ctx)
	if err := errors.Join(run(ctx, "fsfreeze", "-u", faultsFolder), framesErr, killErr, detectsErr, moreErr); err != nil {
		return "", err
	}
	if err := until(ctx, func() error {
		kept, err := filepath.Glob(faultsFolder + "/*.json")
		if err == nil && len(kept) == 0 {
			err = errors.New("the fault is not on disk")
		}
		return err
	}); err != nil {
		return "", err
	}
	return fmt.Sprintf("three steps of a day or two cost nothing, times flagged unsynced; while the disk stood still a worker was "+
		"replaced and %v frames captured, its fault was kept afterwards", after-before), nil
}

// reach orders the worker to try everything that its sandbox is to forbid, under the unit that ships. (A row of our own:
// the fault table has 25.)
func reach(ctx context.Context, s *subject) (string, error) {
	if err := run(ctx, "modprobe", "vivid"); err != nil {
		return "", err
	}
	if err := os.WriteFile("/etc/vedette/mqtt.password", []byte("secret"), 0o644); err != nil {
		return "", err
	}
	w, err := s.worker(ctx, 1)
	if err != nil {
		return "", err
	}
	if err := s.order(w.PID, 10); err != nil {
		return "", err
	}
	const last = "injected: ptrace parent: "
	if err := until(ctx, func() error {
		if !strings.Contains(s.service.log(), last) {
			return errors.New("the worker has not tried everything yet")
		}
		return nil
	}); err != nil {
		return "", err
	}
	var refused []string
	for line := range strings.Lines(s.service.log()) {
		_, attempt, found := strings.Cut(line, "injected: ")
		if !found {
			continue
		}
		attempt, _, _ = strings.Cut(attempt, " worker=")
		if strings.HasSuffix(attempt, ": done") || strings.HasSuffix(attempt, ": ENOENT") {
			return "", errors.New(attempt) // what is not there proves nothing
		}
		refused = append(refused, attempt)
	}
	for _, attempt := range []string{
		"read /dev/video0", "read /etc/vedette/vedette.yaml", "read /etc/vedette/mqtt.password", "write /var/lib/vedette/x",
		"connect tcp", "connect udp", "connect unix", "ptrace parent",
	} {
		if !strings.Contains(strings.Join(refused, "\n"), attempt+": E") {
			return "", fmt.Errorf("%s is not among what was refused: %q", attempt, refused)
		}
	}
	return strings.Join(refused, ", "), nil
}

// faultsFolder is a file system of its own, like the cache.
const faultsFolder = "/var/lib/vedette/faults"
