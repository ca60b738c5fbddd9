package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// Lives are short here: a service with its usual patience would give a worker up that is killed over and over.
const impatient = "VEDETTE_INJECT_GOOD_LIFE=1ms"

// calmCamera leaves the processor to what a row starts over and over.
const calmCamera = "cameras:\n  - {name: yard, rate: 5, source: {scene: {size: 320x180, rate: 5}}}\n"

func hostRows(soakFor time.Duration) []row {
	rows := []row{
		{1, "kill -9 the child at random moments", "host", "", []string{impatient}, "", kill, false},
		{2, "SIGSTOP the child", "host", "infer: {model: MODEL, deadlines: {run: 2s}}\n", nil, "", freeze, false},
		{4, "Go panic in the child", "host", "", nil, "", goPanic, false},
		{5, "SIGSEGV in native code in the child", "host", "", nil, "", nativeCrash, false},
		{
			8, "model that fails every load", "host", "infer: {model: DIR/model.onnx}\n",
			[]string{"VEDETTE_INJECT_DEGRADED_DELAY=2s"},
			"", brokenModel, false,
		},
		{9, "garbage on the control socket", "host", "", nil, "", garbage, false},
		{10, "child attacks the ring", "host", "", nil, "", ringAttack, false},
		{13, "SIGTERM while the child ignores its shutdown message", "host", "", nil, "", deafChild, true},
		{22, "hostile configuration, model, bundle, MQTT command", "host", "", nil, "", hostile, false},
		{14, "kill -9 the parent", "host", "", nil, "", killParent, false},
		{24, "1,000 devices against 3 brokers, one killed", "host", "", nil, "", fleet, false},
		{16, "broker down, up again, 20 times", "host", "", []string{events, soonProven}, "", brokerAway, false},
		{17, "link cut between PUBLISH and PUBACK", "host", "", []string{events, soonProven}, "", unacknowledged, false},
		{18, "state directory full, read-only, slow", "host", "", []string{events, slowWhile, soonProven}, "", badDisk, false},
		{19, "damage to the outbox on the disk", "host", "", []string{events}, "", damagedOutbox, false},
		{23, "update in the middle of running", "host", calmCamera, []string{impatient}, "", updates, false},
	}
	if soakFor > 0 {
		rows = append(rows, row{
			soakRow, "soak: rows 1, 2, 15 and 16 at random", "host", twoCameras + "infer: {model: MODEL, deadlines: {run: 2s}}\n",
			[]string{impatient, events, soonProven},
			"", soak, false,
		})
	}
	return rows
}

// footprint is what a process holds of the kernel.
type footprint struct {
	descriptors, mappings, children, goroutines int
}

func (s *subject) footprint(ctx context.Context) (f footprint, err error) {
	pid, err := s.service.pid(ctx)
	if err != nil {
		return f, err
	}
	held, err := s.held(pid)
	if err != nil {
		return f, err
	}
	maps, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", pid))
	if err != nil {
		return f, err
	}
	for line := range strings.Lines(string(maps)) {
		if strings.Contains(line, "/") { // anonymous memory is the heap's, which comes and goes
			f.mappings++
		}
	}
	goroutines, err := s.metric(ctx, "go_goroutines")
	if err != nil {
		return f, err
	}
	f.descriptors, f.goroutines, f.children = len(held), int(goroutines), len(children(pid))
	return f, nil
}

// held is what a process's descriptors are of, but for files of the state directory: those are opened when there is something to
// put into them, and closed when they are written anew.
func (s *subject) held(pid int) (names []string, err error) {
	folder := fmt.Sprintf("/proc/%d/fd", pid)
	fds, err := os.ReadDir(folder)
	if err != nil {
		return nil, err
	}
	for _, fd := range fds {
		name, err := os.Readlink(filepath.Join(folder, fd.Name()))
		if err != nil { // it has been closed meanwhile
			continue
		}
		if !strings.HasPrefix(name, filepath.Join(s.dir, "state")+"/") && !strings.HasPrefix(name, unitState) {
			names = append(names, name)
		}
	}
	return names, nil
}

// children are the processes of a parent, zombies included.
func children(parent int) (pids []string) {
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, path := range stats {
		text, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
		if len(fields) > 1 && fields[1] == fmt.Sprint(parent) {
			pids = append(pids, filepath.Base(filepath.Dir(path)))
		}
	}
	return pids
}

// settledFootprint waits until the service holds the same for two seconds: what a fault has set going comes to its end.
func (s *subject) settledFootprint(ctx context.Context) (footprint, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	var last footprint
	for same := 0; same < 4; {
		f, err := s.footprint(ctx)
		if err != nil {
			return f, err
		}
		if same++; f != last {
			last, same = f, 0
		}
		select {
		case <-time.After(500 * time.Millisecond):
		case <-ctx.Done():
			return f, fmt.Errorf("what the service holds does not settle, now %+v: %w", f, ctx.Err())
		}
	}
	return last, nil
}

// sameFootprint waits until the service holds what it held before: what is just being used comes and goes.
func (s *subject) sameFootprint(ctx context.Context, before footprint) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	return until(ctx, func() error {
		after, err := s.footprint(ctx)
		if err == nil && after != before {
			err = fmt.Errorf("before %+v, after %+v", before, after)
		}
		return err
	})
}

// die kills the worker, and waits for the next one's first detection.
func (s *subject) die(ctx context.Context) error {
	w, err := s.worker(ctx, 1)
	if err != nil {
		return err
	}
	place := s.messages.count()
	if err := syscall.Kill(w.PID, syscall.SIGKILL); err != nil {
		return err
	}
	if _, err := s.messages.fault(ctx, place); err != nil {
		return err
	}
	if _, err := s.worker(ctx, w.Generation+1); err != nil {
		return err
	}
	return s.detects(ctx)
}

func kill(ctx context.Context, s *subject) (string, error) {
	// What is made once, with the first fault, is no leak: a death before the count.
	if err := s.die(ctx); err != nil {
		return "", err
	}
	before, err := s.settledFootprint(ctx)
	if err != nil {
		return "", err
	}
	pid, err := s.service.pid(ctx)
	if err != nil {
		return "", err
	}
	began := s.messages.count()
	var gaps []time.Duration
	for i := range s.kills {
		w, err := s.worker(ctx, uint64(i+2))
		if err != nil {
			return "", err
		}
		if err := s.detects(ctx); err != nil {
			return "", err
		}
		time.Sleep(rand.N(150 * time.Millisecond)) // a random moment of a frame's way
		if err := syscall.Kill(w.PID, syscall.SIGKILL); err != nil {
			return "", err
		}
		at := time.Now()
		if err := gone(ctx, w.PID); err != nil {
			return "", err
		}
		if err := s.detects(ctx); err != nil {
			return "", fmt.Errorf("after kill %d: %w", i+1, err)
		}
		gaps = append(gaps, time.Since(at))
	}
	if err := s.sameFootprint(ctx, before); err != nil {
		return "", err
	}
	if now, err := s.service.pid(ctx); err != nil || now != pid {
		return "", fmt.Errorf("the parent's pid was %d, is %d, %w", pid, now, err)
	}
	if faults := s.messages.since(began, "faults"); len(faults) != s.kills {
		return "", fmt.Errorf("%d kills, %d faults published", s.kills, len(faults))
	}
	slices.Sort(gaps)
	return fmt.Sprintf("%d kills, %d faults told, detections back after %v (median), %v (worst); parent as before: %+v",
		s.kills, s.kills, gaps[len(gaps)/2].Round(time.Millisecond), gaps[len(gaps)-1].Round(time.Millisecond), before), nil
}

// freeze stops a worker. A capture loop that waited for it would lose some twenty frames of the source, each time; what other load
// of the machine costs passes.
func freeze(ctx context.Context, s *subject) (string, error) {
	var lost uint64
	var yard camera
	for range 3 {
		before, err := s.state(ctx)
		if err != nil {
			return "", err
		}
		observed, err := s.frozen(ctx)
		if err != nil {
			return "", err
		}
		after, err := s.state(ctx)
		if err != nil {
			return "", err
		}
		yard, lost = after.Cameras["yard"], after.drops("yard", "driver")-before.drops("yard", "driver")
		if after.drops("yard", "deadline") == before.drops("yard", "deadline") {
			return "", fmt.Errorf("the frame that the worker had is not counted: %v", yard.Drops)
		}
		if lost == 0 && yard.FPS >= 8 {
			return fmt.Sprintf("%s; capture at %.1f frames/s, drops %v, none in the source", observed, yard.FPS, yard.Drops), nil
		}
	}
	return "", fmt.Errorf("three times: the last one lost %d frames in the source, capture ran at %.1f frames/s", lost, yard.FPS)
}

// frozen stops the worker, and tells how soon it is replaced.
func (s *subject) frozen(ctx context.Context) (string, error) {
	w, err := s.worker(ctx, 1)
	if err != nil {
		return "", err
	}
	place := s.messages.count()
	if err := syscall.Kill(w.PID, syscall.SIGSTOP); err != nil {
		return "", err
	}
	at := time.Now()
	f, err := s.messages.fault(ctx, place)
	if err != nil {
		return "", err
	}
	told := time.Since(at)
	if f.Kind != "hang" {
		return "", fmt.Errorf("fault %+v", f)
	}
	if err := gone(ctx, w.PID); err != nil {
		return "", err
	}
	if err := s.detects(ctx); err != nil {
		return "", err
	}
	back := time.Since(at)
	return fmt.Sprintf("hang told after %v, detections back after %v", told.Round(time.Millisecond), back.Round(time.Millisecond)), nil
}

// ordered orders the worker to fail and gives the fault that is told.
func (s *subject) ordered(ctx context.Context, number int) (f fault, w worker, err error) {
	if w, err = s.worker(ctx, 1); err != nil {
		return f, w, err
	}
	place := s.messages.count()
	if err := s.order(w.PID, number); err != nil {
		return f, w, err
	}
	f, err = s.messages.fault(ctx, place)
	return f, w, err
}

func goPanic(ctx context.Context, s *subject) (string, error) {
	f, w, err := s.ordered(ctx, 1)
	if err != nil {
		return "", err
	}
	if f.Kind != "panic" || f.Process == "" || !strings.Contains(f.Message, "out of cheese") ||
		!strings.Contains(f.Traceback, "goroutine") || f.Generation != w.Generation {
		return "", fmt.Errorf("fault %+v", f)
	}
	return fmt.Sprintf("%s of generation %d: %s: %q, traceback of %d bytes",
		f.Process, f.Generation, f.Kind, f.Message, len(f.Traceback)), nil
}

func nativeCrash(ctx context.Context, s *subject) (string, error) {
	f, _, err := s.ordered(ctx, 2)
	if err != nil {
		return "", err
	}
	if f.Kind != "signal" || f.Signal != "SIGSEGV" || !strings.Contains(f.Traceback, "in native code at vedette") {
		return "", fmt.Errorf("fault %+v", f)
	}
	return fmt.Sprintf("%s: %q, traceback of %d bytes", f.Signal, f.Message, len(f.Traceback)), nil
}

func brokenModel(ctx context.Context, s *subject) (string, error) {
	path := filepath.Join(s.dir, "model.onnx")
	good, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	w, err := s.worker(ctx, 1)
	if err != nil {
		return "", err
	}
	replace := func(text []byte) error {
		if err := os.WriteFile(path+".new", text, 0o644); err != nil {
			return err
		}
		return os.Rename(path+".new", path)
	}
	if err := replace(good[:len(good)/2]); err != nil {
		return "", err
	}
	place := s.messages.count()
	if err := syscall.Kill(w.PID, syscall.SIGKILL); err != nil {
		return "", err
	}
	degraded, err := s.messages.await(ctx, place, "state", func(text string) bool {
		return strings.Contains(text, `"state":"degraded"`) && strings.Contains(text, `"what":"worker `)
	})
	if err != nil {
		return "", err
	}
	faults := len(s.messages.since(place, "faults"))
	if err := replace(good); err != nil {
		return "", err
	}
	if err := s.detects(ctx); err != nil {
		return "", err
	}
	return fmt.Sprintf("degraded on MQTT after %d faults and %v; detections again by itself once the file was mended",
		faults, degraded.at.Sub(s.messages.since(place, "faults")[0].at).Round(time.Millisecond)), nil
}

func garbage(ctx context.Context, s *subject) (string, error) {
	w, err := s.worker(ctx, 1)
	if err != nil {
		return "", err
	}
	if err := s.order(w.PID, 8); err != nil {
		return "", err
	}
	rejected := 0.0
	err = until(ctx, func() error {
		if rejected, err = s.metric(ctx, "vedette_worker_messages_rejected_total"); err == nil && rejected < 4 {
			err = fmt.Errorf("%v messages were rejected", rejected)
		}
		return err
	})
	if err != nil {
		return "", err
	}
	after, err := s.worker(ctx, 1)
	if err != nil || after.PID != w.PID {
		return "", fmt.Errorf("worker %+v became %+v, %w", w, after, err)
	}
	return fmt.Sprintf("4 bad messages, %v rejected and counted, the conversation goes on", rejected), nil
}

func ringAttack(ctx context.Context, s *subject) (string, error) {
	w, err := s.worker(ctx, 1)
	if err != nil {
		return "", err
	}
	if err := s.order(w.PID, 9); err != nil {
		return "", err
	}
	attempts := []string{"ring make writable", "ring reopen", "ring write", "ring of the parent"}
	err = until(ctx, func() error {
		for _, attempt := range attempts {
			if !strings.Contains(s.service.log(), "injected: "+attempt+": ") {
				return errors.New("not tried yet: " + attempt)
			}
		}
		return nil
	})
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(s.service.log()) {
		if strings.Contains(line, "injected: ring") && strings.Contains(line, ": done") {
			return "", errors.New(line)
		}
	}
	return strings.Join(attempts, ", ") + ": each refused", nil
}

func deafChild(ctx context.Context, s *subject) (string, error) {
	w, err := s.worker(ctx, 1)
	if err != nil {
		return "", err
	}
	if err := syscall.Kill(w.PID, syscall.SIGSTOP); err != nil {
		return "", err
	}
	place := s.messages.count()
	began := time.Now()
	if err := s.service.stop(); err != nil {
		return "", err
	}
	took := time.Since(began)
	if _, err := s.messages.await(ctx, place, "status", func(text string) bool { return text == "offline" }); err != nil {
		return "", err
	}
	if err := gone(ctx, w.PID); err != nil {
		return "", err
	}
	for _, line := range []string{"SIGTERM is sent", "SIGKILL is sent"} {
		if !strings.Contains(s.service.log(), line) {
			return "", fmt.Errorf("the log does not say %q", line)
		}
	}
	return fmt.Sprintf("exit code 0 after %v, offline said; SIGTERM and SIGKILL to the child are logged",
		took.Round(time.Millisecond)), nil
}

func killParent(ctx context.Context, s *subject) (string, error) {
	w, err := s.worker(ctx, 1)
	if err != nil {
		return "", err
	}
	pid, err := s.service.pid(ctx)
	if err != nil {
		return "", err
	}
	place := s.messages.count()
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		return "", err
	}
	at := time.Now()
	if err := gone(ctx, w.PID); err != nil {
		return "", err
	}
	orphaned := time.Since(at)
	if _, err := s.messages.await(ctx, place, "status", func(text string) bool { return text == "offline" }); err != nil {
		return "", fmt.Errorf("last will: %w", err)
	}
	if err := gone(ctx, pid); err != nil {
		return "", err
	}
	if err := s.service.launch(ctx); err != nil {
		return "", err
	}
	if err := s.healthy(ctx); err != nil {
		return "", fmt.Errorf("next start: %w", err)
	}
	return fmt.Sprintf("the child was gone after %v, the last will said offline, the next start worked at once",
		orphaned.Round(time.Millisecond)), nil
}
