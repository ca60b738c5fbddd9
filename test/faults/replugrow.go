package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"time"
)

// replugs takes the made-up camera away and brings it back, beside one that must not notice.
func replugs(ctx context.Context, s *subject) (string, error) {
	before, err := s.leastFootprint(ctx, func(_ footprint, looks int) bool { return looks == 10 })
	if err != nil {
		return "", err
	}
	pid, err := s.service.pid(ctx)
	if err != nil {
		return "", err
	}
	began, err := s.state(ctx)
	if err != nil {
		return "", err
	}
	const rounds = 2
	var worst time.Duration
	for i := range rounds {
		took, err := s.replug(ctx, i%2 == 1)
		if err != nil {
			return "", fmt.Errorf("round %d: %w", i+1, err)
		}
		worst = max(worst, took)
	}
	settling, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	after, err := s.leastFootprint(settling, func(least footprint, _ int) bool { return least.least(before) == least })
	if err != nil {
		held, _ := s.held(pid)
		return "", fmt.Errorf("it holds more than before, %+v: %w; descriptors of %s", before, err, strings.Join(held, ", "))
	}
	switch now, err := s.service.pid(ctx); {
	case err != nil:
		return "", err
	case now != pid:
		return "", fmt.Errorf("the service was process %d, is %d", pid, now)
	}
	ended, err := s.state(ctx)
	if err != nil {
		return "", err
	}
	if lost := ended.Cameras["vivid"].Failures["lost"] - began.Cameras["vivid"].Failures["lost"]; lost < rounds {
		return "", fmt.Errorf("unplugged %d times, counted as lost %d times", rounds, lost)
	}
	other, err := unaffected(began, ended)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%d times, %d of them back under another number: lost, told and counted, detections again %v after its return "+
		"at worst; %s; the same process, before %+v, after %+v", rounds, rounds/2, worst.Round(10*time.Millisecond), other, before, after), nil
}

// unaffected tells what became of the other camera's frames. A service that came too late for some was short of processor,
// emulated as it is, which does not say who lost the others.
func unaffected(began, ended state) (string, error) {
	const name = "yard"
	if failures := ended.Cameras[name].Failures; len(failures) > 0 {
		return "", fmt.Errorf("the other camera failed: %v", failures)
	}
	more := func(cause string) uint64 { return ended.drops(name, cause) - began.drops(name, cause) }
	lost, late := more("driver")+more("bad_buffer"), more("superseded")
	switch {
	case lost == 0:
		return "the other camera lost no frame", nil
	case late > 0:
		return fmt.Sprintf("the other camera lost %d frames on a machine that was too slow for %d more", lost, late), nil
	}
	return "", fmt.Errorf("the other camera lost %d frames", lost)
}

// leastFootprint is the least of each kind that was seen until it is enough: an emulated machine is never at rest, but what
// leaks is never given back.
func (s *subject) leastFootprint(ctx context.Context, enough func(least footprint, looks int) bool) (least footprint, err error) {
	for looks := 1; ; looks++ {
		now, err := s.footprint(ctx)
		if err != nil {
			return least, err
		}
		if looks == 1 {
			least = now
		}
		if least = least.least(now); enough(least, looks) {
			return least, nil
		}
		if err := pause(ctx, 200*time.Millisecond); err != nil {
			return least, fmt.Errorf("at least %+v: %w", least, err)
		}
	}
}

func (f footprint) least(g footprint) footprint {
	return footprint{
		min(f.descriptors, g.descriptors), min(f.mappings, g.mappings), min(f.children, g.children), min(f.goroutines, g.goroutines),
	}
}

// replug takes the made-up camera away and brings it back, under another number where it is to move. It gives how long
// after its return detections are back.
func (s *subject) replug(ctx context.Context, move bool) (time.Duration, error) {
	node, err := vividNode()
	if err != nil {
		return 0, err
	}
	if move { // somebody who holds the old node keeps its number from it
		held, err := os.Open(node)
		if err != nil {
			return 0, err
		}
		defer held.Close()
	}
	place := s.messages.count()
	if err := vividIs("unbind"); err != nil {
		return 0, err
	}
	if _, err := s.messages.await(ctx, place, "state", func(text string) bool {
		var told state
		return json.Unmarshal([]byte(text), &told) == nil && told.Cameras["vivid"].State == "lost"
	}); err != nil {
		return 0, fmt.Errorf("a lost camera: %w", err)
	}
	if err := s.detects(ctx); err != nil {
		return 0, fmt.Errorf("the other camera: %w", err)
	}
	place = s.messages.count()
	back := time.Now()
	if err := vividIs("bind"); err != nil {
		return 0, err
	}
	message, err := s.messages.await(ctx, place, "vivid/detections", anything)
	if err != nil {
		return 0, fmt.Errorf("the camera that is back: %w", err)
	}
	switch now, err := vividNode(); {
	case err != nil:
		return 0, err
	case move && now == node:
		return 0, fmt.Errorf("the camera is %s again, and was to come back under another number", now)
	}
	return message.at.Sub(back), nil
}

// vividIs has the kernel's driver let go of the made-up camera, or take it again.
func vividIs(bound string) error {
	return os.WriteFile("/sys/bus/platform/drivers/vivid/"+bound, []byte("vivid.0"), 0)
}
