package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

func outOfMemory(ctx context.Context, s *subject) (string, error) {
	parent, err := s.service.pid(ctx)
	if err != nil {
		return "", err
	}
	f, _, err := s.ordered(ctx, 3)
	if err != nil {
		return "", err
	}
	if f.Kind != "oom" || f.PeakRSS < 150<<20 {
		return "", fmt.Errorf("fault %+v", f)
	}
	active, err := property(ctx, "ActiveState")
	if now, pidErr := s.service.pid(ctx); err != nil || pidErr != nil || now != parent || active != "active" {
		return "", fmt.Errorf("the service is %s, process %d became %d, %w", active, parent, now, errors.Join(err, pidErr))
	}
	return fmt.Sprintf("%q, the service stays active", f.Message), nil
}

// cgroupOf is the folder of a process's cgroup.
func cgroupOf(pid int) (string, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
	if err != nil {
		return "", err
	}
	_, path, _ := strings.Cut(strings.TrimSpace(string(text)), "::")
	return "/sys/fs/cgroup" + path, nil
}

// figure is a number in a file of a cgroup: the whole of it, or that after a key.
func figure(path, key string) (int, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	if key == "" {
		return strconv.Atoi(strings.TrimSpace(string(text)))
	}
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, key+" "); ok {
			return strconv.Atoi(strings.TrimSpace(value))
		}
	}
	return 0, fmt.Errorf("%s has no %s", path, key)
}

// rate is how many frames are captured a second.
func (s *subject) rate(ctx context.Context) (float64, error) {
	state, err := s.state(ctx)
	return state.Cameras["yard"].FPS, err
}

// vanishes kills a worker, of whose cgroup and whatever it started nothing may be left.
func (s *subject) vanishes(ctx context.Context, w worker, group string) error {
	if err := syscall.Kill(w.PID, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
		return err
	}
	return until(ctx, func() error {
		if _, err := os.Stat(group); err == nil {
			return errors.New(group + " is still there")
		}
		return nil
	})
}

func greed(ctx context.Context, s *subject) (string, error) {
	before, err := s.rate(ctx)
	if err != nil {
		return "", err
	}
	forks, err := s.forks(ctx)
	if err != nil {
		return "", err
	}
	w, err := s.worker(ctx, 2)
	if err != nil {
		return "", err
	}
	group, err := cgroupOf(w.PID)
	if err != nil {
		return "", err
	}
	if err := s.order(w.PID, 5); err != nil {
		return "", err
	}
	used, err := figure(group+"/cpu.stat", "usage_usec")
	if err != nil {
		return "", err
	}
	began := time.Now()
	time.Sleep(10 * time.Second) // the time over which the use is measured
	later, err := figure(group+"/cpu.stat", "usage_usec")
	if err != nil {
		return "", err
	}
	cores := float64(later-used) / float64(time.Since(began).Microseconds())
	if cores > 0.65 {
		return "", fmt.Errorf("%.2f cores are used of 0.5", cores)
	}
	var during float64
	err = until(ctx, func() error { // other load of the machine passes, a worker that takes more than its share stays
		if during, err = s.rate(ctx); err == nil && during < 0.8*before {
			err = fmt.Errorf("capture ran at %.1f frames/s, runs at %.1f", before, during)
		}
		return err
	})
	if err != nil {
		return "", err
	}
	if err := s.vanishes(ctx, w, group); err != nil {
		return "", err
	}
	return fmt.Sprintf("%s; %.2f cores of at most 0.5, capture at %.1f frames/s (%.1f before)", forks, cores, during, before), nil
}

// forks makes the worker fork until it is refused.
func (s *subject) forks(ctx context.Context) (string, error) {
	w, err := s.worker(ctx, 1)
	if err != nil {
		return "", err
	}
	group, err := cgroupOf(w.PID)
	if err != nil {
		return "", err
	}
	if err := s.order(w.PID, 4); err != nil {
		return "", err
	}
	refused := 0
	if err := until(ctx, func() error {
		if refused, err = figure(group+"/pids.events", "max"); err == nil && refused == 0 {
			err = errors.New("no fork was refused")
		}
		return err
	}); err != nil {
		return "", err
	}
	processes, err := figure(group+"/pids.current", "")
	if err != nil || processes > 40 {
		return "", fmt.Errorf("%d processes, %w", processes, err)
	}
	return fmt.Sprintf("%d processes of at most 40, %d forks refused, none left afterwards", processes, refused),
		s.vanishes(ctx, w, group)
}
