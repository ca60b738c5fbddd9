package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// spoil damages the newest events of an outbox in three places, and tells which it leaves.
func spoil(folder, epoch string) (intact, damaged []uint64, err error) {
	names, err := filepath.Glob(filepath.Join(folder, "*.seg"))
	if err != nil || len(names) == 0 {
		return nil, nil, errors.Join(fmt.Errorf("no segments in %s", folder), err)
	}
	slices.Sort(names)
	path := names[len(names)-1]
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, nil, err
	}
	// What an event says of itself, in the order of the file.
	found := regexp.MustCompile(`"epoch":"`+epoch+`","seq":(\d+),[^}]*}`).FindAllSubmatchIndex(data, -1)
	const newest = 60
	if len(found) < newest {
		return nil, nil, fmt.Errorf("only %d events in %s", len(found), path)
	}
	found = found[len(found)-newest:]
	block, cut := found[25][0], found[newest-1][0]
	for i, m := range found {
		seq, err := strconv.ParseUint(string(data[m[2]:m[3]]), 10, 64)
		if err != nil {
			return nil, nil, err
		}
		next := len(data) // where the next event's record ends at the latest
		if i+1 < newest {
			next = found[i+1][0]
		}
		switch {
		case i == 10, m[0] >= cut, m[0] < block+512 && next > block:
			damaged = append(damaged, seq)
		default:
			intact = append(intact, seq)
		}
	}
	data[found[10][2]] ^= 1 // a digit of the number
	clear(data[block : block+512])
	return intact, damaged, os.WriteFile(path, data[:cut+20], 0o600)
}

// rates are frames captured and looked at, in a second.
func (s *subject) rates(ctx context.Context, over time.Duration) (captured, inferred float64, err error) {
	read := func() (c, i float64, err error) {
		if c, err = s.metric(ctx, "vedette_camera_frames_total"); err != nil {
			return 0, 0, err
		}
		i, err = s.metric(ctx, `vedette_inference_frames_total{outcome="result"}`)
		return c, i, err
	}
	began := time.Now()
	c, i, err := read()
	if err == nil {
		err = pause(ctx, over)
	}
	if err != nil {
		return 0, 0, err
	}
	c2, i2, err := read()
	seconds := time.Since(began).Seconds()
	return (c2 - c) / seconds, (i2 - i) / seconds, err
}

// degraded waits until the state says that the outbox is degraded, or that it is not.
func (s *subject) degraded(ctx context.Context, is bool) (why string, err error) {
	err = until(ctx, func() error {
		state, err := s.state(ctx)
		if err != nil {
			return err
		}
		why = ""
		for _, d := range state.Degraded {
			if d.What == "outbox" {
				why = d.Why
			}
		}
		if (why != "") != is {
			return fmt.Errorf("the state says of the outbox %q", why)
		}
		return nil
	})
	return why, err
}

// badDisk gives the state a small file system of its own, and spoils it in three ways, while the broker is away.
func badDisk(ctx context.Context, s *subject) (observed string, err error) {
	state, slow := filepath.Join(s.dir, "state"), filepath.Join(s.dir, "slow")
	filler := filepath.Join(state, "filler")
	if err := s.service.stop(); err != nil {
		return "", err
	}
	if err := syscall.Mount("tmpfs", state, "tmpfs", 0, "size=2m"); err != nil {
		return "", fmt.Errorf("cannot mount a small file system (this row needs CAP_SYS_ADMIN): %w", err)
	}
	defer func() { // the next life has the disk again
		err = errors.Join(err, s.service.stop(), syscall.Unmount(state, 0))
		if err == nil {
			err = s.service.launch(ctx)
		}
	}()
	if err := errors.Join(s.service.launch(ctx), s.healthy(ctx)); err != nil {
		return "", err
	}
	a := s.account()
	captured, inferred, err := s.rates(ctx, 3*time.Second)
	if err != nil {
		return "", err
	}
	seen := []string{fmt.Sprintf("before: %.1f captured/s, %.1f inferred/s", captured, inferred)}
	for _, fault := range []struct {
		name       string
		begin, end func() error
	}{
		{"full", func() error { return fill(filler) }, func() error { return os.Remove(filler) }},
		{"slow", func() error { return os.WriteFile(slow, nil, 0o600) }, func() error { return os.Remove(slow) }},
		{
			"read-only", // from the start: the kernel keeps a file system writable while a file is open for it
			func() error {
				err := errors.Join(s.service.stop(), syscall.Mount("", state, "", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""))
				return errors.Join(err, s.service.launch(ctx), s.healthy(ctx))
			},
			func() error { return syscall.Mount("", state, "", syscall.MS_REMOUNT, "size=2m") },
		},
	} {
		if err := fault.begin(); err != nil {
			return "", fmt.Errorf("%s: %w", fault.name, err)
		}
		s.stopBroker(syscall.SIGTERM)
		why, err := s.degraded(ctx, true)
		if err != nil {
			return "", fmt.Errorf("%s: %w", fault.name, err)
		}
		var c, i float64
		for try := 0; try < 5 && (c < 0.8*captured || i < 0.8*inferred); try++ { // other load of the machine passes, a bad disk stays
			if c, i, err = s.rates(ctx, 3*time.Second); err != nil {
				return "", err
			}
		}
		if c < 0.8*captured || i < 0.8*inferred {
			return "", fmt.Errorf("%s: %.1f captured/s, %.1f inferred/s, before it was %.1f and %.1f", fault.name, c, i, captured, inferred)
		}
		if err := errors.Join(fault.end(), s.startBroker(ctx), s.connected(ctx)); err != nil {
			return "", fmt.Errorf("after %s: %w", fault.name, err)
		}
		if _, err := s.degraded(ctx, false); err != nil {
			return "", fmt.Errorf("after %s: %w", fault.name, err)
		}
		figures, err := a.everything(ctx)
		if err != nil {
			return "", fmt.Errorf("after %s: %w", fault.name, err)
		}
		seen = append(seen, fmt.Sprintf("%s (%s): %.1f and %.1f, %s", fault.name, why, c, i, figures))
	}
	return strings.Join(seen, "; "), nil
}

// fill writes to a file until nothing more fits.
func fill(path string) error {
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	defer file.Close()
	for block := make([]byte, 64<<10); len(block) > 0; {
		if _, err := file.Write(block); err != nil {
			block = block[:len(block)/2]
		}
	}
	return nil
}
