package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// soakRow is left out where no time is given for it.
const soakRow = 25

// twoCameras has one whose frames a process of its own makes: it can be taken away and comes back, as with a cable.
const twoCameras = calmCamera + "  - {name: gate, rate: 5, source: {command: {argv: [ffmpeg, -loglevel, error, -re, -f, lavfi, -i, " +
	"'testsrc=s=320x240:r=10', -pix_fmt, yuyv422, -f, rawvideo, '-'], format: yuyv, size: 320x240, rate: 10}}}\n"

// What a service may have grown by after its warm-up: a Go heap breathes, and what waits for the broker is on the disk.
const (
	mayGrow     = 0.15
	mayGrowMore = 8 << 20 // bytes
)

// soak breaks at random what rows 1, 2, 15 and 16 break, for as long as -soak says, and looks for what grows.
func soak(ctx context.Context, s *subject) (string, error) {
	a := s.account()
	pid, err := s.service.pid(ctx)
	if err != nil {
		return "", err
	}
	breaks := []struct {
		name string
		do   func(context.Context) error
	}{
		{"kill -9 the child", func(ctx context.Context) error { return s.hurt(ctx, syscall.SIGKILL) }},
		{"SIGSTOP the child", func(ctx context.Context) error { return s.hurt(ctx, syscall.SIGSTOP) }},
		{"camera gone", s.unplug},
		{"broker away", func(ctx context.Context) error {
			s.stopBroker(syscall.SIGTERM)
			return errors.Join(pause(ctx, 300*time.Millisecond), s.startBroker(ctx), s.connected(ctx))
		}},
	}
	counts := make([]int, len(breaks))
	hurt := func(i int) error {
		counts[i]++
		if err := errors.Join(breaks[i].do(ctx), s.bothSeen(ctx)); err != nil {
			return fmt.Errorf("%s, time %d: %w", breaks[i].name, counts[i], err)
		}
		a.look()
		s.messages.forget(a.place)
		return nil
	}
	for i := range breaks { // the warm-up: what is made once, at the first of its kind, is no leak
		if err := errors.Join(hurt(i), hurt(i)); err != nil {
			return "", err
		}
	}
	held, err := s.settledFootprint(ctx)
	if err != nil {
		return "", err
	}
	before, err := s.weight(pid)
	if err != nil {
		return "", err
	}
	for end := time.Now().Add(s.soak); time.Now().Before(end); {
		if err := hurt(rand.N(len(breaks))); err != nil {
			return "", err
		}
	}
	if err := s.sameFootprint(ctx, held); err != nil {
		return "", err
	}
	after, err := s.weight(pid)
	if err != nil {
		return "", err
	}
	if limit := int64(float64(before.rss)*(1+mayGrow)) + mayGrowMore; after.rss > limit {
		return "", fmt.Errorf("after the warm-up it had %d KiB of memory, in the end %d", before.rss>>10, after.rss>>10)
	}
	if after.disk > before.disk+mayGrowMore {
		return "", fmt.Errorf("after the warm-up it took %d KiB of the disk, in the end %d", before.disk>>10, after.disk>>10)
	}
	w, err := s.worker(ctx, 1)
	if err != nil {
		return "", err
	}
	if w.Generation != uint64(1+counts[0]+counts[1]) {
		return "", fmt.Errorf("%d kills and %d stops made a worker of generation %d", counts[0], counts[1], w.Generation)
	}
	figures, err := a.everything(ctx)
	if err != nil {
		return "", err
	}
	if a.duplicates > counts[3]*window {
		return "", fmt.Errorf("%d duplicates, more than %d", a.duplicates, counts[3]*window)
	}
	return fmt.Sprintf("%v: %d kills, %d stops, %d times a camera gone, %d broker restarts; memory %d to %d KiB, disk %d to %d KiB, %+v as before; %s",
		s.soak, counts[0], counts[1], counts[2], counts[3], before.rss>>10, after.rss>>10, before.disk>>10, after.disk>>10, held,
		figures), nil
}

// hurt sends the worker a signal that it does not survive, and waits for the next one.
func (s *subject) hurt(ctx context.Context, signal syscall.Signal) error {
	w, err := s.worker(ctx, 1)
	if err != nil {
		return err
	}
	place := s.messages.count()
	if err := syscall.Kill(w.PID, signal); err != nil {
		return err
	}
	_, err = s.messages.await(ctx, place, "faults", func(text string) bool {
		var f fault // one of before may come again, after a broker's restart
		return json.Unmarshal([]byte(text), &f) == nil && f.Generation == w.Generation
	})
	if err != nil {
		return err
	}
	_, err = s.worker(ctx, w.Generation+1)
	return err
}

// unplug ends the process that makes the second camera's frames, and waits until that was seen, and the camera is back.
func (s *subject) unplug(ctx context.Context) error {
	failures := func() (n uint64, streaming bool, err error) {
		state, err := s.state(ctx)
		gate := state.Cameras["gate"]
		for _, times := range gate.Failures {
			n += times
		}
		return n, gate.State == "streaming", err
	}
	before, _, err := failures()
	if err != nil {
		return err
	}
	parent, err := s.service.pid(ctx)
	if err != nil {
		return err
	}
	if err := until(ctx, func() error { return killChild(parent, "ffmpeg") }); err != nil {
		return err
	}
	return until(ctx, func() error {
		now, streaming, err := failures()
		if err == nil && (now == before || !streaming) {
			err = fmt.Errorf("the camera had failed %d times, now %d; streaming: %t", before, now, streaming)
		}
		return err
	})
}

// killChild kills a process's child of that name.
func killChild(parent int, name string) error {
	for _, child := range children(parent) {
		comm, err := os.ReadFile("/proc/" + child + "/comm")
		if err != nil || strings.TrimSpace(string(comm)) != name {
			continue
		}
		pid, err := strconv.Atoi(child)
		if err != nil {
			return err
		}
		return syscall.Kill(pid, syscall.SIGKILL)
	}
	return fmt.Errorf("process %d has no child %s", parent, name)
}

// bothSeen waits until frames of both cameras were looked at.
func (s *subject) bothSeen(ctx context.Context) error {
	place := s.messages.count()
	for _, camera := range []string{"yard", "gate"} {
		if _, err := s.messages.await(ctx, place, camera+"/detections", anything); err != nil {
			return err
		}
	}
	return nil
}

// weight is what the service takes of the machine, in bytes.
type weight struct{ rss, disk int64 }

func (s *subject) weight(pid int) (w weight, err error) {
	statm, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		return w, err
	}
	var pages int64
	if _, err := fmt.Sscan(string(statm), new(int64), &pages); err != nil {
		return w, err
	}
	w.rss = pages * int64(os.Getpagesize())
	return w, filepath.WalkDir(filepath.Join(s.dir, "state"), func(_ string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) { // a segment that was just given up
			return nil
		}
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		if info, err := d.Info(); err == nil {
			w.disk += info.Size()
		}
		return nil
	})
}
