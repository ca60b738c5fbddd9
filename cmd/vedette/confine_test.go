package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"vedette/supervisor/sandbox"
)

// TestTheWorkerIsConfined looks at a worker with its model loaded, from outside: every thread has the filter, those of
// ONNX Runtime among them.
func TestTheWorkerIsConfined(t *testing.T) {
	want := sandbox.Supported()
	if !want.Seccomp {
		t.Skipf("this kernel cannot confine: %v", want.Missing)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	cmd := vedette(ctx, t, "demo")
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	pid := ""
	lines := bufio.NewScanner(stderr)
	for lines.Scan() {
		if m := regexp.MustCompile(`"?worker started"?.* pid=(\d+)`).FindStringSubmatch(lines.Text()); m != nil {
			pid = m[1]
		}
		if strings.Contains(lines.Text(), "model is loaded") {
			break
		}
	}
	tasks, err := filepath.Glob("/proc/" + pid + "/task/*/status")
	if err != nil || pid == "" || len(tasks) < 2 {
		t.Fatalf("worker %q has %d threads: %v", pid, len(tasks), err)
	}
	for _, task := range tasks {
		status, err := os.ReadFile(task)
		if err != nil {
			continue // the thread has ended
		}
		for _, line := range []string{"NoNewPrivs:\t1\n", "Seccomp:\t2\n", "CapEff:\t0000000000000000\n"} {
			if !strings.Contains(string(status), line) {
				t.Errorf("%s does not say %q", task, line)
			}
		}
	}
	environment, err := os.ReadFile("/proc/" + pid + "/environ")
	if err != nil || !strings.Contains(string(environment), fmt.Sprintf(`%s={"no_new_privileges":true`, sandbox.Variable)) {
		t.Errorf("the worker is not told of its confinement: %v", err)
	}
	cancel()
	for lines.Scan() { // Wait closes the pipe
	}
	_ = cmd.Wait()
}

func TestConfineSaysWhatIsWrong(t *testing.T) {
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"confine"}, exitUsage, "confine needs a program"},
		{[]string{"confine", "--", "/bin/true"}, exitUsage, "--policy is 0"},
		{[]string{"confine", "--policy=x", "--", "/bin/true"}, exitUsage, "invalid argument"},
		{[]string{"confine", "--policy=77", "--", "/bin/true"}, exitFailed, "cannot read the policy"},
	} {
		_, stderr, code := said(t, c.args...)
		if code != c.code || !strings.Contains(stderr, c.want) {
			t.Errorf("%v: exit code %d, %q", c.args, code, stderr)
		}
	}
}
