package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
)

// sleepsInKernel tells whether a thread of the process is in uninterruptible sleep.
func sleepsInKernel(pid int) bool {
	stats, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
	for _, path := range stats {
		if text, err := os.ReadFile(path); err == nil && bytes.Contains(text, []byte(") D ")) {
			return true
		}
	}
	return false
}

// freezeWorker brings a thread of the worker into uninterruptible sleep; thaw wakes it up again.
func freezeWorker(ctx context.Context, s *subject) (w worker, thaw func() error, err error) {
	if w, err = s.worker(ctx, 1); err != nil {
		return w, nil, err
	}
	if err := s.order(w.PID, 6); err != nil {
		return w, nil, err
	}
	if err := until(ctx, func() error { _, err := os.Stat(cacheFolder + "/x"); return err }); err != nil {
		return w, nil, err
	}
	if err := run(ctx, "fsfreeze", "-f", cacheFolder); err != nil {
		return w, nil, err
	}
	thaw = sync.OnceValue(func() error { return run(context.WithoutCancel(ctx), "fsfreeze", "-u", cacheFolder) })
	err = until(ctx, func() error {
		if !sleepsInKernel(w.PID) {
			return errors.New("no thread of the child is in state D")
		}
		return nil
	})
	if err != nil {
		err = errors.Join(err, thaw())
	}
	return w, thaw, err
}

// unreapableExit sees the service end so that a drop-in can make systemd reboot; the guest itself is not rebooted, as the
// test would end with it.
func unreapableExit(ctx context.Context, s *subject) (string, error) {
	w, thaw, err := freezeWorker(ctx, s)
	if err != nil {
		return "", err
	}
	defer func() { _ = thaw() }()
	if err := syscall.Kill(w.PID, syscall.SIGKILL); err != nil {
		return "", err
	}
	if err := until(ctx, func() error {
		status, err := property(ctx, "ExecMainStatus")
		if err == nil && status != "75" {
			err = fmt.Errorf("exit status is %s", status)
		}
		return err
	}); err != nil {
		return "", err
	}
	if err := thaw(); err != nil {
		return "", err
	}
	if err := until(ctx, func() error {
		state, err := property(ctx, "ActiveState")
		if err == nil && state != "failed" {
			err = fmt.Errorf("the unit is %s", state)
		}
		return err
	}); err != nil {
		return "", err
	}
	return "the service ended with code 75 and the unit failed, on which FailureAction= acts", nil
}

func uninterruptible(ctx context.Context, s *subject) (string, error) {
	parent, err := s.service.pid(ctx)
	if err != nil {
		return "", err
	}
	w, thaw, err := freezeWorker(ctx, s)
	if err != nil {
		return "", err
	}
	defer func() { _ = thaw() }()
	place := s.messages.count()
	if err := syscall.Kill(w.PID, syscall.SIGKILL); err != nil {
		return "", err
	}
	if _, err := s.messages.await(ctx, place, "state", func(text string) bool {
		return strings.Contains(text, `"state":"unreapable"`) && strings.Contains(text, `"what":"worker `)
	}); err != nil {
		return "", err
	}
	before, err := s.frames(ctx)
	if err != nil {
		return "", fmt.Errorf("the parent does not answer: %w", err)
	}
	if err := until(ctx, func() error {
		after, err := s.frames(ctx)
		if err == nil && after < before+10 {
			err = fmt.Errorf("%v frames, then %v", before, after)
		}
		return err
	}); err != nil {
		return "", fmt.Errorf("capture: %w", err)
	}
	if err := thaw(); err != nil {
		return "", err
	}
	if err := gone(ctx, w.PID); err != nil {
		return "", err
	}
	if now, err := s.service.pid(ctx); err != nil || now != parent {
		return "", fmt.Errorf("the service was process %d, is %d, %w", parent, now, err)
	}
	if err := s.detects(ctx); err != nil {
		return "", err
	}
	return "state D after SIGKILL: worker unreapable and said so on MQTT, capture went on, nothing rebooted; " +
		"detections again after the thaw", nil
}
