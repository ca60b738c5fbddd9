package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

func cameraRows() []row {
	const (
		slow  = "infer: {model: MODEL, deadlines: {run: 60s, load: 5m}}\n"
		fed   = "cameras:\n  - {name: yard, rate: 0, source: {v4l2: {id: \"" + fedID + "\", formats: [mjpeg], size: 320x180, rate: 4}}}\n"
		raw   = "  - {name: raw, rate: 0, source: {v4l2: {id: \"" + rawID + "\", formats: [yuyv], size: 320x180, rate: 4}}}\n"
		vivid = "  - {name: vivid, rate: 0, source: {v4l2: {id: \"" + vividID + "\", formats: [yuyv], size: 320x180, rate: 5}}}\n"
	)
	return []row{
		{15, "camera unplugged, replugged, re-enumerated", "guest", slow + fed + vivid, nil, "", replugs, false},
		{21, "damaged pictures, short and flagged buffers", "guest", slow + fed + raw + vivid, nil, "", damagedFrames, false},
	}
}

// sees waits until the fed camera's person is seen while the picture is whole, and is gone again: what is damaged proves
// nothing where that is not seen either.
func (s *subject) sees(ctx context.Context) error {
	s.stage.spoilt.Store(1)
	if _, err := s.messages.await(ctx, s.messages.count(), "yard/detections", func(text string) bool {
		return strings.Contains(text, `"person"`)
	}); err != nil {
		return fmt.Errorf("nobody is seen in a whole picture: %w", err)
	}
	s.stage.spoilt.Store(0)
	for range 6 { // more than are under way
		if err := s.detects(ctx); err != nil {
			return err
		}
	}
	return nil
}

func damagedFrames(ctx context.Context, s *subject) (string, error) {
	if err := s.sees(ctx); err != nil {
		return "", err
	}
	place := s.messages.count()
	began, err := s.state(ctx)
	if err != nil {
		return "", err
	}
	last := began
	for i, way := range s.stage.damages[1:] {
		s.stage.spoilt.Store(int32(i + 2))
		if last, err = s.countsDamage(ctx, last); err != nil {
			return "", fmt.Errorf("a picture %s: %w", way.name, err)
		}
	}
	s.stage.spoilt.Store(0)
	for _, camera := range []string{"yard", "raw", "vivid"} {
		if _, err := s.messages.await(ctx, s.messages.count(), camera+"/detections", anything); err != nil {
			return "", fmt.Errorf("camera %s afterwards: %w", camera, err)
		}
		if failures := last.Cameras[camera].Failures; len(failures) > 0 {
			return "", fmt.Errorf("camera %s failed: %v", camera, failures)
		}
	}
	whole := 0
	for _, message := range s.messages.since(place, "yard/detections") {
		var seen struct{ Detections []json.RawMessage }
		if err := json.Unmarshal([]byte(message.payload), &seen); err != nil {
			return "", err
		}
		if len(seen.Detections) > 0 {
			return "", fmt.Errorf("a detection in a damaged picture: %s", message.payload)
		}
		whole++
	}
	if faults := s.messages.since(place, "faults"); len(faults) > 0 {
		return "", fmt.Errorf("the worker failed: %s", faults[0].payload)
	}
	if whole == 0 {
		return "", errors.New("no whole picture was looked at meanwhile")
	}
	return fmt.Sprintf("pictures damaged in %d ways: %d counted as decode; %d short and %d flagged buffers as bad_buffer; no fault, nothing "+
		"seen in what was damaged, %d whole pictures looked at meanwhile", len(s.stage.damages)-1, last.drops("yard", "decode")-began.drops("yard", "decode"),
		last.drops("raw", "bad_buffer")-began.drops("raw", "bad_buffer"), last.drops("vivid", "bad_buffer")-began.drops("vivid", "bad_buffer"), whole), nil
}

// countsDamage waits until each camera has counted what is damaged: pictures more often than those of the way before can
// still be under way.
func (s *subject) countsDamage(ctx context.Context, before state) (now state, err error) {
	node, err := vividNode()
	if err != nil {
		return now, err
	}
	if err := run(ctx, "v4l2-ctl", "-d", node, "-c", "inject_v4l2_buf_flag_error=1"); err != nil {
		return now, err
	}
	const underWay = 3
	return now, until(ctx, func() error {
		if now, err = s.state(ctx); err != nil {
			return err
		}
		for _, want := range []struct {
			camera, cause string
			more          uint64
		}{{"yard", "decode", underWay + 1}, {"raw", "bad_buffer", 1}, {"vivid", "bad_buffer", 1}} {
			if n := now.drops(want.camera, want.cause) - before.drops(want.camera, want.cause); n < want.more {
				return fmt.Errorf("camera %s counted %d more of cause %s, not %d", want.camera, n, want.cause, want.more)
			}
		}
		return nil
	})
}

func (s state) drops(camera, cause string) uint64 { return s.Cameras[camera].Drops[cause] }
