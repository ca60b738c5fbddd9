package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"vedette/test/logtest"
)

// cut is what is read of an event.
type cut struct {
	Type   string          `json:"type"`
	ID     string          `json:"id"`
	Epoch  string          `json:"epoch"`
	Seq    uint64          `json:"seq"`
	Reason string          `json:"reason"`
	Before json.RawMessage `json:"before"`
}

// TestEachObjectHasOneLifeOverKills kills the service and its worker at random, by turns, and holds what a subscriber sees to: each
// object has exactly one new, and after it exactly one end. VEDETTE_KILLS says how often; the nightly tests do it 50 times.
func TestEachObjectHasOneLifeOverKills(t *testing.T) {
	kills := 2
	if text := os.Getenv("VEDETTE_KILLS"); text != "" {
		var err error
		if kills, err = strconv.Atoi(text); err != nil {
			t.Fatal(err)
		}
	}
	port := mosquitto(t)
	lines := listen(t, port) // holds each message to its schema
	file := configFile(t, fmt.Sprintf(`
device: test
state_dir: %s
web: {listen: ""}
cameras:
  - name: yard
    source: {scene: {size: 640x360, rate: 10, format: yuyv}}
infer: {thresholds: {default: 0.3}}
track: {timeout: 400ms, update_every: 300ms} # less than a worker takes to come back, or its death is no end
mqtt: {brokers: ["tcp://127.0.0.1:%s"]}
`, filepath.Join(t.TempDir(), "state"), port))
	seen := map[string]bool{}
	told := map[string][]cut{}
	var order []string
	take := func(line string) (isNew bool) {
		topic, text, _ := strings.Cut(line, " ")
		if topic != "vedette/test/yard/events" {
			return false
		}
		var e cut
		if err := json.Unmarshal([]byte(text), &e); err != nil {
			t.Fatal(err)
		}
		if key := fmt.Sprint(e.Epoch, e.Seq); seen[key] {
			return false
		} else {
			seen[key] = true
		}
		if told[e.ID] == nil {
			order = append(order, e.ID)
		}
		told[e.ID] = append(told[e.ID], e)
		return e.Type == "new"
	}
	// until takes what comes until there is a new object, or for a time.
	until := func(limit time.Duration, news bool) {
		timeout := time.After(limit)
		for {
			select {
			case line := <-lines:
				if take(line) && news {
					return
				}
			case <-timeout:
				if news {
					t.Errorf("no new object within %v", limit)
				}
				return
			}
		}
	}
	r := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 1))
	parents, workers := 0, 0
	for parents+workers < kills && !t.Failed() {
		ctx, cancel := context.WithCancel(t.Context())
		cmd := vedette(ctx, t, "run", "--config", file)
		var log logtest.Log
		cmd.Stderr = &log
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		for parents+workers < kills {
			until(time.Minute, true)
			until(time.Duration(r.IntN(1500))*time.Millisecond, false)
			if (parents+workers)%2 == 1 {
				workers++
				killWorker(t, cmd.Process.Pid)
				continue
			}
			parents++
			_ = cmd.Process.Kill()
			break
		}
		if parents+workers == kills { // the last one stops in good order
			_ = cmd.Process.Signal(syscall.SIGTERM)
		}
		_ = cmd.Wait()
		cancel()
		if t.Failed() {
			t.Log(log.String())
		}
	}
	// One more life ends what is open, and stops in good order.
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	cmd := vedette(ctx, t, "run", "--config", file)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	// What comes first may be of the life before: the service has to be there to be stopped.
	health := exec.CommandContext(ctx, cmd.Path, "health", "--wait", "60s")
	health.Env = cmd.Env
	if out, err := health.CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
	until(30*time.Second, true)
	_ = cmd.Process.Signal(syscall.SIGTERM)
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
	until(2*time.Second, false)
	reasons, messages := map[string]int{}, 0
	for _, id := range order {
		life := told[id]
		messages += len(life)
		for i, e := range life {
			switch first, last := i == 0, i == len(life)-1; {
			case (e.Type == "new") != first, (e.Type == "end") != last, (string(e.Before) == "null") != first:
				t.Errorf("message %d of %d of %s is %s", i+1, len(life), id, e.Type)
			}
		}
		reasons[life[len(life)-1].Reason]++
	}
	t.Logf("%d kills of the service, %d of its worker: %d objects, %d messages, ended %v", parents, workers, len(order), messages, reasons)
	if len(order) < kills {
		t.Errorf("%d objects", len(order))
	}
}

// killWorker kills the service's worker.
func killWorker(t *testing.T, service int) {
	t.Helper()
	out, err := exec.Command("pgrep", "-P", strconv.Itoa(service), "-f", "infer-worker").Output()
	if err != nil {
		t.Logf("there is no worker just now: %v", err)
		return
	}
	for _, field := range strings.Fields(string(out)) {
		pid, err := strconv.Atoi(field)
		if err != nil {
			t.Fatal(err)
		}
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
}
